"""Small nets with attention, einsum and normalisation over channels, and the groups they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

L = keras.layers
Members = list[tuple[str, int]]


@dataclass(frozen=True)
class Net:
    """One net.

    Attributes:
        make: builds it.
        free: by group whose channels may leave: its size, and its members as (weight, axis).
        fixed: by group that keeps its size: the reason. Inputs and outputs are left out.
    """

    make: Callable[[], Any]
    free: Mapping[str, tuple[int, Members]] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


def _dense(*names: str) -> Members:
    return [(f"{name}/kernel", 1) for name in names] + [(f"{name}/bias", 0) for name in names]


def _read(*names: str) -> Members:
    return [(f"{name}/kernel", 0) for name in names]


def _projected(layer: str, names: str, axis: int) -> Members:
    """Axis 1 (heads) or 2 (width) of projections, and of their biases one less."""
    places = [f"{layer}/{name}_dense" for name in names.split()]
    return [(f"{place}/kernel", axis) for place in places] + [
        (f"{place}/bias", axis - 1) for place in places
    ]


def _heads(layer: str, heads: int, key: int, value: int) -> dict[str, tuple[int, Members]]:
    last = f"{layer}/output_dense/kernel"
    return {
        f"{layer}:1": (heads, [*_projected(layer, "query key value", 1), (last, 0)]),
        f"{layer}:2": (key, _projected(layer, "query key", 2)),
        f"{layer}:3": (value, [*_projected(layer, "value", 2), (last, 1)]),
    }


def _asks(layer: str) -> Members:
    return _read(*(f"{layer}/{name}_dense" for name in ("query", "key", "value")))


def _gives(layer: str) -> Members:
    return [(f"{layer}/output_dense/kernel", 2), (f"{layer}/output_dense/bias", 0)]


def encoder() -> Any:
    inputs = keras.Input((6, 5))
    x = L.Dense(8, name="embed")(inputs)
    y = L.MultiHeadAttention(3, 4, value_dim=5, name="mha")(x, x)
    x = L.LayerNormalization(name="ln")(L.Add()([x, y]))
    y = L.Dense(8, name="down")(L.Dense(10, activation="gelu", name="up")(x))
    x = L.LayerNormalization(name="ln2")(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(3, name="out")(L.GlobalAveragePooling1D()(x)))


def cross() -> Any:
    q, k, v = keras.Input((5, 7)), keras.Input((6, 4)), keras.Input((6, 8))
    a = L.Dense(6, activation="tanh", name="a")(q)
    b = L.Dense(7, name="b")(k)
    c = L.Dense(5, activation="sigmoid", name="c")(v)
    y = L.MultiHeadAttention(3, 4, value_dim=2, output_shape=6, name="mha")(a, c, key=b)
    return keras.Model([q, k, v], L.Dense(3, name="out")(L.Activation("tanh")(y)))


def causal() -> Any:
    """No bias, a causal mask, and as wide as its query without a residual that says so."""
    inputs = keras.Input((5, 7))
    a = L.Dense(6, activation="tanh", name="a")(inputs)
    y = L.MultiHeadAttention(3, 4, use_bias=False, name="mha")(a, a, use_causal_mask=True)
    return keras.Model(inputs, L.Dense(3, name="out")(y))


def prenorm() -> Any:
    inputs = keras.Input((6, 5))
    x = L.Dense(8, name="embed")(inputs)
    h = L.RMSNormalization(epsilon=0.3, name="n1")(x)
    x = L.Add()([x, L.MultiHeadAttention(3, 4, name="mha")(h, h)])
    h = L.RMSNormalization(name="n2")(x)
    x = L.Add()([x, L.Dense(8, name="down")(L.Dense(10, activation="gelu", name="up")(h))])
    x = L.RMSNormalization(name="n3")(x)
    return keras.Model(inputs, L.Dense(3, name="out")(L.GlobalAveragePooling1D()(x)))


def grouped(shared: int) -> Any:
    inputs = keras.Input((6, 5))
    x = L.Dense(8, name="embed")(inputs)
    x = L.Add()([x, L.GroupQueryAttention(4, 6, shared, name="gqa")(x, x)])
    return keras.Model(inputs, L.Dense(3, name="out")(x))


def scores() -> Any:
    q, k = keras.Input((5, 7)), keras.Input((6, 4))
    a, b = L.Dense(6, name="a")(q), L.Dense(6, activation="relu", name="b")(k)
    c = L.Dense(5, activation="sigmoid", name="c")(k)
    d, e = L.Dense(6, activation="sigmoid", name="d")(q), L.Dense(6, name="e")(k)
    f = L.Dense(6, activation="sigmoid", name="f")(q)
    g = L.Dense(6, activation="sigmoid", name="g")(k)
    h, padded = L.Dense(6, name="h")(q), L.ZeroPadding1D(1)(L.Dense(6, "sigmoid", name="i")(k))
    one = L.Attention(use_scale=True)([a, c, b])
    two = L.AdditiveAttention(name="additive")([d, e])
    three = L.Attention(score_mode="concat")([f, g])
    four = L.Attention(score_mode="concat")([h, padded])
    heads = [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate((one, two, three, four))]
    return keras.Model([q, k], heads)


def dots() -> Any:
    q, k = keras.Input((5, 7)), keras.Input((6, 4))
    a, b = L.Dense(6, activation="sigmoid", name="a")(q), L.Dense(6, name="b")(k)
    c, d = L.Dense(6, name="c")(q), L.Dense(6, name="d")(k)
    e, f = L.Dense(6, activation="sigmoid", name="e")(q), L.Dense(6, name="f")(k)
    ys = [L.Dot(2)([a, b]), L.Dot(2, normalize=True)([c, d]), L.Dot(2, normalize=True)([e, f])]
    return keras.Model([q, k], [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ys)])


def einsum() -> Any:
    inputs = keras.Input((6, 5))
    x = L.Dense(8, activation="tanh", name="embed")(inputs)
    y = L.EinsumDense("abc,cde->abde", (6, 4, 5), "tanh", "de", name="two")(x)
    z = L.EinsumDense("abde,def->abf", (None, 7), None, "f", name="back")(y)
    w = L.EinsumDense("...x,xy->...y", 6, "sigmoid", name="dots")(z)
    u = L.EinsumDense("abde,edg->abge", (6, 3, 5), None, "ge", name="both")(y)
    ends = [L.Flatten()(y), w, L.Flatten()(u)]
    return keras.Model(inputs, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ends)])


def norm_groups() -> Any:
    inputs = keras.Input((9, 9, 3))
    x = L.Conv2D(12, 3, name="c1")(inputs)
    x = L.ReLU()(L.GroupNormalization(4, name="g1")(x))
    x = L.Conv2D(6, 3, activation="sigmoid", name="c2")(x)
    x = L.Conv2D(6, 1, name="c3")(L.GroupNormalization(-1, name="g2")(x))
    x = L.GroupNormalization(1, name="g3")(x)
    return keras.Model(inputs, L.Dense(3, name="out")(L.Flatten()(x)))


def unit() -> Any:
    inputs = keras.Input((6, 5))
    x = L.UnitNormalization()(L.Dense(8, activation="relu", name="a")(inputs))
    y = L.UnitNormalization()(L.Dense(8, activation="sigmoid", name="b")(x))
    return keras.Model(inputs, L.Dense(3, name="out")(y))


def positions() -> Any:
    """LayerNormalization over positions: the channels beside them pass."""
    inputs = keras.Input((6, 5))
    x = L.LayerNormalization(axis=1, name="ln")(L.Dense(8, name="a")(inputs))
    return keras.Model(inputs, L.Dense(3, name="out")(x))


def told() -> Any:
    """Attention scores come out too, one read and one not; one attends over one axis of two."""
    inputs = keras.Input((3, 4, 5))
    x = L.Dense(6, activation="relu", name="a")(inputs)
    x = L.MultiHeadAttention(2, 3, attention_axes=(2,), name="rows")(x, x)
    x = L.Reshape((12, 6))(x)
    y, scores = L.MultiHeadAttention(3, 4, name="mha")(x, x, return_attention_scores=True)
    z, _ = L.Attention()([y, y], return_attention_scores=True)
    x = L.Concatenate()([L.Flatten()(z), L.Flatten()(scores)])
    return keras.Model(inputs, L.Dense(3, name="out")(x))


_SCORES = "attention scores read it, and no exact zero arrives"
_LENGTH = "the length over channels reads it, and no exact zero arrives"
_DOT = "a dot product reads it, and no exact zero arrives"
_MLP = (10, [*_dense("up"), *_read("down")])

NETS = {
    "encoder": Net(
        encoder,
        {**_heads("mha", 3, 4, 5), "up": _MLP},
        {"embed": "ln takes means over channels"},
    ),
    "cross": Net(
        cross,
        {
            "a": (6, [*_dense("a"), *_read("mha/query_dense")]),
            "b": (7, [*_dense("b"), *_read("mha/key_dense")]),
            "c": (5, [*_dense("c"), *_read("mha/value_dense")]),
            "mha": (6, [*_gives("mha"), *_read("out")]),
            **_heads("mha", 3, 4, 2),
        },
    ),
    "causal": Net(
        causal,
        {
            "a": (6, [*_dense("a"), *_asks("mha")]),
            "mha": (6, [*_gives("mha")[:1], *_read("out")]),
            **{
                name: (size, [one for one in members if not one[0].endswith("bias")])
                for name, (size, members) in _heads("mha", 3, 4, 4).items()
            },
        },
    ),
    "prenorm": Net(
        prenorm,
        {
            "embed": (
                8,
                [
                    *_dense("embed", "down"), *_asks("mha"), *_gives("mha"), *_read("up", "out"),
                    ("n1/scale", 0), ("n2/scale", 0), ("n3/scale", 0),
                ],
            ),
            **_heads("mha", 3, 4, 4),
            "up": _MLP,
        },
    ),
    "grouped": Net(
        lambda: grouped(3),
        {
            "embed": (8, [*_dense("embed"), *_asks("gqa"), *_gives("gqa"), *_read("out")]),
            "gqa": (3, [*_projected("gqa", "query key value", 1), *_read("gqa/output_dense")]),
            "gqa:1": (
                4,
                [*_projected("gqa", "query key value", 2), ("gqa/output_dense/kernel", 1)],
            ),
        },
    ),
    "one key": Net(
        lambda: grouped(1),
        {
            "embed": (8, [*_dense("embed"), *_asks("gqa"), *_gives("gqa"), *_read("out")]),
            "gqa": (6, [*_projected("gqa", "query", 1), *_read("gqa/output_dense")]),
            "gqa:1": (
                4,
                [*_projected("gqa", "query key value", 2), ("gqa/output_dense/kernel", 1)],
            ),
        },
    ),
    "scores": Net(
        scores,
        {
            "a": (6, _dense("a", "b")),
            "c": (5, [*_dense("c"), *_read("out0")]),
            "d": (6, [*_dense("d", "e"), ("additive/scale", 0), *_read("out1")]),
            "f": (6, [*_dense("f", "g"), *_read("out2")]),
        },
        {"i": _SCORES},
    ),
    "dots": Net(dots, {"a": (6, _dense("a", "b")), "c": (6, _dense("c", "d"))}, {"e": _DOT}),
    "einsum": Net(
        einsum,
        {
            "embed": (8, [*_dense("embed"), *_read("two")]),
            "two": (4, [("two/kernel", 1), ("two/bias", 0), *_read("back", "out0"),
                        ("both/kernel", 1)]),
            "two:1": (5, [("two/kernel", 2), ("two/bias", 1), ("back/kernel", 1),
                          ("both/kernel", 0), ("both/bias", 1), *_read("out0", "out2")]),
            "back": (7, [("back/kernel", 2), ("back/bias", 0), *_read("dots")]),
            "dots": (6, [("dots/kernel", 1), *_read("out1")]),
            "both": (3, [("both/kernel", 2), ("both/bias", 0), *_read("out2")]),
        },
    ),
    "norm groups": Net(
        norm_groups,
        {
            "c1": (4, [("c1/kernel", 3), ("c1/bias", 0), ("g1/gamma", 0), ("g1/beta", 0),
                       ("c2/kernel", 2)]),
            "c2": (6, [("c2/kernel", 3), ("c2/bias", 0), ("g2/gamma", 0), ("g2/beta", 0),
                       ("c3/kernel", 2)]),
        },
        {"c3": "g3 takes means over channels"},
    ),
    "unit": Net(unit, {"a": (8, [*_dense("a"), *_read("b")])}, {"b": _LENGTH}),
    "told": Net(
        told,
        {
            "a": (6, [*_dense("a"), *_asks("rows")]),
            "rows": (6, [*_gives("rows"), *_asks("mha")]),
            **_heads("rows", 2, 3, 3),
            "mha": (6, [*_gives("mha"), *_read("out")]),
            **_heads("mha", 3, 4, 4),
            "mha:1": (3, [*_heads("mha", 3, 4, 4)["mha:1"][1], *_read("out")]),
        },
    ),
    "positions": Net(positions, {"a": (8, [*_dense("a"), *_read("out")])}),
}  # fmt: skip
