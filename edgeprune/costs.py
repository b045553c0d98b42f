"""What a model costs, as data: what is multiplied, over which axes, and what is left of it.

:mod:`edgeprune.surgery` makes it; a :class:`~edgeprune.graphs.Graph` holds it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from edgeprune.graphs import Graph

Channels = npt.NDArray[np.int32]
Cuts = Mapping[str, Channels]
"""By group, the channels that leave."""


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
            group = self._graph[name]
            leaves = np.zeros(group.size + 1, bool)  # the last for positions without a channel, -1
            leaves[np.asarray(drop, np.int64)] = True
            for member in group.members:
                place = (member.weight, member.axis)
                lost = leaves[member.channel].reshape(-1)
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
