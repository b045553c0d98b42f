"""Grouped convolutions stay even: which channels of a group leave together, in bundles.

A bundle has as many channels in each run as in the next, of every grouped convolution that the
group sits in. So the runs are alike after any number of bundles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeprune.graphs import Graph, Group

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def in_runs(graph: Graph, group: Group) -> tuple[Ints, ...]:
    """How a group lies in the runs of grouped convolutions.

    Returns:
        For each side (inputs, filters) of each grouped kernel, where it matters which channels
        leave: int64 (channels, runs), how many positions of a run a channel has.
    """
    found = []
    for member in group.members:
        rows = member.channel
        weight = graph.weights.get(member.weight)
        if rows.ndim == 1:
            if weight is None or weight.runs == 1 or member.axis + 1 != len(weight.shape):
                continue
            rows = rows.reshape(weight.runs, -1)
        counts = [np.bincount(row[row >= 0], minlength=group.size) for row in rows]
        found.append(np.stack(counts, axis=1).astype(np.int64))
    return tuple(counts for counts in found if (counts != counts[:, :1]).any())


def bundled(rated: Floats, sides: Sequence[Ints], there: npt.NDArray[np.bool_]) -> Ints | None:
    """Which channels leave together; the lowest scores in the same bundle.

    Args:
        rated: one score per channel.
        sides: from :func:`in_runs`.
        there: by channel, whether it has not left yet.

    Returns:
        One number per channel, those of one number are a bundle (that of a channel which is not
        there says nothing); ``None`` where what is there does not fill the runs alike, or no part
        of the whole group does.
    """
    labels = np.arange(rated.size, dtype=np.int64)
    if not sides:
        return labels
    alone = np.logical_and.reduce([(counts == counts[:, :1]).all(axis=1) for counts in sides])
    left = np.flatnonzero(there & ~alone)
    inside = [counts[left] for counts in sides]
    filled = [counts.sum(axis=0) for counts in inside]
    if any((each != each[0]).any() for each in filled):
        return None
    if not left.size:
        return labels
    partitions = _partitions(inside)
    if partitions is not None and len(partitions) == 2:
        found = _matched(rated[left], *partitions)
    else:
        found = _searched(rated[left], inside)
    if left.size == rated.size and not found.any():
        return None
    labels[left] = rated.size + found
    return labels


def _searched(rated: Floats, sides: Sequence[Ints]) -> Ints:
    """Bundles that fill each run to the same height, the lowest heights first; on several sides
    in the same proportion. What no bundle is found of leaves together."""
    lies = np.hstack(sides)
    kinds, kind = np.unique(lies, axis=0, return_inverse=True)
    order = np.argsort(rated, kind="stable")
    search = _Search(kinds, [order[kind.reshape(-1)[order] == each] for each in range(len(kinds))])
    filled = lies.sum(axis=0)
    whole = left = math.gcd(*filled.tolist())
    bundle, number, part = np.zeros(rated.size, np.int64), 0, 1
    while 2 * part <= left:
        channels = search.filling(filled * part // whole, rated)
        if channels is None:
            part += 1
            continue
        bundle[channels] = number
        number, left = number + 1, left - part
    bundle[search.rest()] = number
    return bundle


class _Search:
    """Channels by how they lie in the runs, the lowest scores first."""

    tries = 2000
    """Dead ends before what is left counts as one bundle."""

    def __init__(self, kinds: Ints, channels: Sequence[Ints]) -> None:
        self._kinds = kinds
        self._channels = channels
        self._next = [0] * len(channels)

    def rest(self) -> Ints:
        """What is in no bundle yet."""
        parts = zip(self._channels, self._next, strict=True)
        return np.concatenate([channels[start:] for channels, start in parts])

    def filling(self, height: Ints, rated: Floats) -> list[int] | None:
        """Channels that fill each run to ``height``: the first run that is not full takes the
        lowest that fits, and the next one where that leads to a dead end."""
        filled = np.zeros_like(height)
        taken: list[int] = []
        ways = [iter(self._fitting(filled, height, rated))]
        while ways and self.tries:
            kind = next(ways[-1], None)
            if kind is not None:
                taken.append(kind)
                self._next[kind] += 1
                filled += self._kinds[kind]
                if (filled == height).all():
                    return self._named(taken)
                ways.append(iter(self._fitting(filled, height, rated)))
                continue
            ways.pop()
            self.tries -= 1
            if taken:
                filled -= self._kinds[taken[-1]]
                self._next[taken.pop()] -= 1
        for kind in taken:
            self._next[kind] -= 1
        return None

    def _fitting(self, filled: Ints, height: Ints, rated: Floats) -> list[int]:
        """Kinds of channels that reach into the first run that is not full, and none too far."""
        run = int(np.argmax(filled < height))
        fits = (self._kinds[:, run] > 0) & (filled + self._kinds <= height).all(axis=1)
        found = [
            kind
            for kind in np.flatnonzero(fits).tolist()
            if self._next[kind] < len(self._channels[kind])
        ]
        return sorted(found, key=lambda kind: rated[self._channels[kind][self._next[kind]]])

    def _named(self, taken: Sequence[int]) -> list[int]:
        last = list(self._next)
        found = []
        for kind in reversed(taken):
            last[kind] -= 1
            found.append(int(self._channels[kind][last[kind]]))
        return found


def _partitions(sides: Sequence[Ints]) -> list[Ints] | None:
    """The run of each channel, side by side, without those that are even where another is;
    ``None`` where a channel lies in several runs of one side."""
    found: list[Ints] = []
    for counts in sides:
        if ((counts > 0).sum(axis=1) != 1).any() or np.unique(counts.max(axis=1)).size > 1:
            return None
        found.append(counts.argmax(axis=1).astype(np.int64))
    found.sort(key=lambda runs: -int(runs.max()))
    needed: list[Ints] = []
    for runs in found:
        if not any(_refines(finer, runs) for finer in needed):
            needed.append(runs)
    return needed


def _refines(finer: Ints, coarser: Ints) -> bool:
    pairs = np.unique(np.stack([finer, coarser]), axis=1)
    return pairs.shape[1] == np.unique(finer).size


def _matched(rated: Floats, one: Ints, other: Ints) -> Ints:
    """Bundles of channels that two sides split into runs, each its own way (a channel shuffle).

    A channel is an edge between its run here and its run there. As all runs of a side hold as
    many, the edges fall apart into bundles that are even on both (König, 1916).

    Args:
        rated: one score per channel.
        one, other: the run of each channel.
    """
    size = math.lcm(np.unique(one).size, np.unique(other).size)
    bundle = np.full(rated.size, -1, np.int64)
    for number in range(rated.size // size):
        free = np.flatnonzero(bundle < 0)
        bundle[_even_on_both(free[np.argsort(rated[free], kind="stable")], one, other, size)] = (
            number
        )
    return bundle


def _even_on_both(free: Ints, one: Ints, other: Ints, size: int) -> list[int]:
    """``size`` channels of ``free`` (the lowest scores first), as many in each run of both sides:
    one after the other, where a run is full by sending one of its channels elsewhere."""
    share = size // np.unique(other).size
    edges = {run: free[one[free] == run].tolist() for run in np.unique(one).tolist()}
    taken: dict[int, set[int]] = {run: set() for run in np.unique(other).tolist()}
    for start in [run for run in edges for _ in range(size // len(edges))]:
        came: dict[int, tuple[int, int | None]] = {}
        queue: list[tuple[int, int | None]] = [(start, None)]
        for run, instead in queue:
            end = None
            for channel in edges[run]:
                there = int(other[channel])
                if there in came or channel in taken[there]:
                    continue
                came[there] = (channel, instead)
                if len(taken[there]) < share:
                    end = there
                    break
                queue += [(int(one[each]), each) for each in sorted(taken[there])]
            if end is not None:
                _send(end, came, taken, other)
                break
    return [channel for channels in taken.values() for channel in channels]


def _send(
    end: int, came: dict[int, tuple[int, int | None]], taken: dict[int, set[int]], other: Ints
) -> None:
    """Along the way that was found, each channel takes the place of the next."""
    there: int | None = end
    while there is not None:
        channel, instead = came[there]
        taken[there].add(channel)
        there = None
        if instead is not None:
            there = int(other[instead])
            taken[there].discard(instead)
