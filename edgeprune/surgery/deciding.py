"""Which channels leave, and how the rest stands.

All free channels are taken for dead, and brought back to life from the outputs: a channel lives
where a weight that reads it is needed for another that lives, or where what reads it cannot do
without it. What is never reached is dead, through residuals and loops too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.graphs import UNEVEN, evened
from edgeprune.patterns import Pattern
from edgeprune.surgery.blocks import INPUTS, NAMES, OUTPUTS, block_of, packed, whole_blocks
from edgeprune.surgery.booking import Origin, origins_in
from edgeprune.surgery.constants import Constants, arrived, constants, met, own
from edgeprune.surgery.costing import EMPTY, MORE_STAY
from edgeprune.surgery.flows import Ids, Part, Values
from edgeprune.surgery.grouped import Spread, gathered_shape
from edgeprune.surgery.passing import passes
from edgeprune.surgery.quotas import Quota, keeps, named, pattern_on
from edgeprune.surgery.slicing import order_of, tiles
from edgeprune.surgery.tracing import Step, Trace, runs_of

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
ONE_STAYS = "at least one channel stays in a layer"
BLOCKS = "blocks of {} stay whole"
GROUPS = "groups of {} stay whole"


def makers(step: Step, read: Part) -> tuple[Part, ...]:
    """The parts that make channels with the same weight as ``read``."""
    return tuple(
        part
        for part in step.parts
        if part.weight == read.weight and part.role == "makes" and part.axis != read.axis
    )


def made_axes(step: Step, read: Part) -> dict[int, list[Ids]]:
    """The axes on which the weight of ``read`` makes channels, in order, with the lanes there."""
    found: dict[int, list[Ids]] = {}
    for part in sorted(makers(step, read), key=lambda part: part.axis):
        found.setdefault(part.axis, []).append(part.ids)
    return found


@dataclass(frozen=True, eq=False)
class Read:
    """One part that reads, and what it meets.

    Attributes:
        step: the call.
        part: the part.
        value: the constants that it meets, one for each position.
        stuck: why a constant that is not zero cannot leave; ``None`` where it can.
        touches: (positions, what the weight makes), whether any element there is not zero; what
            it makes is one column where no channel is made.
    """

    step: Step
    part: Part
    value: Values
    stuck: str | None
    touches: Bools


@dataclass(frozen=True, eq=False)
class _Blocked:
    """A kernel whose zeros stand in blocks along the channels of a group.

    Attributes:
        nonzero: (channels, elements that touch one), whether each is not zero.
        copies: how often the channels repeat along that axis; 0 where they do in another way.
        size: of a block.
    """

    nonzero: Bools
    copies: int
    size: int


def _blocks(found: Sequence[_Blocked]) -> str:
    return BLOCKS.format(" and ".join(NAMES[size] for size in sorted({e.size for e in found})))


def _agreed(reads: list[Read]) -> list[Read]:
    """A weight that several calls share can take a constant only where it is the same in all."""
    by_weight: dict[tuple[str, int], list[Read]] = {}
    for read in reads:
        place = (read.step.weights[read.part.weight], read.part.axis)
        by_weight.setdefault(place, []).append(read)
    value = {
        place: np.where(
            np.logical_and.reduce([found[0].value == other.value for other in found]),
            found[0].value,
            np.nan,
        )
        for place, found in by_weight.items()
    }
    return [
        replace(read, value=value[read.step.weights[read.part.weight], read.part.axis])
        for read in reads
    ]


class Decision:
    """What leaves a model, from its trace and its weights.

    Attributes:
        trace: of the model.
        runs: of each kernel of a grouped convolution, by name.
        weights: every weight, by name; grouped kernels are spread out.
        values: the constants, by number of the tensor.
        reads: every part that reads.
        gone: by channel number, whether it leaves.
        orders: by origin, which of its channels stay, in their new order; only where some leave.
        kept: origin, channels and reason of what is dead and stays.
        passed: the calls that pass one input on unchanged, see :func:`passing.passes`.

    Args:
        trace: of the model.
        weights: every weight, by name.
        forced: numbers of channels that leave whatever the outputs become.
        patterns: by weight, the N:M that it is known to keep to; of others their zeros tell.
    """

    def __init__(
        self,
        trace: Trace,
        weights: Mapping[str, Array],
        forced: Ids | None = None,
        patterns: Mapping[str, Pattern] | None = None,
    ) -> None:
        self.trace = trace
        self.patterns = patterns or {}
        self.runs = runs_of(trace.steps)
        self.weights = Spread(weights, self.runs)
        self.values: Constants = constants(trace.steps, self.weights)
        self.passed = passes(trace, self.values)
        self.orders: dict[str, Ids] = {}
        self.kept: list[tuple[str, Ids, str]] = []
        self.reads = _agreed(
            [
                self._read(step, part)
                for step in trace.steps
                for part in step.parts
                if part.role == "reads"
            ]
        )
        total = sum(origin.size for origin in trace.origins)
        # One more, so that -1 (no channel) is always there.
        self._alive: Bools = np.zeros(total + 1, bool)
        self._alive[-1] = True
        self._forced: Bools = np.zeros(total + 1, bool)
        self._forced[[] if forced is None else forced] = True
        self._reads_of: dict[int, list[Read]] = {}
        self._parts_of: dict[int, list[Part]] = {}
        self._steps_of: dict[int, list[Step]] = {}
        self._makes_of: dict[int, list[tuple[Step, Part]]] = {}
        for read in self.reads:
            for place in origins_in(trace.origins, read.part.ids).tolist():
                self._reads_of.setdefault(place, []).append(read)
        for step in trace.steps:
            for part in step.parts:
                for place in origins_in(trace.origins, part.ids).tolist():
                    self._parts_of.setdefault(place, []).append(part)
                    steps = self._steps_of.setdefault(place, [])
                    if not steps or steps[-1] is not step:
                        steps.append(step)
                    if part.role == "makes":
                        self._makes_of.setdefault(place, []).append((step, part))

    @property
    def gone(self) -> Bools:
        """By channel number."""
        return ~self._alive[:-1]

    def _read(self, step: Step, part: Part) -> Read:
        rule = step.rule
        assert rule is not None
        kernel = self.weights[step.weights[part.weight]]
        axes = made_axes(step, part)
        moved = np.moveaxis(kernel, part.axis, 0)
        # moveaxis pushed the axes before the one that reads back by one.
        others = tuple(
            axis + (axis < part.axis)
            for axis in range(kernel.ndim)
            if axis != part.axis and axis not in axes
        )
        touches = np.asarray((moved != 0).any(axis=others)).reshape(kernel.shape[part.axis], -1)
        if touches.all():
            touches = np.broadcast_to(True, touches.shape)  # which takes no memory
        values = [self.values[number] for number in step.node.inputs]
        value = rule.met(step.node.call, own(step, self.weights), values, part)
        return Read(step, part, value, rule.folds(step.node.call, part), touches)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a weight as its layer has it."""
        shape = self.weights[name].shape
        return gathered_shape(shape, self.runs[name]) if name in self.runs else shape

    def decide(self) -> None:
        """Which channels leave."""
        for origin in self.trace.origins:
            if origin.stays is not None:
                self._revive(np.arange(origin.start, origin.start + origin.size))
        self._demanded()
        self._spread()
        for origin in self.trace.origins:
            if origin.stays is None and not self._alive_of(origin).any():
                self._revive(np.array([origin.start]))
                self.kept.append((origin.name, np.array([0]), ONE_STAYS))
                self._spread()
        self._fill()
        self._least()
        self._even()
        # Readers first: which of their columns stay tells what pattern a kernel has.
        for place, origin in reversed([*enumerate(self.trace.origins)]):
            if origin.stays is None or self._forced_of(origin).any():
                self._stand(place, origin)
        # As large as the kernels, and of no more use.
        self.reads = [replace(read, touches=np.zeros((0, 0), bool)) for read in self.reads]
        self._reads_of.clear()

    def _fill(self) -> None:
        """No tensor may become empty, a slice of one neither: one of its positions stays."""
        empty = True
        while empty:
            empty = False
            for step in self.trace.steps:
                for lanes in (lanes for flow in step.flows for lanes in flow if lanes):
                    if not lanes[0].size:
                        continue  # it was empty before
                    if not np.logical_and.reduce([self._alive[ids] for ids in lanes]).any():
                        empty = True
                        ids = np.array([ids[0] for ids in lanes])
                        self._tell(ids[ids >= 0], EMPTY)
                        self._keep(ids)
            if empty:
                self._spread()

    def _least(self) -> None:
        """Where an axis cannot do without some positions, the first of its dead ones stay."""
        for part in [part for step in self.trace.steps for part in step.parts if part.least > 1]:
            dead = part.ids[~self._alive[part.ids]]
            ids = dead[: max(0, part.least - (part.ids.size - dead.size))]
            self._tell(ids, MORE_STAY)
            if self._keep(ids):
                self._spread()

    def _even(self) -> None:
        """The runs of a grouped convolution that stay keep as many inputs, and as many filters,
        as the fullest of them."""
        grouped = [
            (part.runs, [part.ids], made_axes(step, part)[part.axis + 1])
            for step in self.trace.steps
            for part in step.parts
            if part.runs > 1
        ]
        uneven = bool(grouped)
        if uneven:
            self._unpatterned([ids for _, *lanes in grouped for each in lanes for ids in each])
        while uneven:
            uneven = False
            for runs, *lanes in grouped:
                uneven |= self._evened(lanes, runs)
            if uneven:
                self._spread()

    def _unpatterned(self, lanes: Sequence[Ids]) -> None:
        """Runs keep their order, so channels that a pattern would move for its blocks all stay."""
        for place in origins_in(self.trace.origins, np.concatenate(lanes)).tolist():
            origin = self.trace.origins[place]
            dead = ~self._alive_of(origin)
            if not dead.any():
                continue
            found, quotas = self._blocked(place, origin, dead), self._quotas(place, origin, dead)
            if found or quotas:
                ids = origin.start + np.flatnonzero(dead)
                self._tell(ids, _blocks(found) if found else GROUPS.format(named(quotas)))
                self._keep(ids)
        self._spread()

    def _evened(self, lanes: Sequence[list[Ids]], runs: int) -> bool:
        alive = [
            np.logical_and.reduce([self._alive[ids] for ids in each]).reshape(runs, -1)
            for each in lanes
        ]
        moved = False
        for each, before, after in zip(lanes, alive, evened(*alive), strict=True):
            back = np.flatnonzero(after & ~before)
            for ids in each if back.size else ():
                self._tell(ids[back], UNEVEN)
                moved |= self._keep(ids[back])
        return moved

    def _tell(self, ids: Ids, reason: str) -> None:
        """That these stay although they are dead, group by group."""
        for place in origins_in(self.trace.origins, ids).tolist():
            origin = self.trace.origins[place]
            mine = ids[(ids >= origin.start) & (ids < origin.start + origin.size)]
            dead = np.unique(mine[~self._alive[mine]])
            if dead.size:
                self.kept.append((origin.name, dead - origin.start, reason))

    def _alive_of(self, origin: Origin) -> Bools:
        return self._alive[origin.start : origin.start + origin.size]

    def _forced_of(self, origin: Origin) -> Bools:
        return self._forced[origin.start : origin.start + origin.size]

    def _keep(self, ids: Ids) -> bool:
        """What cannot be done without, asked for or not."""
        self._forced[ids] = False
        return self._revive(ids)

    def _revive(self, ids: Ids) -> bool:
        ids = ids[~self._forced[ids]]
        fresh = not self._alive[ids].all()
        self._alive[ids] = True
        return fresh

    def _demanded(self) -> None:
        for step in self.trace.steps:
            for demand in step.demands:
                sources = arrived(demand, step, self.values, self.weights)
                constant = np.logical_and.reduce([np.isfinite(source) for source in sources])
                needed = ~met(demand, sources)
                self._tell(demand.ids[needed & constant], demand.reason)
                (self._keep if demand.always else self._revive)(demand.ids[needed])

    def _spread(self) -> None:
        """From what lives to what it reads, until nothing new comes to life."""
        moved = True
        while moved:
            moved = False
            for read in reversed(self.reads):
                moved |= self._revive(read.part.ids[self._needed(read)])

    def _needed(self, read: Read) -> Bools:
        """Positions that some channel that lives needs as they are."""
        bound = ~np.isfinite(read.value)
        if read.stuck is not None:
            bound |= read.value != 0
        dead = ~self._alive[read.part.ids]
        if not (bound & dead).any():
            return np.zeros(bound.size, bool)
        return bound & self._read_by_the_living(read)

    def _live_columns(self, read: Read) -> Bools:
        """Which columns of what a read touches some channel that lives is made by."""
        live: Bools = np.ones(1, bool)
        for lanes in made_axes(read.step, read.part).values():
            alive = np.logical_and.reduce([self._alive[ids] for ids in lanes])
            live = np.logical_and.outer(live, alive).reshape(-1)
        return live

    def _stand(self, place: int, origin: Origin) -> None:
        """How what is left of a group stands, where some of it is dead."""
        dead = ~self._alive_of(origin)
        self._tell_stuck(place, origin)
        if not dead.any():
            return
        order = self._order(place, origin, dead)
        stays = np.zeros(origin.size, bool)
        stays[order] = True
        self._alive_of(origin)[:] = stays
        if order.size < origin.size:
            self.orders[origin.name] = order

    def _tell_stuck(self, place: int, origin: Origin) -> None:
        """Constants that stay because what reads them cannot take them."""
        for read in self._reads_of.get(place, ()):
            if read.stuck is None:
                continue
            held = np.isfinite(read.value) & (read.value != 0) & self._read_by_the_living(read)
            channels = np.unique(read.part.ids[held] - origin.start)
            channels = channels[(channels >= 0) & (channels < origin.size)]
            if channels.size:
                reason = f"{read.step.name} reads a constant, and {read.stuck}"
                self.kept.append((origin.name, channels, reason))

    def _read_by_the_living(self, read: Read) -> Bools:
        """Positions that some channel that lives reads with a weight that is not zero."""
        live = self._live_columns(read)
        touches = read.touches if live.all() else read.touches[:, live]
        return np.asarray(touches.any(axis=1))

    def _order(self, place: int, origin: Origin, dead: Bools) -> Ids:
        """What stays, in its new order: blocks stay whole, and N:M keeps to its groups."""
        order = self._in_blocks(place, origin, dead)
        quotas = self._quotas(place, origin, dead)
        if not quotas:
            return order
        size = math.lcm(*(quota.size for quota in quotas))
        orders = [self.orders.get(each.name) for each in self.trace.origins]
        for some in (order, whole_blocks(dead, size).order, np.arange(origin.size)):
            orders[place] = some
            if all(quota.stands(self.trace.origins, orders) for quota in quotas):
                break
        stay = np.sort(np.setdiff1d(some[dead[some]], order))
        if stay.size:
            self.kept.append((origin.name, stay, GROUPS.format(named(quotas))))
        return some

    def _quotas(self, place: int, origin: Origin, dead: Bools) -> list[Quota]:
        """The kernels that keep to an N:M along the channels of a group."""
        found = []
        gone = np.append(~self._alive[:-1], False)
        gone[origin.start : origin.start + origin.size] = dead
        seen = set()
        for step in self._steps_of[place]:
            for part in step.parts:
                name = step.weights[part.weight]
                inside = origins_in(self.trace.origins, part.ids)
                if part.role == "follows" or place not in inside or (name, part.axis) in seen:
                    continue
                seen.add((name, part.axis))
                kernel = self.weights[name]
                # Spread out, a grouped kernel has zeros in an order of their own.
                if kernel.ndim < 2 or (name in self.runs and name not in self.patterns):
                    continue
                nonzero = np.moveaxis(kernel != 0, part.axis, 0).reshape(part.ids.size, -1)
                asked = pattern_on(self.patterns, name, part.role, nonzero, gone[part.ids])
                if asked is None or not keeps(nonzero, *asked):
                    continue
                lanes = tuple(
                    other.ids
                    for other in step.parts
                    if (other.weight, other.axis) == (part.weight, part.axis)
                )
                found.append(Quota(f"{asked[0]}:{asked[1]}", *asked, nonzero, lanes))
        return found

    def _in_blocks(self, place: int, origin: Origin, dead: Bools) -> Ids:
        """What stays, in an order that keeps blocks whole."""
        found = self._blocked(place, origin, dead)
        if not found:
            return np.flatnonzero(~dead)
        movable = all(each.copies for each in found)
        movable &= all(order_of(part.ids, origin) is not None for part in self._parts_of[place])
        if not movable:
            self.kept.append((origin.name, np.flatnonzero(dead), _blocks(found)))
            return np.arange(origin.size)
        size = max(each.size for each in found)
        tail = all(each.copies == 1 for each in found)
        if any(each.size != size for each in found):
            packing = whole_blocks(dead, size)  # which keeps those of every size
            if not tail and packing.order.size % size:
                packing = whole_blocks(np.zeros(dead.size, bool), size)
        else:
            kernels = np.concatenate([each.nonzero for each in found], axis=1)
            packing = packed(kernels, dead, tail=tail, size=size)
        if packing.kept.size:
            self.kept.append((origin.name, np.sort(packing.kept), _blocks(found)))
        if packing.order.size == origin.size:
            return np.arange(origin.size)
        return packing.order

    def _blocked(self, place: int, origin: Origin, dead: Bools) -> list[_Blocked]:
        """The kernels with a pattern along the channels of a group."""
        found = [self._patterned(read, origin, dead) for read in self._reads_of.get(place, ())]
        makes = self._makes_of.get(place, ())
        found += [self._made_in_blocks(step, part, origin, dead) for step, part in makes]
        return [each for each in found if each is not None]

    def _made_in_blocks(
        self, step: Step, part: Part, origin: Origin, dead: Bools
    ) -> _Blocked | None:
        """The kernel of a 1×1 convolution that makes these channels, in blocks of its outputs."""
        name, copies = step.weights[part.weight], tiles(part.ids, origin)
        kernel = self.weights[name]
        if name in self.runs or not copies or part.axis != kernel.ndim - 1:
            return None
        if set(kernel.shape[:-2]) != {1}:
            return None
        nonzero = np.moveaxis(kernel != 0, -1, 0).reshape(kernel.shape[-1], -1)
        size = block_of(nonzero, np.tile(dead, copies), OUTPUTS)
        if size is None:
            return None
        stacked = nonzero.reshape(copies, origin.size, -1)
        return _Blocked(np.moveaxis(stacked, 0, 1).reshape(origin.size, -1), copies, size)

    def _patterned(self, read: Read, origin: Origin, dead: Bools) -> _Blocked | None:
        """A Dense kernel with a pattern along its inputs; ``None`` without one."""
        local = read.part.ids - origin.start
        inside = (local >= 0) & (local < origin.size)
        if not inside.any() or self.weights[read.step.weights[read.part.weight]].ndim != 2:
            return None
        nonzero = read.touches[:, self._live_columns(read)]
        leaving = np.zeros(local.size, bool)
        leaving[inside] = dead[local[inside]]
        size = block_of(nonzero, leaving, INPUTS)
        if size is None:
            return None
        copies = tiles(read.part.ids, origin)
        if not copies:
            return _Blocked(nonzero, 0, size)
        stacked = nonzero.reshape(copies, origin.size, -1)
        return _Blocked(np.moveaxis(stacked, 0, 1).reshape(origin.size, -1), copies, size)
