"""Which channels of a model live or die together. Pure data; :mod:`edgeprune.surgery` makes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgeprune.costs import Axis, Balance, Channels, Cost, Cuts, Floor, Lane, Stay, Weight, Work

Role = Literal["makes", "reads", "follows"]
"""What a member does with the channel: its weights *make* it (the kernel's output axis, a bias,
a gamma, a beta: all zero makes the channel zero), *read* it (the next kernel's input axis), or
merely *follow* its position (moving statistics: sliced, never zeroed)."""


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
