"""Normalisations over an example's own channels: layer, group, RMS and unit norm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

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
    all_behind_batch,
    lane_of,
    on_axis,
    product,
)
from edgeprune.surgery.rules.base import Rule, Weights, weighed

_LENGTH = "the length over channels reads it, and no exact zero arrives"


def axes_of(call: Call) -> tuple[int, ...]:
    """The axes of a layer, the batch left out, in their order."""
    rank = len(call.in_shapes[0])
    return tuple(sorted(all_behind_batch(call.layer.axis, rank, "it normalises over the batch")))


def _spread(weight: Values, call: Call, axes: Sequence[int]) -> Values:
    """A weight with one axis for each of ``axes``, on the axes of the input."""
    shape = [1] * len(call.in_shapes[0])
    for axis, length in zip(axes, weight.shape, strict=True):
        shape[axis] = length
    return weight.reshape(shape)


class LayerNormRule(Rule):
    """Means over channels: what leaves moves all others, so the channels on its axes stay."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        parts: list[Part] = []
        for place, axis in enumerate(axes_of(call)):
            for ids in inputs[0][axis]:
                book.fix(ids, f"{call.layer.name} takes means over channels", inexact=True)
            for name in ("gamma", "beta"):
                if getattr(call.layer, name) is not None:
                    parts += weighed(name, place, inputs[0][axis], "makes")
        return Sent((inputs[0],), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        axes = axes_of(call)
        rank = len(call.in_shapes[0])
        gamma = weights.get("gamma")
        made = np.full((1,) * rank, np.nan)
        if gamma is not None:
            made = np.where(_spread(gamma, call, axes) == 0, 0.0, made)
        beta = weights.get("beta")
        return made if beta is None else made + _spread(beta, call, axes)


class GroupNormRule(Rule):
    """Means over the channels of each norm group, which leaves as a whole."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        (axis,) = axes_of(call)
        for place, lanes in enumerate(inputs[0]):
            for ids in lanes if place != axis or layer.groups == 1 else ():
                book.fix(ids, f"{layer.name} takes means over channels", inexact=True)
        parts: list[Part] = []
        for ids in inputs[0][axis] if layer.groups > 1 else ():
            each = ids.reshape(layer.groups, -1)
            first = np.broadcast_to(each[:, :1], each.shape)
            book.tie(first.reshape(-1), ids, "its norm group holds what has no channel")
        for name in ("gamma", "beta"):
            if getattr(layer, name) is not None:
                parts += weighed(name, 0, inputs[0][axis], "makes")
        return Sent((inputs[0],), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        layer = call.layer
        (axis,) = axes_of(call)
        width = call.in_shapes[0][axis] or 1
        value = lane_of(values[0], axis, width).reshape(layer.groups, -1)
        mean, variance = value.mean(axis=1, keepdims=True), value.var(axis=1, keepdims=True)
        made = ((value - mean) / np.sqrt(variance + layer.epsilon)).reshape(-1)
        made = product(made, np.broadcast_to(weights.get("gamma", 1.0), made.shape))
        return on_axis(made + weights.get("beta", 0.0), axis, len(call.out_shapes[0]))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        (axis,) = axes_of(call)
        old, new = call.in_shapes[0][axis] or 1, after.inputs[0][axis] or 1
        return {**config, "groups": max(1, call.layer.groups * new // old)}


class UnitNormRule(Rule):
    """Divided by the length over its axes, which counts no zeros."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((inputs[0],), (), tuple(_lengths(call, inputs[0])))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.where(values[0] == 0, 0.0, np.nan)


class RMSNormRule(UnitNormRule):
    """Divided by the root of a mean of squares: with fewer channels that mean grows by old / new,
    which the scale and epsilon make up for."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        parts: list[Part] = []
        for place, axis in enumerate(axes_of(call)):
            parts += weighed("scale", place, inputs[0][axis], "makes")
        return Sent((inputs[0],), tuple(parts), tuple(_lengths(call, inputs[0])))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return product(
            super().constant(call, weights, values),
            _spread(weights["scale"], call, axes_of(call)),
        )

    def rescaled(self, call: Call, after: After) -> Mapping[str, float]:
        grown = self._grown(call, after)
        return {} if grown == 1.0 else {"scale": math.sqrt(grown)}

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "epsilon": config["epsilon"] * self._grown(call, after)}

    @staticmethod
    def _grown(call: Call, after: After) -> float:
        """By how much the mean of squares has grown: old / new number of channels."""
        return math.prod(call.layer.scale.shape) / math.prod(after.weights["scale"])


def _lengths(call: Call, flow: Flow) -> list[Demand]:
    return [Demand(ids, ((0, axis),), _LENGTH) for axis in axes_of(call) for ids in flow[axis]]
