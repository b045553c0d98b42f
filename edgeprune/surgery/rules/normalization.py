"""BatchNormalization; Normalization and Rescaling of inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    applied,
    flat,
    on_last_axis,
    vector,
)


class BatchNormRule(Rule):
    """Gamma and beta make the channel, the moving statistics follow it."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        layer, rank = call.layer, len(call.in_shapes[0])
        if layer.axis not in (-1, rank):
            raise Wall(f"it normalises axis {layer.axis}, not the channels'")
        ids = vector(inputs[0], book)
        parts = []
        if layer.scale:
            parts.append(Part("gamma", 0, ids, "makes"))
        if layer.center:
            parts.append(Part("beta", 0, ids, "makes"))
        parts.append(Part("moving_mean", 0, ids, "follows"))
        parts.append(Part("moving_variance", 0, ids, "follows"))
        return Sent(on_last_axis(ids, inputs[0].ndim), tuple(parts))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        value = flat(values[0])
        slope = 1.0 / np.sqrt(weights["moving_variance"] + call.layer.epsilon)
        slope = slope * weights.get("gamma", 1.0)
        made = np.where(slope == 0, 0.0, (value - weights["moving_mean"]) * slope)
        return on_last_axis(made + weights.get("beta", 0.0), values[0].ndim)


class RescalingRule(Rule):
    """One scale and one offset for all; with one a channel, the width stays."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
            book.fix(inputs[0], f"{call.layer.name} holds one scale a channel in its config")
        return Sent(inputs[0])

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
            return np.full_like(values[0], np.nan)
        # Keras rounds both numbers to its own float before it computes.
        return applied(call.layer.call, values[0])


class NormalizationRule(Rule):
    """Statistics of the data, meant for inputs: the width stays."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        book.fix(inputs[0], f"{call.layer.name} holds statistics of the data")
        return Sent(inputs[0])

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return np.full_like(values[0], np.nan)
