"""What a built model really has: layer families and hard cases, found without a word of who
built it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras

from edgeprune.models.calls import Call, attended, calls, function_of

L = keras.layers
MERGES = (L.Add, L.Subtract, L.Multiply, L.Maximum, L.Minimum, L.Average)
SUMS = ("Add", "Subtract")
ATTENTION = (L.MultiHeadAttention, L.GroupQueryAttention, L.Attention, L.AdditiveAttention)


def graphs(model: Any) -> Iterator[tuple[Any, int]]:
    """Every graph in a model once, and in how many others it is nested."""
    todo, seen = [(model, 0)], set()
    while todo:
        found, depth = todo.pop()
        function = function_of(found)
        if function is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield function, depth
        for call in calls(function):
            todo.append((held(call.layer), depth + 1))


def held(layer: Any) -> Any:
    """What a TimeDistributed layer holds; any other layer itself."""
    return layer.layer if isinstance(layer, L.TimeDistributed) else layer


def families(model: Any) -> set[str]:
    """Classes of layers and operations that are called, with and without their dimensions."""
    found = set()
    for function, _ in graphs(model):
        for call in calls(function):
            for layer in (call.layer, held(call.layer)):
                name = type(layer).__name__
                found |= {name, re.sub("[123]D", "", name)}
    return found


def hard_cases(model: Any) -> set[str]:
    """Those that are in a model, by name."""
    found: set[str] = set()
    names: Counter[str] = Counter()
    for function, depth in graphs(model):
        every = calls(function)
        makers = {id(tensor): call for call in every for tensor in call.outputs}
        for call in every:
            found |= {name for name, holds in CASES.items() if holds(call, makers)}
        if depth:
            found |= {"nested model", "nested three deep"} if depth > 2 else {"nested model"}
            found |= {"nested, several inputs"} if len(function.inputs) > 1 else set()
            found |= {"nested, several outputs"} if len(function.outputs) > 1 else set()
        names.update({call.layer.name for call in every if _weighty(call.layer)})
    found |= {"several inputs"} if len(model.inputs) > 1 else set()
    found |= {"several outputs"} if len(model.outputs) > 1 else set()
    found |= {"one name in several models"} if max(names.values()) > 1 else set()
    return found


Makers = dict[int, Call]


def _weighty(layer: Any) -> bool:
    return isinstance(layer, keras.Layer) and bool(layer.weights) and function_of(layer) is None


def _made(call: Call, makers: Makers) -> list[Call]:
    return [makers[id(tensor)] for tensor in call.inputs if id(tensor) in makers]


def _through(call: Call, makers: Makers) -> Call:
    """Back over what keeps channels where they are."""
    passing = (L.BatchNormalization, L.Activation, L.ReLU, L.Dropout)
    while isinstance(call.layer, passing):
        call = _made(call, makers)[0]  # a mask may come behind
    return call


def _joins(call: Call) -> bool:
    name = type(call.layer).__name__
    return isinstance(call.layer, MERGES) or (name in SUMS and len(call.inputs) > 1)


def _over_concat(call: Call, makers: Makers) -> bool:
    behind = [type(_through(one, makers).layer).__name__ for one in _made(call, makers)]
    return _joins(call) and type(call.layer).__name__ in SUMS and "Concatenate" in behind


def _times(call: Call, makers: Makers) -> int:
    every = {id(one): one for one in makers.values()}
    return sum(one.layer is call.layer for one in every.values())


def _broadcasts(call: Call, makers: Makers) -> bool:
    return _joins(call) and len({tuple(tensor.shape) for tensor in call.inputs}) > 1


def _across(call: Call, makers: Makers) -> bool:
    if not isinstance(call.layer, L.MultiHeadAttention | L.GroupQueryAttention):
        return False
    query, key, _ = attended(call)
    return query != key


def _is(*kinds: Any) -> Any:
    return lambda call, makers: isinstance(held(call.layer), kinds)


CASES: dict[str, Any] = {
    "residual": lambda call, makers: _joins(call) and type(call.layer).__name__ in SUMS,
    "residual over concat": _over_concat,
    "broadcast": _broadcasts,
    "shared layer": lambda call, makers: _weighty(call.layer) and _times(call, makers) > 1,
    "shared model": lambda call, makers: (
        function_of(call.layer) is not None and _times(call, makers) > 1
    ),
    "own output": lambda call, makers: (
        any(one.layer is call.layer for one in _made(call, makers))
    ),
    "attention": _is(*ATTENTION),
    "attention across": _across,
    "recurrent": _is(L.RNN, L.Bidirectional),
    "bidirectional": _is(L.Bidirectional),
    "states": lambda call, makers: isinstance(call.layer, L.RNN) and len(call.inputs) > 1,
    "grouped convolution": lambda call, makers: (
        getattr(held(call.layer), "groups", 1) > 1
        and "Conv" in type(held(call.layer)).__name__
        and held(call.layer).kernel.shape[-2] > 1
    ),
    "a model in time": lambda call, makers: (
        isinstance(call.layer, L.TimeDistributed) and function_of(call.layer.layer) is not None
    ),
    "mask": lambda call, makers: any(
        getattr(tensor, "_keras_mask", None) is not None for tensor in call.inputs
    ),
    "concat of positions": lambda call, makers: (
        type(call.layer).__name__ == "Concatenate"
        and call.layer.axis not in (-1, len(call.outputs[0].shape) - 1)
    ),
}  # fmt: skip
"""By name, whether a call is one; ``makers`` has every call of its graph by what it makes."""
