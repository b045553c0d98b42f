"""Layers that move elements: pooling, padding, flatten, reshape.

Each sends the array of channel numbers through its own operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.rules.base import (
    Array,
    Book,
    Ids,
    Rule,
    Sent,
    Values,
    Wall,
    flat,
    on_last_axis,
    vector,
)


class PoolingRule(Rule):
    """Average or maximum inside each channel.

    TensorFlow leaves padding out of the average and of the maximum, so a constant stays one.
    """

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        return Sent(on_last_axis(vector(inputs[0], book), inputs[0].ndim))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return on_last_axis(flat(values[0]), values[0].ndim)


class GlobalPoolingRule(PoolingRule):
    """Pooling that leaves the channel axis alone, or with axes of length one."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        return Sent(self._pooled(call, vector(inputs[0], book)))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return self._pooled(call, flat(values[0]))

    def _pooled(self, call: Call, numbers: Array) -> Array:
        return numbers.reshape((1,) * (len(call.out_shapes[0]) - 1) + (-1,))


class PaddingRule(PoolingRule):
    """Zeros around each channel: a constant that is not zero is none behind it."""

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        inside = flat(values[0])
        return on_last_axis(np.where(inside != 0, np.nan, inside), values[0].ndim)


class ReshapeRule(Rule):
    """``Flatten`` and ``Reshape``, where channels end on one axis and follow it alone."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        ids = self._reshaped(call, inputs[0])
        for axis, length in enumerate(ids.shape[:-1]):
            if length > 1 and not (ids == ids.take([0], axis)).all():
                book.fix(ids, f"{call.layer.name} spreads them over several axes")
                return Sent(ids)
        return Sent(self._last(ids))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        made = self._reshaped(call, values[0])
        rows = made.reshape(-1, made.shape[-1])
        alike = (rows == rows[:1]) | (np.isnan(rows) & np.isnan(rows[:1]))
        return self._last(made) if alike.all() else made

    def resized(self, call: Call, config: Mapping[str, Any], width: int) -> Mapping[str, Any]:
        if "target_shape" not in config:
            return config
        # One axis may stay open (-1); the channels' is then said in full.
        target = [int(length) for length in config["target_shape"]]
        if target[-1] == -1 and target.count(-1) == 1:
            return config
        return {**config, "target_shape": (*target[:-1], width)}

    def _reshaped(self, call: Call, numbers: Array) -> Array:
        before = [length for length in call.in_shapes[0] if length is not None]
        after = [length for length in call.out_shapes[0] if length is not None]
        if len(before) < len(call.in_shapes[0]) or len(after) < len(call.out_shapes[0]):
            raise Wall("it reshapes an axis whose length is free")
        if not after:
            raise Wall("it leaves no axis")
        return np.broadcast_to(numbers, before).reshape(after)

    def _last(self, numbers: Array) -> Array:
        return on_last_axis(numbers.reshape(-1, numbers.shape[-1])[0], numbers.ndim)
