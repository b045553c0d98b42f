"""Moves on sequences: recurrent layers, attention, transformer blocks."""

from __future__ import annotations

from typing import Any

import keras
from random_growing import LONGEST, Grower, table

L = keras.layers
ops = keras.ops
CELLS = ("LSTM", "GRU", "SimpleRNN")


def _long(x: Any) -> bool:
    return x.shape[1] > LONGEST


def _cell(g: Grower, **config: Any) -> Any:
    kind = g.one(*CELLS)
    if kind == "GRU":
        config["reset_after"] = g.chance()
    return g.layer(kind, g.whole(2, 5), use_bias=g.chance(0.8), **config)


def recurrent(g: Grower, x: Any) -> Any:
    if _long(x):
        return None
    return _cell(g, return_sequences=g.chance(0.7), go_backwards=g.chance(0.2))(x)


def bidirectional(g: Grower, x: Any) -> Any:
    if _long(x):
        return None
    mode = g.one("concat", "concat", "sum", "mul", "ave")
    inner = _cell(g, return_sequences=g.chance(0.7))
    return g.layer("Bidirectional", inner, merge_mode=mode)(x)


def recurrent_stack(g: Grower, x: Any) -> Any:
    if _long(x):
        return None
    if g.chance():
        cells = [getattr(L, f"{kind}Cell")(g.whole(2, 4)) for kind in (g.one(*CELLS), "GRU")]
        return g.layer("RNN", cells, return_sequences=g.chance())(x)
    return _cell(g)(_cell(g, return_sequences=True)(x))


def states(g: Grower, x: Any) -> Any:
    """An encoder's states start a decoder."""
    if _long(x):
        return None
    kind, units = g.one(*CELLS), g.whole(2, 5)
    y, *state = g.layer(kind, units, return_state=True, return_sequences=True)(x)
    target = g.other(x)
    z = g.layer(kind, units, return_sequences=g.chance())(target, initial_state=state)
    return [y, z] if g.chance() else z


def _attention(g: Grower, **config: Any) -> Any:
    config = {"use_bias": g.chance(0.8), **config}
    if g.chance(0.3):
        groups = g.one(1, 2)
        return g.layer("GroupQueryAttention", g.whole(2, 3), 2 * groups, groups, **config)
    width = g.one(None, 2, 4)
    return g.layer("MultiHeadAttention", g.whole(2, 3), g.whole(2, 4), value_dim=width, **config)


def self_attention(g: Grower, x: Any) -> Any:
    y = _attention(g)(x, x, use_causal_mask=g.chance(0.3))
    return g.layer("Add")([x, y]) if g.chance(0.6) else y


def cross_attention(g: Grower, x: Any) -> Any:
    others = [one for one in g.pool if len(one.shape) == 3 and one is not x]
    other = g.one(*others) if others and g.chance(0.7) else g.onto(x, g.width())
    attention = _attention(g)
    if isinstance(attention, L.GroupQueryAttention) and x.shape[-1] != other.shape[-1]:
        other = g.layer("Dense", x.shape[-1])(other)
    return attention(x, other)


def transformer(g: Grower, x: Any) -> Any:
    """A whole block, its norms before or after."""
    norm = g.one("LayerNormalization", "RMSNormalization")
    first, width = g.chance(), x.shape[-1]
    h = g.layer(norm)(x) if first else x
    x = g.layer("Add")([x, _attention(g)(h, h)])
    x = x if first else g.layer(norm)(x)
    h = g.layer(norm)(x) if first else x
    y = g.layer("Dense", g.width(), activation=g.one("gelu", "relu"))(h)
    x = g.layer("Add")([x, g.layer("Dropout", 0.1)(g.layer("Dense", width)(y))])
    return x if first else g.layer(norm)(x)


def scores(g: Grower, x: Any) -> Any:
    """Attention without weights of its own."""
    width, kind = g.width(), g.one("Attention", "AdditiveAttention")
    query, key = (g.layer("Dense", width, use_bias=g.chance())(x) for _ in "qk")
    value = g.onto(x, g.width())
    return g.layer(kind)([query, value, key])


def products(g: Grower, x: Any) -> Any:
    """Attention by hand."""
    width = g.width()
    query, key = (g.layer("Dense", width, activation=g.one(None, "relu"))(x) for _ in "qk")
    weights = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    return ops.matmul(ops.tanh(weights), g.layer("Dense", g.width())(x))


def dotted_sequences(g: Grower, x: Any) -> Any:
    if x.shape[1] > 12:
        return None
    sides = [g.onto(x, g.width(), activation="relu") for _ in "ab"]
    return g.layer("Dot", g.one(1, 1))(sides)


def einsum_heads(g: Grower, x: Any) -> Any:
    """To heads and back."""
    heads, size, length = g.whole(2, 3), g.whole(2, 4), x.shape[1]
    y = g.layer("EinsumDense", "abc,cde->abde", (length, heads, size), bias_axes="de")(x)
    y = L.Activation(g.one("tanh", "relu"))(y)
    return g.layer("EinsumDense", "abde,def->abf", (length, g.width()), bias_axes="f")(y)


def masked(g: Grower, x: Any) -> Any:
    """Steps whose channels are all the same number do not count."""
    return g.layer("Masking", 0.0)(x) if x.shape[1] <= LONGEST else None


SEQUENCES = table(
    recurrent, bidirectional, recurrent_stack, states, self_attention, cross_attention, transformer,
    scores, products, dotted_sequences, einsum_heads, masked,
)  # fmt: skip
