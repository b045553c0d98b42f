"""Which connections go. A *unit* goes as a whole: one weight, or a block of four.

A unit's score is the mean over those of its weights that are still there. The mean, not the sum: a
short last block must not go first because it is short, and with a fixed count of weights to remove
the greedy choice by score per weight is the one that keeps the most score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

BLOCK = 4
"""Weights of a 1x4 block, along axis 0 of a Dense kernel (its input axis)."""


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one weight.

    Attributes:
        shape: of the weight.
        block: 1, or :data:`BLOCK`.
        score: per unit, mean over its weights that are still there; 0 where none is.
        size: per unit, how many of its weights are still there.
    """

    shape: tuple[int, ...]
    block: int
    score: Floats
    size: npt.NDArray[np.int64]

    def spread(self, gone: Bools) -> Bools:
        """``gone`` per unit as bools in the weight's shape."""
        if self.block == 1:
            return gone.reshape(self.shape)
        rows = -(-self.shape[0] // self.block)
        whole = np.repeat(gone.reshape(rows, *self.shape[1:]), self.block, axis=0)
        return whole[: self.shape[0]]


def units_of(score: Floats, alive: Bools, block: int) -> Units:
    """Cut one weight's scores into units; ``alive`` is False where an earlier zero stands."""
    if block == 1:
        flat = alive.ravel()
        return Units(score.shape, 1, np.where(flat, score.ravel(), 0), flat.astype(np.int64))
    short = -score.shape[0] % block
    padding = [(0, short)] + [(0, 0)] * (score.ndim - 1)
    values = np.pad(np.where(alive, score, 0).astype(np.float64), padding)
    there = np.pad(alive, padding)
    rows = values.shape[0] // block
    totals = values.reshape(rows, block, *score.shape[1:]).sum(axis=1).ravel()
    sizes = there.reshape(rows, block, *score.shape[1:]).sum(axis=1).ravel().astype(np.int64)
    return Units(score.shape, block, totals / np.maximum(sizes, 1), sizes)


def lowest(score: Floats, size: npt.NDArray[np.int64], count: int) -> Bools:
    """The fewest lowest-scored units that hold at least ``count`` weights (all, where fewer do).

    Of equal scores the first in order goes first, so the choice is a function of the arrays alone.
    """
    gone = np.zeros(score.shape, bool)
    if count <= 0:
        return gone
    if count >= size.sum():
        gone[:] = size > 0
        return gone
    if size.max() == 1:
        return _lowest_singles(score, size > 0, count)
    order = np.argsort(score, kind="stable")
    order = order[size[order] > 0]
    total = np.cumsum(size[order])
    gone[order[: int(np.searchsorted(total, count)) + 1]] = True
    return gone


def _lowest_singles(score: Floats, there: Bools, count: int) -> Bools:
    left = score[there]
    edge = np.partition(left, count - 1)[count - 1]
    gone = there & (score < edge)
    ties = np.flatnonzero(there & (score == edge))
    gone[ties[: count - int(gone.sum())]] = True
    return gone


def guard(units: Units) -> int | None:
    """The unit that stays so that the weight does not die: the first of the best; ``None`` where
    nothing is left."""
    there = units.size > 0
    if not there.any():
        return None
    return int(np.argmax(np.where(there, units.score, -np.inf)))


@dataclass(frozen=True, eq=False)
class Choice:
    """What goes, by weight.

    Attributes:
        gone: per unit of each weight.
        edge: by weight, the highest score that went; absent where nothing went.
        guarded: weights that would have lost every connection and keep their best one.
    """

    gone: Mapping[str, Bools]
    edge: Mapping[str, float]
    guarded: tuple[str, ...]


def choose_together(units: Mapping[str, Units], count: int) -> Choice:
    """Let ``count`` weights go, the lowest of all weights together."""
    if not units:
        return Choice({}, {}, ())
    sizes = []
    for part in units.values():
        size = part.size.copy()
        best = guard(part)
        if best is not None:
            size[best] = 0
        sizes.append(size)
    size = np.concatenate(sizes)
    flat = lowest(np.concatenate([part.score for part in units.values()]), size, count)
    places = np.cumsum([part.score.size for part in units.values()])[:-1]
    gone = dict(zip(units, np.split(flat, places), strict=True))
    limit = np.inf if count > size.sum() else None
    return _choice(units, gone, limit)


def choose_apart(units: Mapping[str, Units], counts: Mapping[str, int]) -> Choice:
    """Let ``counts[name]`` weights of each weight go."""
    choices = [choose_together({name: part}, counts[name]) for name, part in units.items()]
    return Choice(
        {name: gone for choice in choices for name, gone in choice.gone.items()},
        {name: edge for choice in choices for name, edge in choice.edge.items()},
        tuple(name for choice in choices for name in choice.guarded),
    )


def choose_below(units: Mapping[str, Units], threshold: float) -> Choice:
    """Let every unit whose score is below ``threshold`` go."""
    gone = {}
    for name, part in units.items():
        lost = (part.score < threshold) & (part.size > 0)
        best = guard(part)
        if best is not None:
            lost[best] = False
        gone[name] = lost
    return _choice(units, gone, float(np.nextafter(threshold, -np.inf)))


def _choice(units: Mapping[str, Units], gone: Mapping[str, Bools], limit: float | None) -> Choice:
    """``limit``: up to which score units were to go; ``None``: the highest that went."""
    edge = {
        name: float(part.score[gone[name]].max())
        for name, part in units.items()
        if gone[name].any()
    }
    if limit is None:
        limit = max(edge.values(), default=-np.inf)
    guarded = []
    for name, part in units.items():
        left = (part.size > 0) & ~gone[name]
        if name in edge and left.sum() == 1 and part.score[left][0] <= limit:
            guarded.append(name)
    return Choice(gone, edge, tuple(guarded))
