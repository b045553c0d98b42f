"""A threshold by cross-validation, against one that was tuned once and then held.

The dense nets are trained on the first 50,000 images; the other 10,000 choose the threshold. What
was chosen is judged on the untouched test images, and so is the *oracle*: the sparsest plan of the
same scores that is within the budget there, which nobody could know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

import edgeprune
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.judging import accuracy, started
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.promises import Promise, Table, Verdict
from benchmarks.sensitivity.sets import Examples, training, untouched
from edgeprune import Plan, Scores

BUDGET = 0.005
"""Of accuracy: half a point."""
METHOD = "taylor"
MICROBATCH = 32
LEAST, GRID, FINE = 0.01, 150, 10
"""Of what the oracle tries to keep: the least share, how many, and how many more at the end."""
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
    return edgeprune.score(dense, data.batches(MICROBATCH), METHOD, LOSS)


def oracle(dense: Any, scores: Scores, test: Examples, limit: float) -> float:
    """Share of the weights that the sparsest plan within the budget keeps. Accuracy is not monotone
    in it: every share of a grid is tried, and between the best and the next every one of a finer
    grid."""

    def enough(kept: float) -> bool:
        plan = edgeprune.plan(scores, sparsity=1 - kept)
        return accuracy(edgeprune.zero(dense, plan), test) >= limit

    def least(shares: Sequence[float]) -> int:
        return next((n for n, kept in enumerate(shares) if enough(kept)), len(shares) - 1)

    coarse = [float(each) for each in np.geomspace(LEAST, 1, GRID)]
    place = least(coarse)
    fine = np.linspace(coarse[max(place - 1, 0)], coarse[place], FINE + 1)[1:]
    return float(fine[least(list(fine))])


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
            **started(dense, before),
            "lost": 100 * lost,
            "within": float(lost <= BUDGET + 1e-9),
            "kept": kept,
            "oracle": best,
            "times": kept / best,
        }

    settings = {
        **net.facts(), "budget": BUDGET, "score": METHOD, "microbatch": MICROBATCH,
        "oracle": [LEAST, GRID, FINE],
    }  # fmt: skip
    return [
        Cell(task, net.name, name, 0.0, seed, settings, measure)
        for seed in range(seeds)
        for name in ways
    ]


def within(share: float, times: float) -> Promise:
    """Enough seeds within the budget, and not many more weights than the oracle's."""

    def judge(table: Table) -> Verdict:
        text = (
            f"within {100 * BUDGET:g} points in at least {share:.0%} of the seeds, at most "
            f"{times:g} times the oracle's weights (median), and better than fixed in one of the "
            "two, no worse in the other"
        )
        kept = {name: table.values("times", method=name) for name in ("edgeprune", "fixed")}
        good = {name: table.values("within", method=name) for name in kept}
        if any(each is None for each in (*kept.values(), *good.values())):
            return Verdict(text, None, "")
        rates = {name: float(np.mean(each or [])) for name, each in good.items()}
        medians = {name: float(np.median(each or [])) for name, each in kept.items()}
        told = ", ".join(f"{n} {rates[n]:.0%} of the seeds, {medians[n]:.3g} times" for n in kept)
        mine, other = ((rates[n], -medians[n]) for n in ("edgeprune", "fixed"))
        beaten = mine != other and all(a >= b for a, b in zip(mine, other, strict=True))
        held = mine[0] >= share and -mine[1] <= times and beaten
        return Verdict(text, held, told)

    return judge
