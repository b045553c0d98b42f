"""Keras operations used as layers that move elements: reshape, transpose, slices, split, stack.

Their lengths and positions stand in the operation or in the call, so that where channels leave
another operation is called in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.ops import core
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Array,
    Book,
    Demand,
    Flow,
    Ids,
    Sent,
    Values,
    Wall,
    behind_batch,
    joined,
    lane_of,
)
from edgeprune.surgery.rules.base import Rule, Weights
from edgeprune.surgery.rules.joins import ConcatenateRule
from edgeprune.surgery.rules.shapes import ReshapeRule, renewed


class ReshapeOperation(ReshapeRule):
    """``keras.ops.reshape``."""

    def instead(self, call: Call, after: After) -> Callable[..., Any]:
        given = call.layer.newshape
        given = [given] if isinstance(given, int) else list(given)
        target = renewed(given, (None, *after.outputs[0]))
        return lambda x: keras.ops.reshape(x, target)


class TransposeOperation(Rule):
    """``keras.ops.transpose``."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((tuple(inputs[0][axis] for axis in self._axes(call)),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.transpose(values[0], self._axes(call))

    def _axes(self, call: Call) -> list[int]:
        rank = len(call.in_shapes[0])
        given = call.layer.axes
        axes = [axis % (rank + 1) for axis in (given or range(rank, -1, -1))]
        if axes[0] != 0:
            raise Wall("it moves the batch")
        return [axis - 1 for axis in axes[1:]]


class ExpandOperation(Rule):
    """``keras.ops.expand_dims``."""

    alone = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        flow = list(inputs[0])
        for axis in self._axes(call):
            flow.insert(axis, ())
        return Sent((tuple(flow),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.expand_dims(values[0], tuple(self._axes(call)))

    @staticmethod
    def _axes(call: Call) -> list[int]:
        rank = len(call.out_shapes[0])
        axes = np.atleast_1d(call.layer.axis)
        return sorted(behind_batch(axis, rank, "it moves the batch") for axis in axes)


class SqueezeOperation(Rule):
    """``keras.ops.squeeze``."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        gone = self._axes(call)
        return Sent((tuple(lane for axis, lane in enumerate(inputs[0]) if axis not in gone),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.squeeze(values[0], self._axes(call))

    @staticmethod
    def _axes(call: Call) -> tuple[int, ...]:
        shape = call.in_shapes[0]
        if call.layer.axis is None:
            return tuple(axis for axis, length in enumerate(shape) if length == 1)
        axes = np.atleast_1d(call.layer.axis)
        return tuple(behind_batch(axis, len(shape), "it moves the batch") for axis in axes)


class SplitOperation(Rule):
    """``keras.ops.split``: each output has its own run of the channels."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        axis = self._axis(call)
        flows, start = [], 0
        for shape in call.out_shapes:
            stop = start + (shape[axis] or 0)
            flow = list(inputs[0])
            flow[axis] = tuple(ids[start:stop] for ids in flow[axis])
            flows.append(tuple(flow))
            start = stop
        return Sent(tuple(flows))

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> tuple[Values, ...]:
        axis, value = self._axis(call), values[0]
        if value.shape[axis] == 1:
            return (value,) * len(call.outputs)
        ends = np.cumsum([shape[axis] or 0 for shape in call.out_shapes])[:-1]
        return tuple(np.split(value, ends, axis))

    def instead(self, call: Call, after: After) -> Callable[..., Any]:
        axis = self._axis(call)
        ends = np.cumsum([shape[axis] or 0 for shape in after.outputs])[:-1].tolist()
        # TensorFlow does not split at no place.
        return lambda x: keras.ops.split(x, ends or 1, axis + 1)

    @staticmethod
    def _axis(call: Call) -> int:
        axis = int(call.layer.axis) % (len(call.in_shapes[0]) + 1)
        if axis == 0 or call.in_shapes[0][axis - 1] is None:
            raise Wall("it splits the batch, or an axis whose length is free")
        return axis - 1


class UnstackOperation(Rule):
    """``keras.ops.unstack``: the other axes pass; a channel on its own axis may leave where an
    exact zero arrives, which takes its place."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        axis = self._axis(call)
        reason = f"{call.layer.name} picks it by number, and no exact zero arrives"
        demands = tuple(Demand(ids, ((0, axis),), reason) for ids in inputs[0][axis])
        flow = (*inputs[0][:axis], *inputs[0][axis + 1 :])
        return Sent((flow,) * len(call.outputs), (), demands)

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> tuple[Values, ...]:
        axis, value, count = self._axis(call), values[0], len(call.outputs)
        shape = [count if place == axis else n for place, n in enumerate(value.shape)]
        return tuple(np.moveaxis(np.broadcast_to(value, shape), axis, 0))

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        axis = self._axis(call)
        keep = after.kept[0][axis]
        if keep is None:
            return None
        new = {int(old): place for place, old in enumerate(keep)}

        def called(x: Any) -> Any:
            left = keras.ops.unstack(x, axis=axis + 1)
            return [
                left[new[old]] if old in new else keras.ops.zeros_like(left[0])
                for old in range(len(call.outputs))
            ]

        return called

    @staticmethod
    def _axis(call: Call) -> int:
        return behind_batch(call.layer.axis, len(call.in_shapes[0]), "it slices the batch")


class StackOperation(Rule):
    """``keras.ops.stack``: what meets at a position is one channel."""

    many = alone = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        axis = self._axis(call)  # a wall ties nothing
        flow = list(joined(inputs, call.in_shapes, book))
        flow.insert(axis, ())
        return Sent((tuple(flow),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.stack(np.broadcast_arrays(*values), self._axis(call))

    @staticmethod
    def _axis(call: Call) -> int:
        return behind_batch(call.layer.axis, len(call.out_shapes[0]), "it stacks along the batch")


class SliceOperation(Rule):
    """``x[:, 2:5]``: the lanes are sliced alike; a channel that is picked by number stays."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        flow: list[tuple[Ids, ...]] = []
        demands = []
        reason = f"{call.layer.name} picks it by number"
        axis = -1  # the batch
        for key in self._keys(call):
            if key is None:
                flow.append(())
                continue
            lanes = inputs[0][axis] if axis >= 0 else ()
            axis += 1
            if axis == 0:
                continue
            if isinstance(key, slice):
                flow.append(tuple(ids[key] for ids in lanes))
                continue
            for ids in lanes:
                picked = ids[key : key + 1 or None]
                demands.append(Demand(picked, ((0, axis - 1),), reason, always=True))
        return Sent((tuple(flow),), (), tuple(demands))

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        ((_, axis),) = demand.sources
        keys = [key for key in self._keys(call)[1:] if key is not None]
        lane = lane_of(values[0], axis, call.in_shapes[0][axis] or 1)
        return [lane[[keys[axis]]]]

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        lengths = iter((1, *values[0].shape))
        chosen = tuple(
            key
            if key is None or next(lengths) > 1
            else slice(None)
            if isinstance(key, slice)
            else 0
            for key in self._keys(call)
        )
        return np.asarray(values[0][None][chosen][0])

    def instead(self, call: Call, after: After) -> Callable[..., Any]:
        keys: list[Any] = []
        moves: list[tuple[int, list[int]]] = []
        axis = -1
        for key in self._keys(call):
            if key is None:
                keys.append(key)
                continue
            stay = after.kept[0][axis] if axis >= 0 else None
            keys.append(key if stay is None else _renumbered(key, stay, call.in_shapes[0][axis]))
            axis += 1
        chosen = tuple(slice(None) if isinstance(key, list) else key for key in keys)
        for place, key in enumerate(keys):
            if isinstance(key, list):
                moves.append((sum(one is not None for one in keys[:place]), key))

        def sliced(x: Any, key: Any) -> Any:
            for place, positions in moves:
                x = keras.ops.take(x, positions, axis=place)
            return x[chosen]

        return sliced

    @staticmethod
    def _keys(call: Call) -> list[Any]:
        """The key, one entry for each axis, the batch first."""
        given = call.args[1] if len(call.args) > 1 else call.settings["key"]
        keys = list(given) if isinstance(given, tuple | list) else [given]
        if not all(key is None or key is Ellipsis or type(key) in (int, slice) for key in keys):
            raise Wall("its key is a tensor")
        rank = len(call.in_shapes[0]) + 1
        taken = sum(key is not None and key is not Ellipsis for key in keys)
        if Ellipsis not in keys:
            keys.append(Ellipsis)
        place = keys.index(Ellipsis)
        keys[place : place + 1] = [slice(None)] * (rank - taken)
        if keys[0] != slice(None):
            raise Wall("it slices the batch")
        return keys


def _renumbered(key: Any, stay: Array, length: int | None) -> Any:
    """The key that picks the same elements of those that stay, as a slice where one does."""
    new = {int(old): place for place, old in enumerate(stay)}
    if not isinstance(key, slice):
        return new[key % (length or 1)]
    positions = [new[old] for old in range(length or 0)[key] if old in new]
    first = positions[0] if positions else 0
    if positions == list(range(first, first + len(positions))):
        return slice(first, first + len(positions))
    return positions


MOVES: Mapping[type, Rule] = {
    numeric.Reshape: ReshapeOperation(),
    numeric.Transpose: TransposeOperation(),
    numeric.ExpandDims: ExpandOperation(),
    numeric.Squeeze: SqueezeOperation(),
    numeric.Split: SplitOperation(),
    numeric.ArraySplit: SplitOperation(),
    core.Unstack: UnstackOperation(),
    numeric.Stack: StackOperation(),
    numeric.Concatenate: ConcatenateRule(),
    numeric.Append: ConcatenateRule(),
    numeric.Hstack: ConcatenateRule(),  # along the first axis behind the batch
    numeric.GetItem: SliceOperation(),
}
"""By exact class."""
