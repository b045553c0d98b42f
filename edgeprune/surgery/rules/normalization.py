"""BatchNormalization, Normalization and Rescaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Book,
    Flow,
    Ids,
    Sent,
    Values,
    held,
    lane_of,
    on_axis,
)
from edgeprune.surgery.rules.activations import applied
from edgeprune.surgery.rules.base import Rule, Weights, weighed


class BatchNormRule(Rule):
    """Gamma and beta make the channel, the moving statistics follow it."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        lanes = inputs[0][self._axis(call)]
        parts = []
        if layer.scale:
            parts += weighed("gamma", 0, lanes, "makes")
        if layer.center:
            parts += weighed("beta", 0, lanes, "makes")
        parts += weighed("moving_mean", 0, lanes, "follows")
        parts += weighed("moving_variance", 0, lanes, "follows")
        return Sent((inputs[0],), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        axis = self._axis(call)
        mean = weights["moving_mean"]
        value = lane_of(values[0], axis, mean.size)
        slope = 1.0 / np.sqrt(weights["moving_variance"] + call.layer.epsilon)
        slope = slope * weights.get("gamma", 1.0)
        made = np.where(slope == 0, 0.0, (value - mean) * slope)
        return on_axis(made + weights.get("beta", 0.0), axis, len(call.out_shapes[0]))

    @staticmethod
    def _axis(call: Call) -> int:
        axis = call.layer.axis
        axis = axis[0] if isinstance(axis, list | tuple) else axis
        return axis if axis < 0 else axis - 1


class RescalingRule(Rule):
    """One scale and one offset for all, or in its config one a channel (of the last axis)."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        if max(np.ndim(call.layer.scale), np.ndim(call.layer.offset)) > 1:
            held(inputs[0], f"{call.layer.name} holds scales of several axes", book)
        return Sent((inputs[0],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        # Keras rounds its numbers to its own float before it computes.
        spread, *_ = np.broadcast_arrays(values[0], call.layer.scale, call.layer.offset)
        return applied(call.layer.call, spread)

    def spells(self, call: Call) -> bool:
        return bool(np.ndim(call.layer.scale) or np.ndim(call.layer.offset))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return _left(config, ("scale", "offset"), after.kept[0][-1])


class NormalizationRule(Rule):
    """Mean and variance of the data, as weights or in its config: they follow their channel."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        kept = self._axes(call)
        given = call.layer.input_mean
        if len(kept) > 1 or np.ndim(given) > 1:
            held(inputs[0], f"{call.layer.name} holds statistics over several axes", book)
            return Sent((inputs[0],))
        parts = []
        for axis in kept if given is None else ():
            parts += weighed("mean", 0, inputs[0][axis], "follows")
            parts += weighed("variance", 0, inputs[0][axis], "follows")
        return Sent((inputs[0],), tuple(parts))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        (axis, *_) = self._axes(call) or (0,)
        return _left(config, ("mean", "variance"), after.kept[0][axis])

    @staticmethod
    def _axes(call: Call) -> list[int]:
        """The axes with statistics of their own, without the batch."""
        return [axis - 1 for axis in call.layer._keep_axis]


def _left(config: Mapping[str, Any], names: Sequence[str], keep: Ids | None) -> Mapping[str, Any]:
    """A config whose lists of one number a channel have those that stay."""
    found = dict(config)
    for name in names:
        if keep is not None and np.ndim(config[name]) == 1:
            found[name] = np.asarray(config[name])[keep].tolist()
    return found
