"""Slices of one weight found in another, by equal numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
_OTHERS = 24
"""Positions of other unknown axes that are looked at."""


def placed(channel: Array, order: Ids, size: int) -> Ids:
    """The positions of an axis whose channels are in ``order``, as they stand then.

    Args:
        channel: of each position; -1 for none, which stays.
        order: the channels that are left.
        size: of the group.
    """
    stays = np.flatnonzero(np.isin(channel, order) | (channel < 0))
    if (np.diff(order) > 0).all() or channel.size % size:
        return stays
    # Channels that changed places (a kernel in blocks): each run of the axis has them so.
    grid = np.arange(channel.size)
    if np.array_equal(channel, np.tile(np.arange(size), channel.size // size)):
        return grid.reshape(-1, size)[:, order].reshape(-1)
    if np.array_equal(channel, np.repeat(np.arange(size), channel.size // size)):
        return grid.reshape(size, -1)[order].reshape(-1)
    return stays


def looked_up(ours: Array, theirs: Array, unknown: Sequence[int]) -> list[list[Ids | None]] | None:
    """For each position of each unknown axis, where it can stand in ``theirs``.

    Args:
        ours, theirs: alike but for the lengths of the unknown axes; zeros of ``ours`` fit anything.
        unknown: the axes.

    Returns:
        ``None`` for a position that has only zeros; ``None`` altogether where one stands nowhere.
    """
    rest = [axis for axis in range(ours.ndim) if axis not in unknown]
    mine, other = (value.transpose([*unknown, *rest]) for value in (ours, theirs))
    lengths = other.shape[: len(unknown)]
    table = _Table(other.reshape(int(np.prod(lengths)), -1))
    found = []
    for place, length in enumerate(mine.shape[: len(unknown)]):
        candidates: list[Ids | None] = [None] * length
        for where in np.ndindex(*_sampled(mine.shape[: len(unknown)], place)):
            index = tuple(_spread(mine.shape, where, place))
            rows = table.rows(mine[index].reshape(-1))
            if rows is None:
                continue
            mates = np.unique(np.unravel_index(rows, lengths)[place])
            before = candidates[where[place]]
            both = mates if before is None else np.intersect1d(before, mates)
            if not both.size:
                return None
            candidates[where[place]] = both
        found.append(candidates)
    return found


def _sampled(shape: tuple[int, ...], place: int) -> list[int]:
    return [n if axis == place else min(n, _OTHERS) for axis, n in enumerate(shape)]


def _spread(shape: tuple[int, ...], where: tuple[int, ...], place: int) -> list[int]:
    """The places of a sample, evenly over the axis."""
    return [
        at if axis == place or shape[axis] <= _OTHERS else at * shape[axis] // _OTHERS
        for axis, at in enumerate(where)
    ]


def each_its_own(candidates: Sequence[Ids], length: int) -> Ids | None:
    """A choice in which no position of ``length`` is taken twice; ``None`` where there is none."""
    taken = np.zeros(length, bool)
    chosen = np.full(len(candidates), -1)
    for place in sorted(range(len(candidates)), key=lambda at: candidates[at].size):
        left = candidates[place][~taken[candidates[place]]]
        if not left.size:
            return None
        chosen[place] = left[0]
        taken[left[0]] = True
    return chosen


class _Table:
    """Vectors that are looked up by their first element that is not zero."""

    def __init__(self, vectors: Array) -> None:
        self._vectors = vectors
        self._sorted: dict[int, tuple[Array, Ids]] = {}

    def rows(self, wanted: Array) -> Ids | None:
        """The vectors that agree with ``wanted`` where that is not zero; ``None``: it is zero."""
        there = np.flatnonzero(wanted)
        if not there.size:
            return None
        first = int(there[0])
        if first not in self._sorted:
            order = np.argsort(self._vectors[:, first], kind="stable")
            self._sorted[first] = (self._vectors[order, first], order)
        values, order = self._sorted[first]
        low, high = (np.searchsorted(values, wanted[first], side) for side in ("left", "right"))
        mates = order[low:high]
        same = (self._vectors[mates][:, there] == wanted[there]).all(axis=1)
        return np.sort(mates[same])
