"""Layers that work on each element by itself, and softmax, which does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.rules.base import (
    Array,
    Book,
    Ids,
    Rule,
    Sent,
    Values,
    activated,
    applied,
    mixing,
)


class PassRule(Rule):
    """Nothing happens at inference: dropout, noise."""


class ActivationRule(Rule):
    """``Activation``: the function decides."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        reason = mixing(call.layer.activation)
        if reason:
            book.fix(inputs[0], reason)
        return Sent(inputs[0])

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return activated(call.layer.activation, values[0])


class ElementwiseRule(Rule):
    """``ReLU``, ``LeakyReLU``, ``ELU``: the layer itself is the function."""

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return applied(call.layer.call, values[0])


class MixingRule(Rule):
    """``Softmax``: channels are mixed without weights."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        book.fix(inputs[0], f"{type(call.layer).__name__.lower()} mixes channels")
        return Sent(inputs[0])

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        return np.full_like(values[0], np.nan)
