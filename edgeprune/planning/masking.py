"""Which connections go. A *unit* goes as a whole: one weight, or a block of neighbours.

A unit's score is the mean over those of its weights that are still there. The mean, not the sum: a
short last block must not go first because it is short, and with a fixed count of weights to remove
the greedy choice by score per weight is the one that keeps the most score.

Of an N:M, every M neighbours keep their N best: there nothing is compared across groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Units:
    """The units of one weight.

    Attributes:
        shape: of the weight.
        block: how many neighbours make a unit.
        axis: along which axis they lie.
        score: per unit, mean over its weights that are still there; 0 where none is.
        size: per unit, how many of its weights are still there.
    """

    shape: tuple[int, ...]
    block: int
    axis: int
    score: Floats
    size: npt.NDArray[np.int64]

    def spread(self, gone: Bools) -> Bools:
        """``gone`` per unit as bools in the weight's shape."""
        if self.block == 1:
            return gone.reshape(self.shape)
        length = self.shape[self.axis]
        rest = (*self.shape[: self.axis], *self.shape[self.axis + 1 :])
        whole = np.repeat(gone.reshape(-(-length // self.block), *rest), self.block, axis=0)
        return np.moveaxis(whole[:length], 0, self.axis)


def units_of(score: Floats, alive: Bools, block: int, axis: int = 0) -> Units:
    """Cut one weight's scores into units of ``block`` neighbours along ``axis``, a shorter last
    one among them; ``alive`` is False where an earlier zero stands."""
    if block == 1:
        flat = alive.ravel()
        return Units(score.shape, 1, 0, np.where(flat, score.ravel(), 0), flat.astype(np.int64))
    values = _in_groups(np.where(alive, score, 0).astype(np.float64), block, axis, 0)
    sizes = _in_groups(alive, block, axis, False).sum(axis=1).ravel().astype(np.int64)
    totals = values.sum(axis=1).ravel()
    return Units(score.shape, block, axis, totals / np.maximum(sizes, 1), sizes)


def beyond_quota(score: Floats, alive: Bools, quota: int, size: int, axis: int) -> Bools:
    """What goes so that at most ``quota`` of every ``size`` neighbours along ``axis`` stay, the
    best of them; a shorter last group keeps as many.

    Earlier zeros (``alive`` is False) count as gone. Of equal scores the first in order goes.

    Returns:
        In the weight's shape, without the earlier zeros.
    """
    length = score.shape[axis]
    there = _in_groups(alive, size, axis, False)
    values = np.where(there, _in_groups(score.astype(np.float64), size, axis, 0), -np.inf)
    # By place from the worst: what is not there comes first, then the lowest scores.
    place = np.argsort(np.argsort(values, axis=1, kind="stable"), axis=1, kind="stable")
    gone = there & (place < size - quota)
    flat = gone.reshape(-1, *gone.shape[2:])[:length]
    return np.moveaxis(flat, 0, axis)


def _in_groups(value: npt.NDArray[Any], size: int, axis: int, filler: Any) -> npt.NDArray[Any]:
    """As (groups, members, the other axes); a last group is filled up."""
    led = np.moveaxis(value, axis, 0)
    padding = [(0, -led.shape[0] % size)] + [(0, 0)] * (led.ndim - 1)
    padded = np.pad(led, padding, constant_values=filler)
    return padded.reshape(-1, size, *led.shape[1:])


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
