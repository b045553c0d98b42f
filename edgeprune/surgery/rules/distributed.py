"""TimeDistributed: what it holds is followed step by step, without the time axis.

The walk through the model goes into the layer; these rules stand where it goes in and comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    Book,
    Flow,
    Sent,
    Values,
    held,
)
from edgeprune.surgery.rules.base import Rule, Weights
from edgeprune.surgery.walking import TimeIn, TimeOut


class TimeInRule(Rule):
    """Behind it stands one step; the mask, where there is one, stays outside."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        for mask in inputs[1:]:
            held(mask, "they mask time steps", book)
        return Sent((inputs[0][1:],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        steps = values[0]
        return np.where((steps == steps[:1]).all(axis=0), steps[0], np.nan)


class TimeOutRule(Rule):
    """Behind it the time axis is what it was before the layer."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent(((inputs[1][0], *inputs[0]),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return values[0][None]


class UnopenedRule(Rule):
    """A TimeDistributed layer that the walk did not go into: a wall."""

    def refusal(self, call: Call) -> str | None:
        return "its mask goes into what it holds, or it is called as if training"


DISTRIBUTED: Mapping[type, Rule] = {
    TimeIn: TimeInRule(),
    TimeOut: TimeOutRule(),
    keras.layers.TimeDistributed: UnopenedRule(),
}
