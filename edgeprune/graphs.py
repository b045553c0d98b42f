"""Which channels of a model live or die together. Pure data; :mod:`edgeprune.surgery` makes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

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
    """What one weight costs.

    Attributes:
        shape: its shape.
        uses: how often each of its elements is multiplied for one example, over all calls.
    """

    shape: tuple[int, ...]
    uses: int = 0


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        parameters: number of weight elements.
        macs: multiply-accumulates of kernels for one example.
    """

    parameters: int
    macs: int


@dataclass(frozen=True, eq=False)
class Graph:
    """Every channel group of a model.

    Attributes:
        model: digest of the architecture (:func:`edgeprune.models.architecture_digest`).
        groups: in the order of the model's layers; names are unique.
        weights: every weight of the model, by name.
    """

    model: str
    groups: tuple[Group, ...]
    weights: Mapping[str, Weight] = field(default_factory=dict)

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
        self, cuts: Mapping[str, npt.NDArray[np.int32]], shapes: Mapping[str, tuple[int, ...]]
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

    def cost(self, cuts: Mapping[str, npt.NDArray[np.int32]]) -> Cost:
        """What is left when channels leave (by group), and nothing else.

        Products of activations with activations, as in attention, are not counted.
        """
        gone: dict[tuple[str, int], npt.NDArray[np.bool_]] = {}
        for name, drop in cuts.items():
            for member in self[name].members:
                place = (member.weight, member.axis)
                lost = np.isin(member.channel, drop)
                gone[place] = gone[place] | lost if place in gone else lost
        parameters = macs = 0
        for name, weight in self.weights.items():
            left = math.prod(
                length - int(gone[name, axis].sum()) if (name, axis) in gone else length
                for axis, length in enumerate(weight.shape)
            )
            parameters += left
            macs += left * weight.uses
        return Cost(parameters, macs)

    @property
    def free(self) -> tuple[Group, ...]:
        """The groups whose channels may leave."""
        return tuple(group for group in self.groups if group.fixed is None)
