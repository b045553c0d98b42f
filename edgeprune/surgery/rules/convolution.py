"""Conv1D, Conv2D and DepthwiseConv2D, channels last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.rules.base import (
    Array,
    Book,
    Ids,
    Part,
    Rule,
    Sent,
    Values,
    Wall,
    activated,
    flat,
    mixing,
    multiplied,
    on_last_axis,
    vector,
)


def _pads(call: Call) -> bool:
    """Whether zeros can come in at the border, where a constant would have to stand."""
    layer = call.layer
    return layer.padding != "valid" and max(layer.kernel_size) > 1


def _inside(call: Call, values: Values) -> Values:
    """Constants that reach every output position alike: behind padding only zero does."""
    inside = flat(values)
    return np.where(inside != 0, np.nan, inside) if _pads(call) else inside


class ConvolutionRule(Rule):
    """Kernel (taps…, input, filter): the axis before the last reads, the last makes."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        layer = call.layer
        if layer.groups != 1:
            raise Wall("grouped convolutions are not followed yet")
        read = vector(inputs[0], book)
        made = book.fresh(layer.filters)
        reason = mixing(layer.activation)
        if reason:
            book.fix(made, reason)
        axis = layer.rank
        parts = [Part("kernel", axis, read, "reads"), Part("kernel", axis + 1, made, "makes")]
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        return Sent(on_last_axis(made, inputs[0].ndim), tuple(parts))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        axis = call.layer.rank
        inside = _inside(call, values[0])
        made = multiplied(weights["kernel"], inside, axis, axis + 1, weights.get("bias"))
        return on_last_axis(activated(call.layer.activation, made), values[0].ndim)

    def folds(self, call: Call) -> str | None:
        if _pads(call):
            return f"padding {call.layer.padding!r} puts zeros beside the constant"
        return None

    def resized(self, call: Call, config: Mapping[str, Any], width: int) -> Mapping[str, Any]:
        return {**config, "filters": width}


class DepthwiseRule(Rule):
    """Kernel (taps…, input, multiplier): each channel passes and comes out ``multiplier`` times.

    Its weights make the channel again, so they count as makers.
    """

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        layer = call.layer
        read = vector(inputs[0], book)
        made = np.repeat(read, layer.depth_multiplier)
        reason = mixing(layer.activation)
        if reason:
            book.fix(made, reason)
        parts = [Part("kernel", layer.rank, read, "makes")]
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        return Sent(on_last_axis(made, inputs[0].ndim), tuple(parts))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        kernel = weights["kernel"]
        taps = tuple(range(call.layer.rank))
        value = _inside(call, values[0])[:, None]
        unknown = (kernel != 0).any(axis=taps) & np.isnan(value)
        made = np.where(unknown, np.nan, np.nan_to_num(value) * kernel.sum(axis=taps)).reshape(-1)
        if "bias" in weights:
            made = made + weights["bias"]
        return on_last_axis(activated(call.layer.activation, made), values[0].ndim)
