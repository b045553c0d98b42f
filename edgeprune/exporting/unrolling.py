"""Recurrent layers written out step by step, where a converter cannot take their loop.

The calibrator of the TFLite converter dies of a file with a WHILE (tensorflow/tensorflow #101050,
#87468); TensorFlow Lite Micro has none either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from edgeprune.errors import ExportError, ModelError
from edgeprune.models import named_layers, rebuilt

_RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.RNN)
_LOOPS = frozenset({"While", "StatelessWhile", "LoopCond"})


def loops(frozen: Any) -> bool:
    """Whether a traced function holds a loop."""
    graph = frozen.graph.as_graph_def()
    nodes = (*graph.node, *(node for each in graph.library.function for node in each.node_def))
    return any(node.op in _LOOPS for node in nodes)


def unrolled(model: Any) -> Any:
    """A copy of ``model`` whose recurrent layers have no loop; it answers the same.

    Raises:
        ExportError: it cannot be rebuilt, or a layer loops that is no recurrent layer of Keras.
    """
    names = [
        name
        for name, layer in named_layers(model).items()
        if isinstance(layer, _RECURRENT) and not layer.unroll
    ]
    reason = "no layer of Keras says which loop that is"
    try:
        if names:
            return rebuilt(model, edit=lambda name, config: _edited(name, config, names))
    except ModelError as error:
        reason = str(error)
    raise ExportError(
        f"model {model.name!r} has a loop, which whole numbers are not converted with, and cannot "
        f"be written out step by step ({reason}); export it as dynamic, fp16 or fp32"
    )


def _edited(name: str, config: Mapping[str, Any], names: list[str]) -> Mapping[str, Any]:
    return {**config, "unroll": True} if name in names else config
