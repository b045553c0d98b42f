"""Which channels leave, and how the rest stands: readers are decided before makers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.surgery.blocks import has_pattern, packed
from edgeprune.surgery.constants import constants
from edgeprune.surgery.rules.base import Ids, Part, Values, flat
from edgeprune.surgery.slicing import order_of, origins_in, tiles
from edgeprune.surgery.tracing import Origin, Step, Trace

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
ONE_STAYS = "at least one channel stays in a layer"
BLOCKS = "blocks of 1x4 stay whole"


def makes(step: Step, read: Part) -> Part:
    """The part that makes channels with the same weight as ``read``."""
    parts = step.sent.parts if step.sent else ()
    return next(part for part in parts if part.weight == read.weight and part.role == "makes")


@dataclass(frozen=True, eq=False)
class Read:
    """One part that reads, and what it meets."""

    step: Step
    part: Part
    value: Values


class Decision:
    """One pass from the outputs back.

    Attributes:
        trace: of the model.
        weights: every weight, by name.
        values: the constants, by ``id`` of the tensor.
        gone: by channel number, whether it leaves.
        orders: by origin, which of its channels stay, in their new order; only where some leave.
        kept: origin, channels and reason of what is dead and stays.
    """

    def __init__(self, trace: Trace, weights: dict[str, Array]) -> None:
        self.trace = trace
        self.weights = weights
        self.values = constants(trace, weights)
        total = sum(origin.size for origin in trace.origins)
        self.gone: Bools = np.zeros(total, bool)
        self.orders: dict[str, Ids] = {}
        self.kept: list[tuple[str, Ids, str]] = []
        self.reads: dict[int, list[Read]] = {}
        for step in trace.steps:
            for part in step.sent.parts if step.sent else ():
                if part.role == "reads":
                    value = flat(self.values[id(step.call.inputs[0])])
                    self._file(Read(step, part, value))

    def _file(self, read: Read) -> None:
        for place in origins_in(self.trace, read.part.ids):
            self.reads.setdefault(place, []).append(read)

    def decide(self) -> None:
        """Which channels leave, readers before makers."""
        for place in reversed(range(len(self.trace.origins))):
            origin = self.trace.origins[place]
            if origin.fixed is None:
                self._decide(place, origin, self.reads.get(place, []))

    def _decide(self, place: int, origin: Origin, reads: list[Read]) -> None:
        dead = np.ones(origin.size, bool)
        for read in reads:
            dead &= self._releases(origin, read)
        dead = self._but_one(origin, dead)
        if not dead.any():
            return
        order = self._order(place, origin, reads, dead)
        if order.size < origin.size:
            self.orders[origin.name] = order
            gone = np.ones(origin.size, bool)
            gone[order] = False
            self.gone[origin.start : origin.start + origin.size] = gone

    def _releases(self, origin: Origin, read: Read) -> Bools:
        """Which of the group's channels this reader can do without."""
        needed = self._needed(read)
        constant = np.isfinite(read.value)
        reason = read.step.rule.folds(read.step.call) if read.step.rule else None
        stuck = needed & constant & (read.value != 0) & (reason is not None)
        free = ~needed | (constant & ~stuck)
        if stuck.any() and reason:
            channels = np.unique(self._channels(origin, read.part.ids, stuck))
            if channels.size:
                self.kept.append(
                    (origin.name, channels, f"{read.step.name} reads a constant, and {reason}")
                )
        held = np.ones(origin.size, bool)
        held[self._channels(origin, read.part.ids, ~free)] = False
        return held

    def _needed(self, read: Read) -> Bools:
        """Which positions some weight reads for a channel that stays."""
        kernel = self.weights[read.step.weights[read.part.weight]]
        made = makes(read.step, read.part)
        stays = ~self.gone[made.ids]
        used = np.compress(stays, kernel, axis=made.axis) != 0
        return used.any(axis=tuple(axis for axis in range(used.ndim) if axis != read.part.axis))

    @staticmethod
    def _channels(origin: Origin, ids: Ids, where: Bools) -> Ids:
        found = ids[where] - origin.start
        return found[(found >= 0) & (found < origin.size)]

    def _but_one(self, origin: Origin, dead: Bools) -> Bools:
        if dead.all():
            dead = dead.copy()
            dead[0] = False
            self.kept.append((origin.name, np.array([0]), ONE_STAYS))
        return dead

    def _order(self, place: int, origin: Origin, reads: list[Read], dead: Bools) -> Ids:
        """What stays, in its new order."""
        kernels, tail, movable = [], True, True
        for read in reads:
            found = self._patterned(read, origin, dead)
            if found is None:
                continue
            kernel, copies = found
            movable &= copies > 0
            tail &= copies == 1
            kernels.append(kernel)
        if not kernels:
            return np.flatnonzero(~dead)
        movable &= all(order_of(part.ids, origin) is not None for part in self._parts(place))
        if not movable:
            self.kept.append((origin.name, np.flatnonzero(dead), BLOCKS))
            return np.arange(origin.size)
        packing = packed(np.concatenate(kernels, axis=1), dead, tail=tail)
        if packing.kept.size:
            self.kept.append((origin.name, np.sort(packing.kept), BLOCKS))
        if packing.order.size == origin.size:
            return np.arange(origin.size)
        return packing.order

    def _patterned(self, read: Read, origin: Origin, dead: Bools) -> tuple[Bools, int] | None:
        """A Dense kernel with a pattern as (channels, elements that read one), and how often the
        channels repeat along its input (0: in another way); ``None`` without a pattern."""
        kernel = self.weights[read.step.weights[read.part.weight]]
        if kernel.ndim != 2:
            return None
        stays = ~self.gone[makes(read.step, read.part).ids]
        nonzero = kernel[:, stays] != 0
        local = read.part.ids - origin.start
        inside = (local >= 0) & (local < origin.size)
        leaving = np.zeros(local.size, bool)
        leaving[inside] = dead[local[inside]]
        if not has_pattern(nonzero, leaving):
            return None
        copies = tiles(read.part.ids, origin)
        if not copies:
            return nonzero, 0
        stacked = nonzero.reshape(copies, origin.size, -1)
        return np.moveaxis(stacked, 0, 1).reshape(origin.size, -1), copies

    def _parts(self, place: int) -> Iterator[Part]:
        for step in self.trace.steps:
            for part in step.sent.parts if step.sent else ():
                if place in origins_in(self.trace, part.ids):
                    yield part
