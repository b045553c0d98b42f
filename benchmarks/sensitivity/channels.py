"""Methods that let channels go, down to a share of the MACs.

``l1`` is the peer: the same share of every group's channels, the filters with the smallest sums of
|w| first, the share found by bisection. As in its paper (Li et al., "Pruning Filters for Efficient
ConvNets", ICLR 2017, section 3.3) what several convolutions of a residual net make together stays
whole: cut too, as in ``l1-all``, it loses far more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import edgeprune
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.judging import judged
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.sets import Examples, training
from edgeprune import Graph, Plan, Scores
from edgeprune.seeds import derived_seed

CALIBRATION = 2048
"""Training images that scores and statistics are taken of, the same for every method."""

BATCH = 128
SCORE = "gate-fisher"
"""Of ours. Chosen on 10,000 training images of Fashion-MNIST that no net was trained on: half of
the MACs left, reconstructed, it lost 3.2 points of ResNet-8 and 2.1 of the MobileNet-like net (one
seed each), 0.20 of the CNN (mean of three); `molchanov` 5.9, 3.1 and 0.27."""
STEP = 0.05
"""Of the MACs, between two scores on the way down."""

Choose = Callable[[Any, Graph, Examples, float, int], Plan]
"""(dense, graph, calibration images, share of the MACs that go, seed) → plan."""
Mend = Callable[[Any, Any, Plan, Examples, Examples, int], Any]
"""(stripped, dense, plan, calibration images, training images, seed) → model."""


@dataclass(frozen=True, eq=False)
class Method:
    """One way.

    Attributes:
        choose: which channels go.
        mend: what is done afterwards.
        settings: all that decides them.
    """

    choose: Choose
    mend: Mend
    settings: Mapping[str, Any]

    def done(self, dense: Any, data: Examples, share: float, seed: int) -> tuple[Any, Any]:
        """The stripped model with ``share`` of the MACs cut, and what is made of it."""
        few = calibration(data, seed)
        plan = self.choose(dense, edgeprune.trace(dense), few, share, seed)
        small = edgeprune.strip(edgeprune.zero(dense, plan))
        return small, self.mend(small, dense, plan, few, data, seed)


def by_l1(
    dense: Any, graph: Graph, data: Examples, share: float, seed: int, *, coupled: bool = False
) -> Plan:
    """The same share of every group by L1, as little as reaches ``share`` of the MACs."""
    scores = l1(dense, graph, coupled=coupled)
    whole, low, high = graph.cost({}).macs, 0.0, 0.999
    for _ in range(20):
        middle = (low + high) / 2
        plan = edgeprune.plan(scores, graph, channels=middle, scope="layer")
        if 1 - plan.cost(graph).macs / whole < share:
            low = middle
        else:
            high = middle
    return edgeprune.plan(scores, graph, channels=high, scope="layer")


def by_descent(method: str) -> Choose:
    """The planner's default road to a budget of MACs, scores taken anew on the way."""

    def choose(dense: Any, graph: Graph, data: Examples, share: float, seed: int) -> Plan:
        *_, last = edgeprune.front(
            dense, data.batches(BATCH), points=1, max_macs=1 - share, method=method, loss=LOSS,
            step=STEP, seed=seed,
        )  # fmt: skip
        return last

    return choose


def at_random(dense: Any, graph: Graph, data: Examples, share: float, seed: int) -> Plan:
    """Drawn, as many of each group as a knapsack over drawn scores takes."""
    scores = edgeprune.score(dense, None, "random", graph=graph, seed=seed)
    return edgeprune.plan(scores, graph, max_macs=1 - share)


def statistics(small: Any, dense: Any, plan: Plan, few: Examples, data: Examples, seed: int) -> Any:
    """Batch norms re-estimated on the calibration images."""
    return edgeprune.reestimate_batchnorm(small, few.x)


def solved(small: Any, dense: Any, plan: Plan, few: Examples, data: Examples, seed: int) -> Any:
    """Layers solved by least squares on the same images, without their labels."""
    return edgeprune.reconstruct(small, dense, few.x, plan=plan)


def trained(first: Mend, epochs: int) -> Mend:
    """``first``, and then fine-tuning."""

    def mend(small: Any, dense: Any, plan: Plan, few: Examples, data: Examples, seed: int) -> Any:
        model = first(small, dense, plan, few, data, seed)
        return edgeprune.fine_tune(
            model, (data.x, data.y), loss=LOSS, metric="accuracy", epochs=epochs, decay="cosine",
            seed=seed,
        )  # fmt: skip

    return mend


def at_once(method: str = SCORE) -> dict[str, Method]:
    """Nothing is trained."""
    ours = {"plan": method, "mend": "reconstruct", "step": STEP}
    return {
        "edgeprune": Method(by_descent(method), solved, ours),
        "l1": Method(by_l1, statistics, {"plan": "l1, single makers", "mend": "batchnorm"}),
        "l1-all": Method(
            partial(by_l1, coupled=True), statistics, {"plan": "l1-all", "mend": "batchnorm"}
        ),
        "l1-reconstructed": Method(
            by_l1, solved, {"plan": "l1, single makers", "mend": "reconstruct"}
        ),
        "random": Method(at_random, solved, {"plan": "random", "mend": "reconstruct"}),
    }


def tuned(epochs: int, method: str = SCORE) -> dict[str, Method]:
    """As many epochs for each."""
    settings = {name: {**each.settings, "epochs": epochs} for name, each in at_once(method).items()}
    return {
        "edgeprune": Method(by_descent(method), trained(solved, epochs), settings["edgeprune"]),
        "l1": Method(by_l1, trained(statistics, epochs), settings["l1"]),
        "random": Method(at_random, trained(solved, epochs), settings["random"]),
    }


def l1(dense: Any, graph: Graph, *, coupled: bool = True) -> Scores:
    """By channel, the sum of |w| over the kernels that make it; of groups that several kernels
    make (other than depthwise ones, which only pass a channel on) only where ``coupled``."""
    magnitude = edgeprune.score(dense, None, "magnitude")
    channels = {}
    for group in graph.free:
        makers = [
            member
            for member in group.members
            if member.role == "makes"
            and magnitude.kinds.get(member.weight, "depthwise") != "depthwise"
        ]
        if len(makers) > 1 and not coupled:
            continue
        total = np.zeros(group.size)
        for member in group.members:
            if member.role != "makes" or member.weight not in magnitude.weights:
                continue
            led = member.lead(magnitude.weights[member.weight])
            rows = led.reshape(member.channel.size, -1).sum(axis=1)
            there = member.channel.ravel() >= 0
            np.add.at(total, member.channel.ravel()[there], rows[there])
        channels[group.name] = total.astype(np.float32)
    return Scores("l1", graph.model, {}, channels)


def calibration(data: Examples, seed: int) -> Examples:
    """Of the training images, by seed."""
    rng = np.random.default_rng(derived_seed(seed, "calibration"))
    chosen = np.sort(rng.choice(len(data.x), CALIBRATION, replace=False))
    return Examples(data.x[chosen], data.y[chosen])


def cells(
    task: str, net: Net, methods: Mapping[str, Method], amounts: tuple[float, ...], seeds: int
) -> list[Cell]:
    """Every method at every share of the MACs, seed by seed."""

    def measure(cell: Cell) -> Facts:
        method = methods[cell.method]
        dense = net.dense(cell.seed)
        data = training(net.recipe.data, net.recipe.examples)
        small, mended = method.done(dense, data, cell.amount, cell.seed)
        at_once = judged(dense, small, net.recipe.data)
        return {**judged(dense, mended, net.recipe.data), "lost_at_once": at_once["lost"]}

    return [
        Cell(
            task,
            net.name,
            name,
            amount,
            seed,
            {**net.facts(), "calibration": CALIBRATION, **method.settings},
            measure,
        )
        for seed in range(seeds)
        for amount in amounts
        for name, method in methods.items()
    ]
