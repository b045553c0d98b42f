"""What all attention layers share: which input is which, masks, and the axes of positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    Book,
    Flow,
    held,
)

_ORDER = ("query", "value", "key")
_MASKS = ("mask", "query_mask", "value_mask", "key_mask", "attention_mask")


def places(call: Call) -> tuple[int, int, int]:
    """Which inputs are the query, the key and the value."""
    given = _arguments(call)
    tensors = given["inputs"] if "inputs" in given else [given.get(name) for name in _ORDER]
    numbered = [*enumerate(call.inputs)]
    # A tensor that is given twice is two inputs; the first stands for both.
    order = {id(tensor): place for place, tensor in reversed(numbered)}
    found = [order[id(tensor)] for tensor in tensors if tensor is not None]
    query, value = found[:2]
    return query, found[2] if len(found) > 2 else value, value


def masked(call: Call) -> bool:
    """Whether some positions may not be seen: by a mask given, a mask that tensors carry along, or
    the layer's own."""
    given = _arguments(call)
    return (
        any(given.get(name) is not None for name in _MASKS)
        or bool(call.settings.get("use_causal_mask"))
        or any(getattr(tensor, "_keras_mask", None) is not None for tensor in call.inputs)
        or any(getattr(call.layer, name, None) for name in ("_sliding_window", "sliding_window"))
    )


def passed(call: Call, inputs: Sequence[Flow], book: Book) -> Flow:
    """Lanes of the positions that come out: the query's, where each of them is computed by itself.

    Those of keys and values meet in the softmax, and a mask is made for its positions.
    """
    query, key, value = places(call)
    alone = not masked(call) and len(call.in_shapes[query]) == 2
    seen = {id(call.inputs[place]) for place in (query, key, value)}
    masks = [flow for flow, one in zip(inputs, call.inputs, strict=True) if id(one) not in seen]
    attended = [inputs[place][:-1] for place in (key, value)]
    for flow in (*masks, *attended, *([] if alone else [inputs[query][:-1]])):
        held(flow, f"{call.layer.name} attends over them", book)
    return inputs[query][:-1]


def _arguments(call: Call) -> dict[str, Any]:
    """What the layer was called with, by the names of its arguments."""
    history = call.outputs[0]._keras_history
    arguments = history.operation._inbound_nodes[history.node_index].arguments
    return {**dict(zip(_names(call.layer), arguments.args, strict=False)), **arguments.kwargs}


def _names(layer: Any) -> Iterator[str]:
    if isinstance(layer, keras.layers.Attention):
        yield from ("inputs", "mask")
    else:
        yield from (*_ORDER, *_MASKS[1:])
