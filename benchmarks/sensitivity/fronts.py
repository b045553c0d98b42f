"""Planning by itself: how much accuracy each share of the MACs can have, without training.

A method gives plans, which are judged once on the untouched images. Of those that are no way down,
each inside the one before it, the best for each share of the MACs are chosen on validation images
first. What is compared is the area under that staircase: accuracy over the share of the MACs that
is left, from 0 to 1 (1 would be perfect), and what it took to find it: every metric of a plan and
every pass that scores counts as an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

import edgeprune
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.channels import BATCH, CALIBRATION, calibration, l1
from benchmarks.sensitivity.judging import accuracy, answered, started
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.promises import Promise, Table, Verdict
from benchmarks.sensitivity.sets import Examples, training, untouched
from edgeprune import Graph, Plan, Scores
from edgeprune.planning.budgets import spaced
from edgeprune.seeds import derived_seed
from edgeprune.surgery import Trial

POINTS = 30
"""Plans of a method that goes down to budgets."""
LEAST = 0.01
"""Of the MACs, at the end of that."""
MENDED = 15
"""Plans of a front that are reconstructed, at most."""
TRIALS = 300
VALIDATION = 2000
"""Training images, others than those of the scores, that plans are chosen on."""
CONSTANTS = {
    "points": POINTS, "least": LEAST, "batch": BATCH, "trials": TRIALS, "validation": VALIDATION,
    "calibration": CALIBRATION, "mended": MENDED,
    "spacing": "even, by shares below a fifth; mended by shares",
}  # fmt: skip
SCORES = {"random": "random", "one ratio": "l1", "nsga2": "l1"}
"""Of the methods that are given none."""


@dataclass(eq=False)
class Bench:
    """A dense net, and what a plan does to it.

    Attributes:
        dense: the model.
        calibrate: images for scores and statistics.
        validate: images that plans are chosen on.
        seed: of everything drawn.
        evaluations: passes over either so far: metrics of a plan, and scores.
    """

    dense: Any
    calibrate: Examples
    validate: Examples
    seed: int
    evaluations: int = 0

    @cached_property
    def graph(self) -> Graph:
        return edgeprune.trace(self.dense)

    @cached_property
    def _trial(self) -> Trial:
        return Trial(self.dense, self.graph)

    def share(self, plan: Plan) -> float:
        """Of the MACs that are left."""
        return plan.cost(self.graph).macs / self.graph.cost({}).macs

    def silenced(self, plan: Plan, data: Examples) -> float:
        """Accuracy with the plan's channels silent; no model is built."""
        self._trial.silence(plan)
        return answered(self._trial.predict, data)

    def tried(self, plan: Plan) -> float:
        """Accuracy on the validation images; counts as an evaluation."""
        self.evaluations += 1
        return self.silenced(plan, self.validate)


Search = Callable[[Bench], Iterable[Plan]]
"""Plans from which nothing is chosen any more."""


def one_ratio(bench: Bench) -> list[Plan]:
    """The same share of every group by L1, with what several convolutions make together and
    without; the better one for each share of the MACs."""
    plans = []
    for coupled in (True, False):
        scores = l1(bench.dense, bench.graph, coupled=coupled)
        plans += [
            edgeprune.plan(scores, bench.graph, channels=float(share), scope="layer")
            for share in np.linspace(0, 0.95, POINTS + 1)[1:]
        ]
    return best(bench, plans)


def drawn(bench: Bench) -> Iterator[Plan]:
    """The knapsack over drawn scores, at the budgets of :func:`rescored`."""
    scores = edgeprune.score(
        bench.dense, None, "random", graph=bench.graph, seed=derived_seed(bench.seed, "random")
    )
    return _spaced(bench, scores)


def genetic(bench: Bench) -> list[Plan]:
    """NSGA-II over the share of each group (Deb et al., "A fast and elitist multiobjective genetic
    algorithm", 2002, as Optuna has it), L1 inside the groups."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    scores = l1(bench.dense, bench.graph)
    order = {name: np.argsort(score, kind="stable") for name, score in scores.channels.items()}
    plans: list[Plan] = []

    def goal(trial: Any) -> tuple[float, float]:
        cuts = {
            name: ranked[: trial.suggest_int(name, 0, len(ranked) - 1)]
            for name, ranked in order.items()
        }
        plan = Plan.cut(bench.graph, {name: drop.tolist() for name, drop in cuts.items()})
        plans.append(plan)
        return bench.share(plan), bench.tried(plan)

    sampler = optuna.samplers.NSGAIISampler(seed=derived_seed(bench.seed, "nsga2"))
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    study.optimize(goal, n_trials=TRIALS)
    # Their accuracies are known: choosing costs nothing more.
    return [plans[trial.number] for trial in study.best_trials]


def scored_once(bench: Bench, method: str) -> Iterator[Plan]:
    """The knapsack over scores taken once, at the budgets of :func:`rescored`."""
    bench.evaluations += 1
    scores = edgeprune.score(
        bench.dense, bench.calibrate.batches(BATCH), method, LOSS, graph=bench.graph
    )
    return _spaced(bench, scores)


def _spaced(bench: Bench, scores: Scores) -> Iterator[Plan]:
    for share in spaced(1.0, LEAST, POINTS):
        yield edgeprune.plan(scores, bench.graph, max_macs=share)


def rescored(bench: Bench, method: str) -> tuple[Plan, ...]:
    """The planner's default road: scores taken anew on the way down, once a point."""
    bench.evaluations += POINTS
    return edgeprune.front(
        bench.dense, bench.calibrate.batches(BATCH), points=POINTS, max_macs=LEAST, step=1,
        method=method, loss=LOSS, seed=bench.seed,
    )  # fmt: skip


PEERS = ("random", "one ratio", "scored once", "nsga2")


def methods(method: str) -> dict[str, tuple[Search, Mapping[str, Any]]]:
    """By name, what searches and what decides it."""
    search: dict[str, Search] = {
        "random": drawn,
        "one ratio": one_ratio,
        "scored once": partial(scored_once, method=method),
        "nsga2": genetic,
        "edgeprune": partial(rescored, method=method),
    }
    return {
        name: (each, {**CONSTANTS, "score": SCORES.get(name, method)})
        for name, each in search.items()
    }


def mended(bench: Bench, plan: Plan) -> Any:
    """What reconstruction makes of a plan, without a label."""
    small = edgeprune.strip(edgeprune.zero(bench.dense, plan))
    return edgeprune.reconstruct(small, bench.dense, bench.calibrate.x, plan=plan)


def some(plans: Sequence[Plan], share: Callable[[Plan], float]) -> list[Plan]:
    """:data:`MENDED` of them at most: those nearest to shares that lie evenly on a logarithmic
    scale from the smallest to the largest. Mended, most of the area is where little is left."""
    at = np.log([share(plan) for plan in plans])
    wanted = np.linspace(at.min(), at.max(), MENDED)
    nearest = np.abs(at[:, None] - wanted).argmin(axis=0)
    return [plans[place] for place in sorted(set(nearest.tolist()))]


def area(points: Iterable[tuple[float, float]]) -> float:
    """Under the staircase of (share of the MACs, accuracy): at each share the last of the points
    up to it, 0 where there is none."""
    total, height, at = 0.0, 0.0, 0.0
    for share, value in sorted(points):
        total += (share - at) * height
        height, at = value, share
    return total + (1 - at) * height


def best(bench: Bench, plans: Iterable[Plan]) -> list[Plan]:
    """Of several those with none that is smaller and at least as good on the validation images."""
    points = [(bench.share(plan), -bench.tried(plan), plan) for plan in plans]
    chosen: list[Plan] = []
    highest = -1.0
    for _, value, plan in sorted(points, key=lambda point: point[:2]):
        if -value > highest:
            highest = -value
            chosen.append(plan)
    return chosen


def cells(
    task: str,
    net: Net,
    methods: Mapping[str, tuple[Search, Mapping[str, Any]]],
    seeds: int,
) -> list[Cell]:
    """Every method, seed by seed: its plans as they are, and reconstructed."""

    def measure(cell: Cell) -> Facts:
        data = training(net.recipe.data, net.recipe.examples)
        rng = np.random.default_rng(derived_seed(cell.seed, "validation"))
        held = np.zeros(len(data.x), bool)
        held[rng.choice(len(data.x), VALIDATION, replace=False)] = True
        rest = Examples(data.x[~held], data.y[~held])
        bench = Bench(
            net.dense(cell.seed),
            calibration(rest, cell.seed),
            Examples(data.x[held], data.y[held]),
            cell.seed,
        )
        plans: list[Plan] = list(methods[cell.method][0](bench))
        few = some(plans, bench.share)
        models = [mended(bench, plan) for plan in few]
        test = untouched(net.recipe.data)
        whole = accuracy(bench.dense, test)
        shares = [bench.share(plan) for plan in plans]
        shares_mended = [bench.share(plan) for plan in few]
        silent = [bench.silenced(plan, test) for plan in plans]
        again = [accuracy(model, test) for model in models]
        return {
            **started(bench.dense, whole),
            "evaluations": bench.evaluations,
            "area": area([*zip(shares, silent, strict=True), (1.0, whole)]),
            "area_mended": area([*zip(shares_mended, again, strict=True), (1.0, whole)]),
            "front": _rounded(shares, silent),
            "front_mended": _rounded(shares_mended, again),
        }

    return [
        Cell(task, net.name, name, 0.0, seed, {**net.facts(), **settings}, measure)
        for seed in range(seeds)
        for name, (_, settings) in methods.items()
    ]


def _rounded(shares: Sequence[float], values: Sequence[float]) -> list[list[float]]:
    return [[round(share, 5), value] for share, value in zip(shares, values, strict=True)]


def few_evaluations(net: Net) -> Promise:
    """On every seed at most a tenth of those of the genetic search."""

    def judge(table: Table) -> Verdict:
        text = f"{net.name}: evaluations at most a tenth of those of nsga2"
        mine = table.values("evaluations", net=net.name, method="edgeprune")
        other = table.values("evaluations", net=net.name, method="nsga2")
        if mine is None or other is None:
            return Verdict(text, None, "")
        held = all(10 * a <= b for a, b in zip(mine, other, strict=True))
        return Verdict(text, held, f"{max(mine):g} against {min(other):g}")

    return judge
