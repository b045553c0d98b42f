"""Bidirectional, and which rule each recurrent layer follows."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import After, Book, Flow, Ids, Values, Wall, product
from edgeprune.surgery.rules.base import Rule
from edgeprune.surgery.rules.recurrent import RecurrentRule, flows_of, refitted, with_config


class BidirectionalRule(RecurrentRule):
    """Two recurrent layers over one input. Keras takes both for equally wide, so unit ``n`` of one
    leaves with unit ``n`` of the other."""

    @staticmethod
    def halves(layer: Any) -> tuple[tuple[str, Any], ...]:
        return (
            ("forward_layer/", layer.forward_layer),
            ("backward_layer/", layer.backward_layer),
        )

    def lanes(self, call: Call, made: Sequence[Sequence[Ids]], book: Book) -> tuple[Flow, ...]:
        if [ids.size for ids in made[0]] != [ids.size for ids in made[1]]:
            raise Wall("its halves have different widths")
        for one, other in zip(*made, strict=True):
            book.tie(one, other, "")
        ends = [half[-1] for half in made]
        mode = call.layer.merge_mode
        if mode == "concat":
            ends = [np.concatenate(ends)]
        elif mode is not None:
            ends = ends[:1]
        states = [
            ids
            for cells, half in zip(self.cells(call.layer), made, strict=True)
            for cell, ids in zip(cells, half, strict=True)
            for _ in range(cell.states)
        ]
        return flows_of(call, ends, states)

    @staticmethod
    def merged(layer: Any, outputs: Sequence[Values]) -> Sequence[Values]:
        if layer.merge_mode is None:
            return outputs
        if layer.merge_mode == "concat":
            return [np.concatenate(outputs)]
        if layer.merge_mode == "mul":
            return [product(*outputs)]
        total = functools.reduce(np.add, outputs)
        return [total / 2 if layer.merge_mode == "ave" else total]

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        changed = dict(config)
        for (prefix, half), key in zip(
            self.halves(call.layer), ("layer", "backward_layer"), strict=True
        ):
            inner = config[key]["config"]
            changed[key] = with_config(config[key], refitted(half, prefix, inner, after.weights))
        return changed


class ConvolvingRule(Rule):
    """ConvLSTM: a wall."""

    def refusal(self, call: Call) -> str | None:
        return "recurrence by convolution is not followed"


_layers = keras.layers
_recurrent = RecurrentRule()
RECURRENT: Mapping[type, Rule] = {
    _layers.LSTM: _recurrent,
    _layers.GRU: _recurrent,
    _layers.SimpleRNN: _recurrent,
    _layers.RNN: _recurrent,
    _layers.Bidirectional: BidirectionalRule(),
    _layers.ConvLSTM1D: ConvolvingRule(),
    _layers.ConvLSTM2D: ConvolvingRule(),
    _layers.ConvLSTM3D: ConvolvingRule(),
}
