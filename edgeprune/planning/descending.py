"""Down which steps the groups of a model get narrower, and how far each goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.planning.constraining import Constraints

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ladder:
    """The widths that one group may take.

    Attributes:
        size: channels of the group.
        order: every channel, in the order in which they leave.
        stops: ascending; how many of ``order`` have left at each allowed width. The group is at
            the first, or has to go there.
        price: float64, for each step from one stop to the next: mean score of a channel that
            leaves on it; never falls.
    """

    size: int
    order: Ints
    stops: Ints
    price: Floats

    def gone(self, steps: int) -> npt.NDArray[np.int32]:
        """The channels that have left after so many steps, sorted."""
        return np.sort(self.order[: self.stops[steps]]).astype(np.int32)


def ladder(
    rated: Floats,
    constraints: Constraints,
    *,
    before: npt.NDArray[np.int32] | None = None,
    bundles: npt.NDArray[np.integer] | None = None,
) -> Ladder:
    """The lowest scores leave first, of equal ones the first in order.

    Args:
        rated: one score per channel.
        constraints: on the widths.
        before: channels that are gone already. A group that is then at no allowed width has to go
            on to the next one, where there is one.
        bundles: one number per channel; those of one number leave together, by their mean score.
            Each by itself where absent.
    """
    there = np.ones(rated.size, bool)
    if before is not None:
        there[before] = False
    left = np.flatnonzero(there)
    labels = np.arange(rated.size) if bundles is None else bundles
    _, inside, sizes = np.unique(labels[left], return_inverse=True, return_counts=True)
    ranked = np.argsort(np.bincount(inside, rated[left]) / sizes, kind="stable")
    place = np.argsort(ranked)
    order = np.concatenate([np.flatnonzero(~there), left[np.argsort(place[inside], kind="stable")]])
    bounds = rated.size - left.size + np.concatenate([[0], np.cumsum(sizes[ranked])])
    fits = constraints.fit(rated.size, rated.size - bounds)
    stops = bounds[fits] if fits.any() else bounds[:1]
    price = np.add.reduceat(rated[order[: stops[-1]]], stops[:-1]) / np.diff(stops)
    # Sums round: a step must not seem cheaper than the one before it.
    return Ladder(rated.size, order, stops, np.maximum.accumulate(price))


def descend(ladders: Sequence[Ladder], share: float) -> list[int]:
    """How many steps each group goes down, so that what has left of all together comes nearest
    to ``share``: always the step with the lowest price, of equal ones the first in order.

    More is never asked of a group by a lower share. Halfway between two counts the one that
    ``round`` gives is taken where it can be, else the lower.
    """
    sizes = np.concatenate([np.diff(each.stops) for each in ladders])
    owner = np.repeat(np.arange(len(ladders)), [each.price.size for each in ladders])
    ranked = np.argsort(np.concatenate([each.price for each in ladders]), kind="stable")
    start = sum(int(each.stops[0]) for each in ladders)
    counts = start + np.concatenate([[0], np.cumsum(sizes[ranked])])
    steps = _nearest(counts, share * sum(each.size for each in ladders))
    return np.bincount(owner[ranked[:steps]], minlength=len(ladders)).tolist()


def _nearest(counts: Ints, exact: float) -> int:
    off = np.abs(counts - exact)
    near = np.flatnonzero(off == off.min())
    return int(near[np.argmin(np.abs(counts[near] - round(exact)))])
