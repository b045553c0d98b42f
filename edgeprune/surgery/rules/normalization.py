"""BatchNormalization; Normalization and Rescaling of inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    Book,
    Flow,
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
    """One scale and one offset for all; with one a channel, the width stays."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
            held(inputs[0], f"{call.layer.name} holds one scale a channel in its config", book)
        return Sent((inputs[0],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
            return np.full_like(values[0], np.nan)
        # Keras rounds both numbers to its own float before it computes.
        return applied(call.layer.call, values[0])


class NormalizationRule(Rule):
    """Statistics of the data, meant for inputs: the width stays."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        held(inputs[0], f"{call.layer.name} holds statistics of the data", book)
        return Sent((inputs[0],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.full_like(values[0], np.nan)
