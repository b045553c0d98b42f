"""Dense, on an input of any rank, and Embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Book,
    Flow,
    Part,
    Sent,
    Values,
    held,
    lane_of,
    laned,
    on_axis,
)
from edgeprune.surgery.rules.activations import activated, hold_mixed
from edgeprune.surgery.rules.base import Rule, Weights, made_on_last, multiplied, weighed


class DenseRule(Rule):
    """Kernel (input, unit): axis 0 reads, axis 1 makes."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        layer = call.layer
        made = book.fresh(layer.units)
        parts = weighed("kernel", 0, inputs[0][-1], "reads")
        parts.append(Part("kernel", 1, made, "makes"))
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        flow = made_on_last(made, inputs[0][:-1])
        hold_mixed(layer.activation, flow, book)
        return Sent((flow,), tuple(parts))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        kernel = weights["kernel"]
        value = lane_of(values[0], -1, kernel.shape[0])
        made = multiplied(kernel, value, 0, 1, weights.get("bias"))
        return activated(call.layer.activation, on_axis(made, -1, len(call.out_shapes[0])))

    def folds(self, call: Call, part: Part) -> str | None:
        return None

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "units": after.outputs[0][-1]}


class EmbeddingRule(Rule):
    """Table (word, width): axis 1 makes; the words are no channels."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        held(inputs[0], f"{call.layer.name} looks them up", book)
        made = book.fresh(call.layer.output_dim)
        flow = laned(len(call.out_shapes[0]), -1, made)
        return Sent((flow,), (Part("embeddings", 1, made, "makes"),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        table = weights["embeddings"]
        made = np.where((table == table[:1]).all(axis=0), table[0], np.nan)
        return on_axis(made, -1, len(call.out_shapes[0]))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return {**config, "output_dim": after.outputs[0][-1]}
