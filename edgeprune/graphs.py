"""Which channels of a model live or die together. Pure data; :mod:`edgeprune.surgery` makes it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Role = Literal["makes", "reads", "follows"]
"""What a member does with the channel: its weights *make* it (the kernel's output axis, a bias,
a gamma, a beta: all zero makes the channel zero), *read* it (the next kernel's input axis), or
merely *follow* its position (moving statistics: sliced, never zeroed)."""


Channels = npt.NDArray[np.int32]
Cuts = Mapping[str, Channels]
"""By group, the channels that leave."""


@dataclass(frozen=True, eq=False)
class Member:
    """One axis of one weight, tied to a group.

    Attributes:
        weight: name of the weight (:func:`edgeprune.models.named_weights`).
        axis: axis of the weight, counted from 0.
        channel: int32, one entry per position of the axis: which channel of the group sits
            there, -1 for none. Where the weight is the kernel of a grouped convolution that reads,
            (runs, positions): one row for each run of filters along its last axis.
        role: what the weight does with the channel.
    """

    weight: str
    axis: int
    channel: npt.NDArray[np.int32]
    role: Role

    def __repr__(self) -> str:
        return f"Member({self.weight!r}, axis {self.axis}, {self.role})"

    def lead(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of ``value`` (in the weight's shape) whose first axes are those of ``channel``."""
        if self.channel.ndim == 1:
            return np.moveaxis(value, self.axis, 0)
        split = value.reshape(*value.shape[:-1], self.channel.shape[0], -1)
        return np.moveaxis(split, (-2, self.axis), (0, 1))

    def facts(self) -> dict[str, Any]:
        """What ``inspect --groups --json`` prints."""
        return {
            "weight": self.weight,
            "axis": self.axis,
            "role": self.role,
            "positions": int(self.channel.size),
        }


UNEVEN = "the groups of a grouped convolution stay of equal size"
"""Why a channel stays that :func:`evened` brings back."""


def evened(
    inputs: npt.NDArray[np.bool_], filters: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """What stays of a grouped convolution, so that its runs are of equal size.

    A run of which nothing stays leaves as a whole; of the others each keeps as many as the fullest,
    the first of those that were to leave among them.

    Args:
        inputs: (runs, inputs of a run), whether each is to stay.
        filters: (runs, filters of a run), whether each is to stay.

    Returns:
        Both, with what has to stay beside.
    """
    stays = np.asarray(inputs.any(axis=1) | filters.any(axis=1), bool)
    return _filled(inputs, stays), _filled(filters, stays)


def _filled(alive: npt.NDArray[np.bool_], stays: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    count = alive.sum(axis=1)
    lack = np.where(stays, max(1, int(count.max(initial=0))) - count, 0)
    return alive | (~alive & (np.cumsum(~alive, axis=1) <= lack[:, None]))


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that leave one by one, each from every member at once.

    Attributes:
        name: name of the layer whose output the channels are.
        size: number of channels.
        members: every weight axis they sit on.
        fixed: why the group must keep its size; ``None`` where channels may leave.
        macs: multiply-accumulates per example that one channel costs, all else kept.
        parameters: weights that one channel costs, all else kept.
        inexact: why a cut changes the outputs; ``None`` where they stay.
    """

    name: str
    size: int
    members: tuple[Member, ...]
    fixed: str | None = None
    macs: int = 0
    parameters: int = 0
    inexact: str | None = None

    def __repr__(self) -> str:
        note = f", fixed: {self.fixed}" if self.fixed is not None else ""
        note += f", inexact: {self.inexact}" if self.inexact is not None else ""
        return f"Group({self.name!r}, size {self.size}, {len(self.members)} members{note})"

    def facts(self) -> dict[str, Any]:
        """What ``inspect --groups --json`` prints."""
        return {
            "name": self.name,
            "size": self.size,
            "fixed": self.fixed,
            "inexact": self.inexact,
            "macs_per_channel": self.macs,
            "parameters_per_channel": self.parameters,
            "members": [member.facts() for member in self.members],
        }


@dataclass(frozen=True)
class Weight:
    """What one weight is.

    Attributes:
        shape: its shape.
        layer: name of the layer that has it.
        runs: of a grouped convolution's kernel, how many runs of filters it has.
    """

    shape: tuple[int, ...]
    layer: str = ""
    runs: int = 1


Lane = tuple[str, npt.NDArray[np.int32]]
"""Name of a group, and which of its channels stands at each position, -1 for none."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A length that changes when channels leave: a position leaves with any of its channels.

    Attributes:
        size: its length.
        lanes: the channels on it.
    """

    size: int
    lanes: tuple[Lane, ...]

    def left(self, cuts: Cuts) -> npt.NDArray[np.bool_]:
        """By position, whether it is there when channels (by group) have left."""
        stays = np.ones(self.size, bool)
        for name, channel in self.lanes:
            if name in cuts:
                stays &= ~np.isin(channel, cuts[name])
        return stays


@dataclass(frozen=True, eq=False)
class Work:
    """Multiply-accumulates: (elements of ``weight``) × (length of each axis) × ``times``.

    Attributes:
        layer: who does it.
        weight: name of the kernel; ``None`` for products of activations with activations.
        axes: what else the product runs over and channels may leave.
        times: what does not change.
    """

    layer: str
    weight: str | None
    axes: tuple[Axis, ...]
    times: int


@dataclass(frozen=True, eq=False)
class Floor:
    """Positions of which some have to stay.

    Attributes:
        axis: the positions.
        least: how many of them; where more would leave, the first of those stay.
        reason: why.
    """

    axis: Axis
    least: int
    reason: str


@dataclass(frozen=True)
class Stay:
    """Channels that stay although they are asked for.

    Attributes:
        group: name of the group.
        channels: their numbers.
        reason: why.
    """

    group: str
    channels: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: number of weight elements.
        macs: multiply-accumulates for one example, as :func:`edgeprune.models.macs` counts them:
            of kernels, and of activations with activations where products are summed (attention,
            ``Dot``, ``matmul``).
    """

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.parameters - other.parameters, self.macs - other.macs)

    def facts(self) -> dict[str, int]:
        """JSON values."""
        return {"parameters": self.parameters, "macs": self.macs}


@dataclass(frozen=True, eq=False)
class Graph:
    """Every channel group of a model.

    Attributes:
        model: digest of the architecture (:func:`edgeprune.models.architecture_digest`).
        groups: in the order of the model's layers; names are unique.
        weights: every weight of the model, by name.
        works: all that is multiplied.
        floors: what cannot leave together.
    """

    model: str
    groups: tuple[Group, ...]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    works: tuple[Work, ...] = ()
    floors: tuple[Floor, ...] = ()

    def __repr__(self) -> str:
        return f"Graph({len(self.groups)} groups, {len(self.free)} free, model {self.model[:8]})"

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __getitem__(self, name: str) -> Group:
        for group in self.groups:
            if group.name == name:
                return group
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(group.name == name for group in self.groups)

    def facts(self) -> dict[str, Any]:
        """What ``inspect --groups --json`` prints."""
        return {"model": self.model, "groups": [group.facts() for group in self.groups]}

    def zeros_of(
        self, cuts: Cuts, shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """By weight, True where cutting channels writes a zero; only weights of ``shapes``.

        Args:
            cuts: by group, the channels.
            shapes: by weight.

        Raises:
            KeyError: no such group.
        """
        found: dict[str, npt.NDArray[np.bool_]] = {}
        for name, drop in cuts.items():
            for member in self[name].members:
                if member.weight not in shapes or member.role == "follows":
                    continue
                shape = shapes[member.weight]
                zeros = found.setdefault(member.weight, np.zeros(shape, bool))
                member.lead(zeros)[np.isin(member.channel, drop)] = True
        return found

    def leaving(self, cuts: Cuts) -> tuple[dict[str, Channels], tuple[Stay, ...]]:
        """What can leave of what is asked for, and what stays of it, with the reason.

        Only what holds whatever the weights are: how far it goes that channels stay for the sake
        of a pattern in a kernel, strip alone can tell.

        Args:
            cuts: by group, the channels.
        """
        left = {name: np.asarray(drop) for name, drop in cuts.items()}
        stays: list[Stay] = []
        moved = True
        while moved:
            moved = False
            for floor in self.floors:
                moved |= _back(left, stays, _held(floor, left), floor.reason)
            for name, weight in self.weights.items():
                if weight.runs > 1:
                    moved |= _back(left, stays, self._uneven(name, left), UNEVEN)
        return left, tuple(stays)

    def _uneven(self, name: str, cuts: Cuts) -> dict[str, Channels]:
        """By group, the channels that stay of ``cuts`` so that the runs of a kernel are even."""
        runs = self.weights[name].runs
        inputs, filters = self._sides(name)
        made = filters.left(cuts).reshape(runs, -1)
        # What only a run without filters reads leaves with it.
        read = inputs.left(cuts).reshape(runs, -1)
        for group, channel in inputs.lanes if not made.any(axis=1).all() else ():
            kept = channel.reshape(runs, -1)
            read &= made.any(axis=1, keepdims=True) | (kept < 0) | self._read(group, cuts)[kept]
        found: dict[str, Channels] = {}
        sides = ((inputs, read), (filters, made))
        for (side, before), after in zip(sides, evened(read, made), strict=True):
            places = np.flatnonzero(after & ~before)
            for group, channel in side.lanes if places.size else ():
                stay = np.intersect1d(channel[places], cuts.get(group, []))
                if stay.size:
                    found[group] = np.union1d(found.get(group, stay), stay).astype(np.int32)
        return found

    def _sides(self, name: str) -> tuple[Axis, Axis]:
        """Inputs (run after run) and filters of a grouped kernel."""
        *_, width, filters = self.weights[name].shape
        rank = len(self.weights[name].shape)
        lanes: dict[int, list[Lane]] = {rank - 2: [], rank - 1: []}
        for group in self.groups:
            for member in group.members:
                if member.weight == name and member.axis in lanes:
                    lanes[member.axis].append((group.name, member.channel.reshape(-1)))
        return (
            Axis(width * self.weights[name].runs, tuple(lanes[rank - 2])),
            Axis(filters, tuple(lanes[rank - 1])),
        )

    def _read(self, name: str, cuts: Cuts) -> npt.NDArray[np.bool_]:
        """By channel, whether it may not leave or something reads it that has filters left."""
        group = self[name]
        read = np.full(group.size, group.fixed is not None)
        for member in group.members:
            if member.role != "reads":
                continue
            rows = member.channel
            if rows.ndim > 1:
                made = self._sides(member.weight)[1].left(cuts)
                rows = rows[made.reshape(len(rows), -1).any(axis=1)]
            read[rows[rows >= 0]] = True
        return read

    def cost(self, cuts: Cuts) -> Cost:
        """What is left when exactly these channels leave (by group), and nothing else."""
        balance = Balance(self)
        balance.mark(cuts)
        return balance.left()

    @property
    def free(self) -> tuple[Group, ...]:
        """The groups whose channels may leave."""
        return tuple(group for group in self.groups if group.fixed is None)


def _back(
    cuts: dict[str, Channels], stays: list[Stay], found: Mapping[str, Channels], reason: str
) -> bool:
    """Take what has to stay out of ``cuts``; whether anything has to."""
    for name, channels in found.items():
        cuts[name] = np.setdiff1d(cuts[name], channels)
        stays.append(Stay(name, tuple(channels.tolist()), reason))
    return bool(found)


def _held(floor: Floor, cuts: Cuts) -> dict[str, Channels]:
    """By group, the channels that stay of ``cuts`` so that ``floor`` holds."""
    if not any(name in cuts for name, _ in floor.axis.lanes):
        return {}
    alive = floor.axis.left(cuts)
    lack = floor.least - int(alive.sum())
    if lack <= 0:
        return {}
    found: dict[str, Channels] = {}
    places = np.flatnonzero(~alive)[:lack]
    for name, channel in floor.axis.lanes:
        stay = np.intersect1d(channel[places], cuts.get(name, []))
        if stay.size:
            found[name] = np.union1d(found.get(name, stay), stay).astype(np.int32)
    return found


class Balance:
    """What is left of a model while channels leave, lot after lot. What two lots take together is
    counted with the first."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._gone: dict[tuple[str, int], npt.NDArray[np.bool_]] = {}
        self._cuts: dict[str, Channels] = {}
        self._works: dict[str, list[int]] = {}
        """By group or weight, the works that it changes."""
        for place, work in enumerate(graph.works):
            keys = {name for axis in work.axes for name, _ in axis.lanes}
            for key in {*keys, *([work.weight] if work.weight else ())}:
                self._works.setdefault(key, []).append(place)

    def left(
        self,
        lengths: Mapping[tuple[str, int], int] | None = None,
        without: Collection[str] = (),
    ) -> Cost:
        """Of the whole model.

        Args:
            lengths: by weight and axis; in place of what :meth:`mark` and :meth:`take` say.
            without: layers that do nothing any more.
        """
        weights = {name: self._elements(name, lengths) for name in self._graph.weights}
        works = [work for work in self._graph.works if work.layer not in without]
        macs = sum(self._macs(work, weights) for work in works)
        return Cost(sum(weights.values()), macs)

    def mark(self, cuts: Cuts) -> None:
        """These channels (by group) leave."""
        for name, drop in cuts.items():
            before = self._cuts.get(name)
            both = drop if before is None else np.union1d(before, drop)
            self._cuts[name] = np.asarray(both, np.int32)
            for member in self._graph[name].members:
                place = (member.weight, member.axis)
                lost = np.isin(member.channel, drop).reshape(-1)
                gone = self._gone.get(place)
                self._gone[place] = lost if gone is None else gone | lost

    def take(self, name: str, drop: Channels) -> dict[str, Cost]:
        """These channels of a group leave; by layer, what goes with them."""
        weights = list(dict.fromkeys(member.weight for member in self._graph[name].members))
        places = {place for key in (name, *weights) for place in self._works.get(key, ())}
        before = self._parts(weights, places)
        self.mark({name: drop})
        after = self._parts(weights, places)
        lost: dict[str, Cost] = {}
        for (layer, one), (_, other) in zip(before, after, strict=True):
            if one != other:
                lost[layer] = lost.get(layer, Cost()) + one - other
        return lost

    def _parts(self, weights: list[str], places: set[int]) -> list[tuple[str, Cost]]:
        works = [self._graph.works[place] for place in sorted(places)]
        names = {*weights, *(work.weight for work in works if work.weight)}
        sizes = {name: self._elements(name) for name in names}
        return [
            *((self._graph.weights[name].layer, Cost(sizes[name], 0)) for name in weights),
            *((work.layer, Cost(0, self._macs(work, sizes))) for work in works),
        ]

    def _elements(self, name: str, lengths: Mapping[tuple[str, int], int] | None = None) -> int:
        weight = self._graph.weights[name]
        if lengths is not None:
            left = [lengths.get((name, axis), size) for axis, size in enumerate(weight.shape)]
            return math.prod(left)
        left = [
            length - int(self._gone[name, axis].sum()) if (name, axis) in self._gone else length
            for axis, length in enumerate(weight.shape)
        ]
        if weight.runs == 1:
            return math.prod(left)
        # Each filter holds the inputs of its own run.
        inputs, filters = (self._in_runs(name, len(left) + side, weight.runs) for side in (-2, -1))
        return math.prod(left[:-2]) * int((inputs * filters).sum())

    def _in_runs(self, name: str, axis: int, runs: int) -> npt.NDArray[np.int64]:
        """How many positions of a grouped kernel's axis are left in each run."""
        gone = self._gone.get((name, axis))
        length = self._graph.weights[name].shape[axis]
        width = length if axis + 2 == len(self._graph.weights[name].shape) else length // runs
        whole = np.full(runs, width, np.int64)
        return whole if gone is None else whole - gone.reshape(runs, -1).sum(axis=1)

    def _macs(self, work: Work, sizes: Mapping[str, int]) -> int:
        total = work.times * (1 if work.weight is None else sizes[work.weight])
        for axis in work.axes:
            total *= int(axis.left(self._cuts).sum())
        return total
