"""What all attention layers share: masks, and the axes of positions."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.models.calls import Call, arguments, attended
from edgeprune.surgery.flows import Book, Flow, Values, held, unknown

_MASKS = ("mask", "query_mask", "value_mask", "key_mask", "attention_mask")


def masked(call: Call) -> bool:
    """Whether some positions may not be seen: by a mask given, a mask that tensors carry along, or
    the layer's own."""
    given = arguments(call)
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
    query, key, value = attended(call)
    alone = not masked(call) and len(call.in_shapes[query]) == 2
    seen = {id(call.inputs[place]) for place in (query, key, value)}
    masks = [flow for flow, one in zip(inputs, call.inputs, strict=True) if id(one) not in seen]
    sources = [inputs[place][:-1] for place in (key, value)]
    for flow in (*masks, *sources, *([] if alone else [inputs[query][:-1]])):
        held(flow, f"{call.layer.name} attends over them", book)
    return inputs[query][:-1]


def beside_scores(call: Call, made: Values) -> tuple[Values, ...]:
    """What is known of the output, and that of the scores, where they come out too, nothing is."""
    return (made, *(unknown(len(shape)) for shape in call.out_shapes[1:]))
