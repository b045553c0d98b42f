"""A threshold by cross-validation, against one that was tuned once and then held.

The dense nets are trained on the first 50,000 images; the other 10,000 choose the threshold. What
was chosen is judged on the untouched test images, and so is the *oracle*: the sparsest plan of the
same scores that is within the budget there, which nobody could know.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import edgeprune
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.judging import accuracy
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.promises import Promise, Table, Verdict
from benchmarks.sensitivity.sets import Examples, training, untouched
from edgeprune import Plan, Scores

BUDGET = 0.005
"""Of accuracy: half a point."""
METHOD = "taylor"
MICROBATCH = 32
RESOLUTION = 1e-3
"""Of what the oracle keeps."""
Choose = Callable[[Net, Any, Scores, Examples, int], Plan]


def held_back(net: Net) -> Examples:
    """The images that the net was not trained on."""
    data = training(net.recipe.data)
    return Examples(data.x[net.recipe.examples :], data.y[net.recipe.examples :])


def searched(net: Net, dense: Any, scores: Scores, data: Examples, seed: int) -> Plan:
    """By five folds."""
    return edgeprune.search(
        dense, (data.x, data.y), max_drop=BUDGET, method=METHOD, loss=LOSS, metric="accuracy",
        microbatch=MICROBATCH, seed=seed,
    ).plan  # fmt: skip


def fixed(net: Net, dense: Any, scores: Scores, data: Examples, seed: int) -> Plan:
    """What the search found on seed 0, as a number that a score must reach."""
    return edgeprune.plan(scores, threshold=_tuned(net))


@cache
def _tuned(net: Net) -> float:
    data = held_back(net)
    dense = net.dense(0)
    plan = searched(net, dense, scored(dense, data), data, 0)
    return float(np.nextafter(plan.why["threshold"], np.inf))


def scored(dense: Any, data: Examples) -> Scores:
    """Of all the images that choose."""
    batches = [
        (data.x[n : n + MICROBATCH], data.y[n : n + MICROBATCH])
        for n in range(0, len(data.x), MICROBATCH)
    ]
    return edgeprune.score(dense, batches, METHOD, LOSS)


def oracle(dense: Any, scores: Scores, test: Examples, limit: float) -> float:
    """Share of the weights that the sparsest plan within the budget keeps, by bisection."""
    low, high = 0.0, 1.0  # kept: too few, enough
    while high - low > RESOLUTION * high:
        middle = (low + high) / 2
        plan = edgeprune.plan(scores, sparsity=1 - middle)
        if accuracy(edgeprune.zero(dense, plan), test) >= limit:
            high = middle
        else:
            low = middle
    return high


def cells(task: str, net: Net, seeds: int) -> list[Cell]:
    """Both, seed by seed."""
    ways: dict[str, Choose] = {"edgeprune": searched, "fixed": fixed}

    def measure(cell: Cell) -> Facts:
        dense, data = net.dense(cell.seed), held_back(net)
        scores = scored(dense, data)
        plan = ways[cell.method](net, dense, scores, data, cell.seed)
        test = untouched(net.recipe.data)
        before = accuracy(dense, test)
        lost = before - accuracy(edgeprune.zero(dense, plan), test)
        kept = 1 - plan.why["reached"]["sparsity"]
        best = oracle(dense, scores, test, before - BUDGET)
        return {
            "lost": 100 * lost,
            "within": float(lost <= BUDGET + 1e-9),
            "kept": kept,
            "oracle": best,
            "times": kept / best,
        }

    settings = {**net.facts(), "budget": BUDGET, "score": METHOD, "microbatch": MICROBATCH}
    return [
        Cell(task, net.name, name, 0.0, seed, settings, measure)
        for seed in range(seeds)
        for name in ways
    ]


def within(share: float, times: float) -> Promise:
    """Enough seeds within the budget, and not many more weights than the oracle's."""

    def judge(table: Table) -> Verdict:
        text = (
            f"within {100 * BUDGET:g} points in at least {share:.0%} of the seeds, and at most "
            f"{times:g} times the oracle's weights (median)"
        )
        kept = table.values("times", method="edgeprune")
        good = table.values("within", method="edgeprune")
        if kept is None or good is None:
            return Verdict(text, None, "")
        told = f"{sum(good):.0f} of {len(good)} seeds, {np.median(kept):.3g} times"
        held = float(np.mean(good)) >= share and float(np.median(kept)) <= times
        return Verdict(text, held, told)

    return judge
