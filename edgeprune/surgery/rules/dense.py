"""Dense, on an input of any rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.models.calls import Call
from edgeprune.surgery.rules.base import (
    Array,
    Book,
    Ids,
    Part,
    Rule,
    Sent,
    Values,
    activated,
    flat,
    mixing,
    multiplied,
    on_last_axis,
    vector,
)


class DenseRule(Rule):
    """Kernel (input, unit): axis 0 reads, axis 1 makes."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        layer = call.layer
        read = vector(inputs[0], book)
        made = book.fresh(layer.units)
        reason = mixing(layer.activation)
        if reason:
            book.fix(made, reason)
        parts = [Part("kernel", 0, read, "reads"), Part("kernel", 1, made, "makes")]
        if layer.use_bias:
            parts.append(Part("bias", 0, made, "makes"))
        return Sent(on_last_axis(made, inputs[0].ndim), tuple(parts))

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        made = multiplied(weights["kernel"], flat(values[0]), 0, 1, weights.get("bias"))
        return on_last_axis(activated(call.layer.activation, made), values[0].ndim)

    def folds(self, call: Call) -> str | None:
        return None

    def resized(self, call: Call, config: Mapping[str, Any], width: int) -> Mapping[str, Any]:
        return {**config, "units": width}
