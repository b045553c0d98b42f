"""Channel numbers: handed out, tied together, held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.surgery.flows import Ids
from edgeprune.surgery.merging import components


@dataclass
class Origin:
    """Channels of one group: numbers ``start`` to ``start + size - 1``.

    Attributes:
        fixed: why none of them may leave.
        mixed: why none of them may leave without changing the outputs.
    """

    name: str
    start: int
    size: int
    fixed: str | None = None
    mixed: str | None = None

    @property
    def stays(self) -> str | None:
        """Why no channel leaves exactly; ``None`` where they may."""
        return self.fixed or self.mixed


class Numbers:
    """Hands out channel numbers and remembers what is tied and what is fixed."""

    def __init__(self) -> None:
        self.layer = ""
        self._origins: list[Origin] = []
        self._taken: Counter[str] = Counter()
        self._next = 0
        self._left: list[Ids] = []
        self._right: list[Ids] = []
        self._fixed: list[tuple[Ids, str, bool]] = []
        self._mixed: list[tuple[Ids, str]] = []

    def fresh(self, size: int) -> Ids:
        """Numbers for ``size`` new channels, made by the layer at hand."""
        name = self.layer
        self._taken[name] += 1
        if self._taken[name] > 1:
            name = f"{name}:{self._taken[name] - 1}"
        start, self._next = self._next, self._next + size
        self._origins.append(Origin(name, start, size))
        return np.arange(start, self._next, dtype=np.int64)

    def fix(self, ids: Ids, reason: str, *, inexact: bool = False, last: bool = False) -> None:
        """The groups of these channels keep their size; the first reason is told, unless a
        ``last`` one comes. Where ``inexact``, they may lose channels if the outputs may change."""
        known = ids[ids >= 0]
        if known.size and inexact:
            self._mixed.append((known, reason))
        elif known.size:
            self._fixed.append((known, reason, last))

    def tie(self, one: Ids, other: Ids, reason: str) -> None:
        """What stands at the same position of both is one channel; where only one of them has a
        channel, it keeps its size."""
        both = (one >= 0) & (other >= 0)
        self._left.append(one[both])
        self._right.append(other[both])
        self.fix(np.where(both, -1, np.maximum(one, other)), reason)

    def settled(self) -> tuple[tuple[Origin, ...], Ids]:
        """The groups, and for each number handed out the one that it has in them."""
        empty = np.zeros(0, np.int64)
        left, right = (np.concatenate([empty, *ends]) for ends in (self._left, self._right))
        root = components(self._next, left, right)
        sizes = [origin.size for origin in self._origins]
        place = np.repeat(np.arange(len(sizes)), sizes)
        group = components(len(sizes), place, place[root])[place]
        # Groups in the order of their first layer, channels in the order of their first number.
        heads = np.flatnonzero(root == np.arange(self._next))
        order = heads[np.argsort(group[heads], kind="stable")]
        label = np.zeros(self._next, np.int64)
        label[order] = np.arange(order.size)
        label = label[root]
        return self._grouped(group, order), label

    def _grouped(self, group: Ids, order: Ids) -> tuple[Origin, ...]:
        found: dict[int, Origin] = {}
        places, sizes = np.unique(group[order], return_counts=True)
        start = 0
        for place, size in zip(places.tolist(), sizes.tolist(), strict=True):
            found[place] = Origin(self._origins[place].name, start, size)
            start += size
        for ids, reason, last in self._fixed:
            for place in np.unique(group[ids]).tolist():
                if last or found[place].fixed is None:
                    found[place].fixed = reason
        for ids, reason in self._mixed:
            for place in np.unique(group[ids]).tolist():
                found[place].mixed = found[place].mixed or reason
        return tuple(found.values())


def origin_of(origins: Sequence[Origin], ids: Ids) -> Ids:
    """Which origin each channel belongs to (its place in ``origins``), -1 for none."""
    starts = np.array([origin.start for origin in origins], np.int64)
    found = np.searchsorted(starts, ids, side="right") - 1
    return np.where(ids < 0, -1, found)


def origins_in(origins: Sequence[Origin], ids: Ids) -> npt.NDArray[np.int64]:
    """Places of the origins whose channels stand in ``ids``."""
    places = np.unique(origin_of(origins, ids))
    return places[places >= 0]
