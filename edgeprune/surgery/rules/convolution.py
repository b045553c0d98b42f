"""Convolutions of any rank, channels last: plain, transposed, depthwise and separable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    NOWHERE,
    After,
    Book,
    Flow,
    Ids,
    Part,
    Sent,
    Values,
    bare,
    held,
    lane_of,
    on_axis,
)
from edgeprune.surgery.rules.activations import activated, hold_mixed
from edgeprune.surgery.rules.base import Rule, Weights, made_on_last, multiplied, weighed


def _pads(call: Call) -> bool:
    """Whether zeros can come in at the border, where a constant would have to stand."""
    layer = call.layer
    return layer.padding != "valid" and max(layer.kernel_size) > 1


def _inside(call: Call, values: Values, width: int) -> Values:
    """Constants that reach every output position alike: behind padding only zero does."""
    inside = lane_of(values, -1, width)
    return np.where(inside != 0, np.nan, inside) if _pads(call) else inside


def _padding_refuses(call: Call) -> str | None:
    if _pads(call):
        return f"padding {call.layer.padding!r} puts zeros beside the constant"
    return None


def _spatial(call: Call, flow: Flow, book: Book) -> Flow:
    """Lanes of the spatial axes: they pass where each position is computed by itself."""
    layer = call.layer
    alone = set(layer.kernel_size) == {1} and set(layer.strides) == {1}
    if alone:
        return flow[:-1]
    held(flow[:-1], f"{layer.name} convolves over them", book)
    return bare(len(flow) - 1)


class ConvolutionRule(Rule):
    """Kernel (taps…, input, filter): the axis before the last reads, the last makes. The kernel of
    a grouped one comes here spread out."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        reads, makes = self._axes(call)
        made = book.fresh(layer.filters)
        runs = getattr(layer, "groups", 1)
        read = inputs[0][-1]
        if runs > 1 and not read:
            # Its filters stay even, also where what it reads has no channels that could leave.
            read = (np.full(call.in_shapes[0][-1] or 0, NOWHERE),)
        parts = weighed("kernel", reads, read, "reads", runs=runs)
        parts.append(Part("kernel", makes, made, "makes"))
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        flow = made_on_last(made, _spatial(call, inputs[0], book))
        hold_mixed(layer.activation, flow, book)
        return Sent((flow,), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        reads, makes = self._axes(call)
        kernel = weights["kernel"]
        inside = self._evenly(call, values[0], kernel.shape[reads])
        made = multiplied(kernel, inside, reads, makes, weights.get("bias"))
        return activated(call.layer.activation, on_axis(made, -1, len(call.out_shapes[0])))

    def folds(self, call: Call, part: Part) -> str | None:
        return _padding_refuses(call)

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        changed = {**config, "filters": after.outputs[0][-1]}
        if getattr(call.layer, "groups", 1) > 1:
            width = after.weights["kernel"][call.layer.rank]
            changed["groups"] = (after.inputs[0][-1] or width) // width
        return changed

    @staticmethod
    def _axes(call: Call) -> tuple[int, int]:
        return call.layer.rank, call.layer.rank + 1

    @staticmethod
    def _evenly(call: Call, values: Values, width: int) -> Values:
        return _inside(call, values, width)


class TransposedRule(ConvolutionRule):
    """Kernel (taps…, filter, input). Its taps reach the output positions unevenly, so that only a
    constant of zero stays one."""

    def folds(self, call: Call, part: Part) -> str | None:
        return "a transposed convolution spreads a constant unevenly"

    @staticmethod
    def _axes(call: Call) -> tuple[int, int]:
        return call.layer.rank + 1, call.layer.rank

    @staticmethod
    def _evenly(call: Call, values: Values, width: int) -> Values:
        inside = lane_of(values, -1, width)
        return np.where(inside != 0, np.nan, inside)


class DepthwiseRule(Rule):
    """Kernel (taps…, input, multiplier): each channel passes and comes out ``multiplier`` times.

    Its weights make the channel again, so they count as makers. From an input of one channel the
    multiplier's axis makes new ones.
    """

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        made, parts = self._made(call, inputs[0][-1], book)
        if layer.use_bias:
            parts += weighed("bias", 0, made, "makes")
        flow = (*_spatial(call, inputs[0], book), made)
        hold_mixed(layer.activation, flow, book)
        return Sent((flow,), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        made = _by_depth(call, self._kernel(call, weights), values[0])
        if "bias" in weights:
            made = made + weights["bias"]
        return activated(call.layer.activation, on_axis(made, -1, len(call.out_shapes[0])))

    def _made(
        self, call: Call, lanes: Sequence[Ids], book: Book
    ) -> tuple[tuple[Ids, ...], list[Part]]:
        """The lanes that come out, and the parts of the kernel."""
        layer = call.layer
        if call.in_shapes[0][-1] == 1:
            fresh = (book.fresh(layer.depth_multiplier),)
            return fresh, weighed("kernel", layer.rank + 1, fresh, "makes")
        made = tuple(np.repeat(ids, layer.depth_multiplier) for ids in lanes)
        return made, weighed("kernel", layer.rank, lanes, "makes")

    def _kernel(self, call: Call, weights: Weights) -> Values:
        """The kernel as (taps…, input, multiplier)."""
        return weights["kernel"]

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        if call.in_shapes[0][-1] == 1:
            return {**config, "depth_multiplier": after.outputs[0][-1]}
        return config


class GroupedRule(DepthwiseRule):
    """A convolution with as many groups as input channels: kernel (taps…, 1, filter), each channel
    passes and comes out filters / groups times, as in a depthwise one."""

    def _made(
        self, call: Call, lanes: Sequence[Ids], book: Book
    ) -> tuple[tuple[Ids, ...], list[Part]]:
        layer = call.layer
        made = tuple(np.repeat(ids, layer.filters // layer.groups) for ids in lanes)
        return made, weighed("kernel", layer.rank + 1, made, "makes")

    def _kernel(self, call: Call, weights: Weights) -> Values:
        kernel = weights["kernel"]
        return kernel.reshape(*kernel.shape[: call.layer.rank], call.layer.groups, -1)

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "groups": after.inputs[0][-1], "filters": after.outputs[0][-1]}


class SeparableRule(Rule):
    """Depthwise kernel (taps…, input, multiplier), then pointwise kernel (1…, input · multiplier,
    filter): the first passes channels on, the second reads them."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        made = book.fresh(layer.filters)
        lanes = inputs[0][-1]
        parts = weighed("depthwise_kernel", layer.rank, lanes, "makes")
        between = [np.repeat(ids, layer.depth_multiplier) for ids in lanes]
        parts += weighed("pointwise_kernel", layer.rank, between, "reads")
        parts.append(Part("pointwise_kernel", layer.rank + 1, made, "makes"))
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        flow = made_on_last(made, _spatial(call, inputs[0], book))
        hold_mixed(layer.activation, flow, book)
        return Sent((flow,), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        between = _by_depth(call, weights["depthwise_kernel"], values[0])
        rank = call.layer.rank
        pointwise = weights["pointwise_kernel"]
        made = multiplied(pointwise, between, rank, rank + 1, weights.get("bias"))
        return activated(call.layer.activation, on_axis(made, -1, len(call.out_shapes[0])))

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        return _by_depth(call, weights["depthwise_kernel"], values[0])

    def folds(self, call: Call, part: Part) -> str | None:
        return None

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "filters": after.outputs[0][-1]}


def _by_depth(call: Call, kernel: Values, values: Values) -> Values:
    """Constants behind a depthwise kernel, one for each input and multiple of it."""
    taps = tuple(range(call.layer.rank))
    value = _inside(call, values, kernel.shape[-2])[:, None]
    lost = (kernel != 0).any(axis=taps) & np.isnan(value)
    summed = kernel.sum(axis=taps, dtype=np.float64)
    return np.where(lost, np.nan, np.nan_to_num(value) * summed).reshape(-1)
