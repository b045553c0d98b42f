"""Layers and operations that take several tensors: sums, products, concatenation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    NOWHERE,
    Book,
    Flow,
    Ids,
    Sent,
    Values,
    Wall,
    joined,
    joined_axis,
    product,
    sizes,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights, only_one

Combine = Callable[[Values, Values], Values]


class MergeRule(Rule):
    """Element by element: what meets at a position is one channel."""

    many = True

    def __init__(self, combine: Combine, *, mean: bool = False) -> None:
        self._combine = combine
        self._mean = mean

    def passes(self, call: Call, values: Sequence[Values]) -> int | None:
        if self._mean or self._combine not in (np.add, np.subtract):
            return None
        return only_one(call, values, 0 if self._combine is np.subtract else None)

    def refusal(self, call: Call) -> str | None:
        if len(call.inputs) < 2:
            return "it combines a tensor with itself or with a number"
        return super().refusal(call)

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        rank = len(call.out_shapes[0])
        flows = [((),) * (rank - len(flow)) + flow for flow in inputs]
        shapes = [(1,) * (rank - len(shape)) + shape for shape in call.in_shapes]
        return Sent((joined(flows, shapes, book),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        # Keras puts new axes behind the batch of what has fewer, as numpy does with no batch.
        made = functools.reduce(self._combine, values)
        return made / len(values) if self._mean else made


class ScaledSumRule(MergeRule):
    """The sum of ``InceptionResNetV2``, whose second branch is scaled by a number."""

    def __init__(self) -> None:
        super().__init__(np.add)

    def passes(self, call: Call, values: Sequence[Values]) -> int | None:
        return 0 if only_one(call, values, 0) == 0 else None

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.asarray(values[0] + values[1] * call.layer.scale)


class ConcatenateRule(Rule):
    """Lanes one behind the other on its axis; on the others tensors meet position by position."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        rank = len(call.out_shapes[0])
        axis = self.axis(call)
        flow: list[tuple[Ids, ...]] = [
            joined_axis(
                [one[place] for one in inputs], [one[place] for one in call.in_shapes], book
            )
            for place in range(rank)
            if place != axis
        ]
        flow.insert(axis, self._behind(call, inputs, axis))
        return Sent((tuple(flow),))

    @staticmethod
    def axis(call: Call) -> int:
        """The axis, counted without the batch."""
        axis, rank = getattr(call.layer, "axis", 1), len(call.out_shapes[0])
        if axis in (0, None):
            raise Wall("it concatenates along the batch")
        return axis + rank if axis < 0 else axis - 1

    def _behind(self, call: Call, inputs: Sequence[Flow], axis: int) -> tuple[Ids, ...]:
        lengths = sizes([shape[axis] for shape in call.in_shapes])
        count = max(len(one[axis]) for one in inputs)
        if not count:
            return ()
        if lengths is None:
            raise Wall("it concatenates along an axis whose length is free")
        lanes = []
        for place in range(count):
            rows = [
                one[axis][place] if place < len(one[axis]) else np.full(length, NOWHERE)
                for one, length in zip(inputs, lengths, strict=True)
            ]
            lanes.append(np.concatenate(rows).astype(np.int64))
        return tuple(lanes)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        axis = self.axis(call)
        others = np.broadcast_shapes(
            *(tuple(n for place, n in enumerate(v.shape) if place != axis) for v in values)
        )
        rows = []
        for value, shape in zip(values, call.in_shapes, strict=True):
            if shape[axis] is None:
                return unknown(len(shape))
            full = list(others)
            full.insert(axis, shape[axis])
            rows.append(np.broadcast_to(value, full))
        return np.concatenate(rows, axis=axis)


_layers = keras.layers
MERGES: Mapping[type, Rule] = {
    _layers.Add: MergeRule(np.add),
    _layers.Subtract: MergeRule(np.subtract),
    _layers.Average: MergeRule(np.add, mean=True),
    _layers.Multiply: MergeRule(product),
    _layers.Maximum: MergeRule(np.maximum),
    _layers.Minimum: MergeRule(np.minimum),
    _layers.Concatenate: ConcatenateRule(),
    CustomScaleLayer: ScaledSumRule(),
}
