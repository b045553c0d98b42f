"""Planning by itself: how much accuracy each share of the MACs can have, without training.

A method gives plans; the best of them for each share of the MACs are chosen on validation images,
and judged once on the untouched ones. What is compared is the area under that staircase: accuracy
over the share of the MACs that is left, from 0 to 1 (1 would be perfect).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

import edgeprune
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.channels import calibration, l1
from benchmarks.sensitivity.judging import accuracy, answered
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.sets import Examples, training, untouched
from edgeprune import Graph, Plan
from edgeprune.seeds import derived_seed
from edgeprune.surgery import Trial

POINTS = 20
"""Plans of a method that goes down step by step."""
LEAST = 0.05
"""Of the MACs, at the end of that."""
BATCH = 128
TRIALS = 300
VALIDATION = 2000
"""Training images, others than those of the scores, that plans are chosen on."""


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


def one_ratio(bench: Bench) -> list[Plan]:
    """The same share of every group by L1."""
    scores = l1(bench.dense, bench.graph)
    shares = np.linspace(0, 0.95, POINTS + 1)[1:]
    return [
        edgeprune.plan(scores, bench.graph, channels=float(share), scope="layer")
        for share in shares
    ]


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
    return [plans[trial.number] for trial in study.best_trials]


def _batches(data: Examples) -> list[tuple[Any, Any]]:
    return [
        (data.x[start : start + BATCH], data.y[start : start + BATCH])
        for start in range(0, len(data.x), BATCH)
    ]


def scored_once(bench: Bench, method: str) -> Iterator[Plan]:
    """The knapsack over scores taken once, at evenly spaced budgets."""
    bench.evaluations += 1
    scores = edgeprune.score(
        bench.dense, _batches(bench.calibrate), method, LOSS, graph=bench.graph
    )
    for share in np.linspace(1, LEAST, POINTS + 1)[1:]:
        yield edgeprune.plan(scores, bench.graph, max_macs=float(share))


def rescored(bench: Bench, method: str) -> tuple[Plan, ...]:
    """The planner's default road: scores taken anew on the way down."""
    bench.evaluations += POINTS
    return edgeprune.front(
        bench.dense, _batches(bench.calibrate), points=POINTS, max_macs=LEAST, method=method,
        loss=LOSS, seed=bench.seed,
    )  # fmt: skip


PEERS = ("one ratio", "scored once", "nsga2")


def methods(method: str = "molchanov") -> dict[str, tuple[Search, Mapping[str, Any]]]:
    """By name, what searches and what decides it."""
    search: dict[str, Search] = {
        "one ratio": one_ratio,
        "scored once": partial(scored_once, method=method),
        "nsga2": genetic,
        "edgeprune": partial(rescored, method=method),
    }
    return {
        name: (each, {"score": method if name in ("scored once", "edgeprune") else "l1"})
        for name, each in search.items()
    }


def mended(bench: Bench, plan: Plan) -> Any:
    """What reconstruction makes of a plan, without a label."""
    small = edgeprune.strip(edgeprune.zero(bench.dense, plan))
    return edgeprune.reconstruct(small, bench.dense, bench.calibrate.x, plan=plan)


def area(points: Sequence[tuple[float, float]]) -> float:
    """Under the staircase of (share of the MACs, accuracy): at each share the last of the points
    up to it, 0 where there is none."""
    total, height, at = 0.0, 0.0, 0.0
    for share, value in sorted(points):
        total += (share - at) * height
        height, at = value, share
    return total + (1 - at) * height


def best(points: Iterable[tuple[float, float, Plan]]) -> list[tuple[float, Plan]]:
    """Of (share, accuracy, plan) those with none that is smaller and at least as good."""
    chosen: list[tuple[float, Plan]] = []
    highest = -1.0
    for share, value, plan in sorted(points, key=lambda point: (point[0], -point[1])):
        if value > highest:
            highest = value
            chosen.append((share, plan))
    return chosen


def cells(
    task: str,
    net: Net,
    methods: Mapping[str, tuple[Search, Mapping[str, Any]]],
    seeds: int,
    mend: Callable[[Bench, Plan], Any] | None = None,
) -> list[Cell]:
    """Every method, seed by seed; with ``mend``, what it makes of each chosen plan is judged."""

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
        plans = list(methods[cell.method][0](bench))
        searched = bench.evaluations
        chosen = best((bench.share(plan), bench.tried(plan), plan) for plan in plans)
        test = untouched(net.recipe.data)
        judged = [
            (
                share,
                bench.silenced(plan, test) if mend is None else accuracy(mend(bench, plan), test),
            )
            for share, plan in chosen
        ]
        whole = accuracy(bench.dense, test)
        return {
            "area": area([*judged, (1.0, whole)]),
            "evaluations": searched,
            "dense": whole,
            "front": [[round(share, 5), value] for share, value in judged],
        }

    return [
        Cell(task, net.name, name, 0.0, seed, {**net.facts(), **settings}, measure)
        for seed in range(seeds)
        for name, (_, settings) in methods.items()
    ]
