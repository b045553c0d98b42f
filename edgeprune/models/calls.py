"""How a model's layers are called, in order: the walk that costs and surgery share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
from keras.src.models.functional import Functional

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation in a model.

    Attributes:
        layer: the layer, nested model or Keras operation.
        inputs: the symbolic tensors that go in (keys: ``id``); none for an input layer.
        outputs: the symbolic tensors that come out.
        settings: keyword arguments of the call that are not tensors and not ``None``.
        args: its positional arguments, tensors and others.
    """

    layer: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    args: tuple[Any, ...] = ()

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs without the batch."""
        return tuple(tuple(tensor.shape[1:]) for tensor in self.inputs)

    @property
    def out_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the outputs without the batch."""
        return tuple(tuple(tensor.shape[1:]) for tensor in self.outputs)


def function_of(model: Any) -> Any:
    """The Functional graph of a Functional or Sequential model; ``None`` for any other, or where
    it was never built."""
    if isinstance(model, Functional):
        return model
    if isinstance(model, keras.Sequential):
        return getattr(model, "_functional", None)
    return None


def calls(function: Any) -> list[Call]:
    """Every call in a Functional graph, inputs first, each after what it needs."""
    found = []
    by_depth = function._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.operation is None:
                continue
            inputs = () if node.is_input else tuple(node.input_tensors)
            args = tuple(node.arguments.args)
            found.append(Call(node.operation, inputs, tuple(node.outputs), _settings(node), args))
    return found


def _settings(node: Any) -> dict[str, Any]:
    """Of several masks Keras keeps a list, also where each is ``None``."""
    tensors = {id(tensor) for tensor in node.input_tensors}
    return {
        key: value
        for key, value in node.arguments.kwargs.items()
        if id(value) not in tensors and any(leaf is not None for leaf in keras.tree.flatten(value))
    }


def arguments(call: Call) -> dict[str, Any]:
    """What a layer was called with, by the names of its arguments, as far as they have names in
    ``call`` of attention layers; of what stands in no graph, nothing."""
    history = getattr(call.outputs[0], "_keras_history", None)
    if history is None:
        return {}
    given = history.operation._inbound_nodes[history.node_index].arguments
    names = ("inputs", "mask") if isinstance(call.layer, keras.layers.Attention) else _NAMES
    return {**dict(zip(names, given.args, strict=False)), **given.kwargs}


def attended(call: Call) -> tuple[int, int, int]:
    """Which inputs of an attention layer are the query, the key and the value."""
    given = arguments(call)
    tensors = given["inputs"] if "inputs" in given else [given.get(name) for name in _NAMES[:3]]
    # A tensor that is given twice is two inputs; the first stands for both.
    order = {id(tensor): place for place, tensor in reversed([*enumerate(call.inputs)])}
    found = [order[id(tensor)] for tensor in tensors if tensor is not None]
    query, value = found[:2] if len(found) > 1 else (0, len(call.inputs) - 1)
    return query, found[2] if len(found) > 2 else value, value


_NAMES = ("query", "value", "key", "query_mask", "value_mask", "key_mask", "attention_mask")
"""Arguments of MultiHeadAttention and GroupQueryAttention, in their order."""
