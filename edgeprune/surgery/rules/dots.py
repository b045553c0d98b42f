"""Attention, AdditiveAttention and Dot: channels that meet channels, without kernels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.models.calls import Call, attended
from edgeprune.surgery.flows import (
    Book,
    Demand,
    Flow,
    Part,
    Sent,
    Values,
    joined_axis,
    lane_of,
    on_axis,
)
from edgeprune.surgery.rules.attending import beside_scores, masked, passed
from edgeprune.surgery.rules.base import Rule, Weights, weighed

_SCORES = "attention scores read it, and no exact zero arrives"


class AttentionRule(Rule):
    """Scores read queries and keys channel by channel: a channel leaves both. Values pass.

    A key that is the same at every position moves all scores of a query alike, which is lost in
    the softmax. In a product of them a query of zero is enough too; in a sum of tanh it is not.
    """

    many = True

    def takes(self) -> frozenset[str]:
        return frozenset({"use_causal_mask", "return_attention_scores", "mask"})

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        query, key, value = attended(call)
        before = passed(call, inputs, book)
        lanes = joined_axis(
            [inputs[query][-1], inputs[key][-1]],
            [call.in_shapes[place][-1] for place in (query, key)],
            book,
        )
        parts = self._parts(call, lanes)
        sources = ((query, -1), (key, -1)) if self._multiplies(call) else ((key, -1),)
        demands = [Demand(ids, sources, _SCORES) for ids in (() if parts else lanes)]
        scores: list[Flow] = [(*before, ())] * (len(call.outputs) - 1)
        return Sent(((*before, inputs[value][-1]), *scores), tuple(parts), tuple(demands))

    def _multiplies(self, call: Call) -> bool:
        return bool(call.layer.score_mode == "dot")

    def _parts(self, call: Call, lanes: Sequence[np.ndarray]) -> list[Part]:
        return []

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        *asked, found = super().arrived(call, weights, values, demand)
        return [*asked, np.where(np.isnan(found), found, 0.0)]

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> Values | tuple[Values, ...]:
        value = values[attended(call)[2]]
        lane = lane_of(value, -1, value.shape[-1])
        # A query that is masked gets zero.
        lane = np.where(lane == 0, lane, np.nan) if masked(call) else lane
        return beside_scores(call, on_axis(lane, -1, len(call.out_shapes[0])))


class AdditiveAttentionRule(AttentionRule):
    """With a scale a channel is read by a weight, which a constant key leaves without work."""

    def _multiplies(self, call: Call) -> bool:
        return False

    def _parts(self, call: Call, lanes: Sequence[np.ndarray]) -> list[Part]:
        return weighed("scale", 0, lanes, "reads") if call.layer.use_scale else []

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        found = lane_of(values[attended(call)[1]], -1, part.ids.size)
        return np.where(np.isnan(found), found, 0.0)

    def folds(self, call: Call, part: Part) -> str | None:
        return None


class DotRule(Rule):
    """One axis of the first meets one of the second; the others follow each other."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        axes = self._axes(call)
        lanes = joined_axis(
            [flow[axis] for flow, axis in zip(inputs, axes, strict=True)],
            [shape[axis] for shape, axis in zip(call.in_shapes, axes, strict=True)],
            book,
        )
        # Normalised first, the length of each side counts what the other side has lost.
        demands = tuple(
            Demand(
                ids,
                tuple(enumerate(axes)),
                "a dot product reads it, and no exact zero arrives",
                every=call.layer.normalize,
            )
            for ids in lanes
        )
        rest = [
            lanes
            for flow, axis in zip(inputs, axes, strict=True)
            for place, lanes in enumerate(flow)
            if place != axis
        ]
        return Sent((tuple(rest) or ((),),), (), demands)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        one, other = (
            (value == 0).all(axis=axis)
            for value, axis in zip(values, self._axes(call), strict=True)
        )
        zero = np.asarray(one.reshape(one.shape + (1,) * other.ndim) | other)
        return np.where(zero if zero.ndim else zero[None], 0.0, np.nan)

    @staticmethod
    def _axes(call: Call) -> tuple[int, int]:
        """The axes that meet, the batch left out."""
        given = call.layer.axes
        first, second = (given, given) if isinstance(given, int) else given
        one, other = (
            axis % (len(shape) + 1) - 1
            for axis, shape in zip((first, second), call.in_shapes, strict=True)
        )
        return one, other
