"""What works on each element by itself, and softmax, which does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Book,
    Demand,
    Flow,
    Part,
    Sent,
    Values,
    held,
    lane_of,
    on_axis,
    product,
    replaced,
)
from edgeprune.surgery.rules.activations import activated, applied, hold_mixed
from edgeprune.surgery.rules.base import Rule, Weights, weighed
from edgeprune.surgery.rules.shapes import alike


class PassRule(Rule):
    """Nothing happens at inference: dropout, noise."""

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return values[0]


class ActivationRule(Rule):
    """``Activation``: the function decides."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        hold_mixed(call.layer.activation, inputs[0], book)
        return Sent((inputs[0],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return activated(call.layer.activation, values[0])


class ElementwiseRule(Rule):
    """``ReLU``, ``LeakyReLU``, ``ELU``, ``ops.sqrt``: the layer itself is the function."""

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return applied(call.layer.call, values[0])


class UnboundedRule(ElementwiseRule):
    """``ops.log``, ``ops.reciprocal``: infinite at some numbers. An infinite channel that is read
    by weights of zero makes no zero, but NaN."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((inputs[0],), (), bounded(call, inputs[0]))

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        return arrived_bounded(call.layer.call, values[:1], demand)


def bounded(call: Call, flow: Flow) -> tuple[Demand, ...]:
    """Demands that no channel of ``flow``, which comes out of ``call``, be infinite."""
    reason = f"{call.layer.name} may be infinite where a silent channel goes in"
    place = len(call.inputs)
    return tuple(
        Demand(ids, ((place, axis),), reason) for axis, lanes in enumerate(flow) for ids in lanes
    )


def arrived_bounded(
    function: Callable[..., Any], values: Sequence[Values], demand: Demand
) -> Sequence[Values]:
    """Zero at each position of ``demand`` where ``function`` is finite, whatever is not known of
    what goes in counting as one; NaN where it is not."""
    filled = [
        keras.ops.convert_to_tensor(np.where(np.isfinite(value), value, 1.0), dtype="float64")
        for value in values
    ]
    made = np.asarray(keras.ops.convert_to_numpy(function(*filled)), np.float64)
    ((_, axis),) = demand.sources
    return [lane_of(np.where(np.isfinite(made), 0.0, np.nan), axis, demand.ids.size)]


class FilledRule(Rule):
    """``ops.zeros_like``: the same number everywhere, whatever goes in."""

    alone = True

    def __init__(self, number: float) -> None:
        self._number = number

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.full((1,) * len(call.out_shapes[0]), self._number)


class PReLURule(Rule):
    """A slope for each element, or shared over axes: it follows its channel."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        shared = call.layer.shared_axes or ()
        parts: list[Part] = []
        for axis, lanes in enumerate(inputs[0]):
            if axis + 1 not in shared:
                parts += weighed("alpha", axis, lanes, "follows")
        return Sent((inputs[0],), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        alpha = weights["alpha"]
        return alike(np.where(values[0] >= 0, values[0], values[0] * alpha))


class LayerScaleRule(Rule):
    """ConvNeXt's gamma on each channel, which makes it again (https://arxiv.org/abs/2103.17239);
    Keras gives that weight no name."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        parts = weighed("variable", 0, inputs[0][-1], "makes")
        return Sent((inputs[0],), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        gamma = weights["variable"]
        return product(values[0], on_axis(gamma, -1, len(call.out_shapes[0])))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "projection_dim": after.outputs[0][-1]}


class MixingRule(Rule):
    """``Softmax``: channels on its axes are mixed without weights."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        mixed = (inputs[0][axis] for axis in self._axes(call))
        held(mixed, f"{type(call.layer).__name__.lower()} mixes channels", book, inexact=True)
        return Sent((inputs[0],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.full_like(values[0], np.nan)

    @staticmethod
    def _axes(call: Call) -> tuple[int, ...]:
        axis: Any = call.layer.axis
        axes = axis if isinstance(axis, list | tuple) else (axis,)
        return tuple(one if one < 0 else one - 1 for one in axes)


class MaskingRule(Rule):
    """``Masking``: a position is masked where all its channels have one value. Where that value is
    zero, a channel that is zero tells nothing."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        reason = f"{call.layer.name} compares it with its mask value"
        held(inputs[0][:-1], f"{call.layer.name} masks them", book)
        if call.layer.mask_value != 0:
            held(inputs[0][-1:], reason, book)
            return Sent((inputs[0],))
        demands = tuple(Demand(ids, ((0, -1),), reason) for ids in inputs[0][-1])
        return Sent((inputs[0],), (), demands)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.where(values[0] == 0, 0.0, np.nan)


class GluRule(Rule):
    """``ops.glu``: one half of an axis times the sigmoid of the other; what stands at the same
    place in both is one channel (https://arxiv.org/abs/1612.08083)."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        flow, axis = inputs[0], self._axis(call)
        halves = [np.split(ids, 2) for ids in flow[axis]]
        for one, other in halves:
            book.tie(one, other, f"{call.layer.name} multiplies it by what cannot leave")
        return Sent((replaced(flow, axis, [one for one, _ in halves]),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        axis, value = self._axis(call), values[0]
        # One value for the whole axis is the same in both halves.
        one, other = np.split(value, 2, axis) if value.shape[axis] > 1 else (value, value)
        return product(one, applied(keras.ops.sigmoid, other))

    @staticmethod
    def _axis(call: Call) -> int:
        axis: int = call.layer.axis
        return axis if axis < 0 else axis - 1
