"""Moves on tensors of any rank: dense layers, norms, joins, slices, shared and nested models."""

from __future__ import annotations

from typing import Any

import keras
from random_growing import ACTIVATIONS, Grower, table

L = keras.layers
ops = keras.ops
UNARY = (
    ops.relu, ops.sigmoid, ops.tanh, ops.gelu, ops.abs, ops.square, ops.sin, ops.negative,
    ops.silu, ops.softplus, ops.arctan, ops.relu6,
)  # fmt: skip


def dense(g: Grower, x: Any) -> Any:
    return g.layer("Dense", g.width(), **g.free())(x)


def einsum_dense(g: Grower, x: Any) -> Any:
    letters = "bcdef"[: len(x.shape) - 2]
    positions = [*x.shape[1:-1]]
    equation = f"a{letters}x,xy->a{letters}y"
    return g.layer(
        "EinsumDense", equation, (*positions, g.width()), bias_axes=g.one("y", None),
        activation=g.one(*ACTIVATIONS),
    )(x)  # fmt: skip


def activated(g: Grower, x: Any) -> Any:
    kinds = ("ReLU", "LeakyReLU", "ELU", "PReLU", "Dropout")
    kind = g.one(*kinds, "Activation")
    if kind == "PReLU":
        return g.layer(kind, shared_axes=g.one(None, [*range(1, len(x.shape) - 1)] or None))(x)
    given = {"Dropout": (0.3,), "Activation": (g.one(*ACTIVATIONS),)}.get(kind, ())
    return g.layer(kind, *given)(x)


def operated(g: Grower, x: Any) -> Any:
    return g.one(*UNARY)(x)


def counted(g: Grower, x: Any) -> Any:
    """Arithmetic with numbers."""
    number = float(g.rng.uniform(0.5, 2.0))
    row = g.rng.uniform(0.5, 2.0, x.shape[-1])
    return g.one(
        lambda: x * number, lambda: number - x, lambda: ops.maximum(x, 0.1), lambda: x / number,
        lambda: x + row, lambda: ops.add(x, number) * row,
    )()  # fmt: skip


def batch_norm(g: Grower, x: Any) -> Any:
    return g.layer("BatchNormalization", scale=g.chance(0.8), center=g.chance(0.8))(x)


def scaled(g: Grower, x: Any) -> Any:
    if g.chance():
        return g.layer("Rescaling", g.rng.uniform(0.5, 2.0), g.one(0.0, 0.3))(x)
    mean, variance = g.rng.uniform(0.1, 1.0, (2, x.shape[-1]))
    return g.layer("Normalization", mean=mean, variance=variance)(x)


def normed(g: Grower, x: Any) -> Any:
    """Over the channels, which are read without weights."""
    kind = g.one("LayerNormalization", "RMSNormalization", "UnitNormalization")
    return g.layer(kind)(x)


def group_norm(g: Grower, x: Any) -> Any:
    width = x.shape[-1]
    groups = [number for number in (1, 2, 3, -1) if width % number == 0]
    return g.layer("GroupNormalization", g.one(*groups))(x) if len(x.shape) > 2 else None


def merged(g: Grower, x: Any) -> Any:
    return g.joined(x, g.twin(x), *([g.twin(x)] if g.chance(0.2) else []))


def arithmetic(g: Grower, x: Any) -> Any:
    y = g.twin(x)
    return g.one(
        lambda: x + y, lambda: x - y, lambda: x * y, lambda: ops.maximum(x, y),
        lambda: x / (ops.abs(y) + 1.0),
    )()  # fmt: skip


def concatenated(g: Grower, x: Any) -> Any:
    if x.shape[-1] > 12:
        return None
    given = [x, g.other(x)] if g.chance() else [g.other(x), x, g.other(x)]
    return ops.concatenate(given, axis=-1) if g.chance() else g.layer("Concatenate")(given)


def behind(g: Grower, x: Any) -> Any:
    """One behind the other along positions."""
    axis = g.whole(1, len(x.shape) - 2) if len(x.shape) > 2 else None
    if axis is None or x.shape[axis] > 6:
        return None
    return g.layer("Concatenate", axis=axis)([x, g.twin(x)])


def residual_over_concat(g: Grower, x: Any) -> Any:
    """A sum whose inputs are made in pieces by different layers."""
    first = g.width()
    whole = g.layer("Concatenate")([g.onto(x, first), g.onto(x, g.width())])
    if g.chance():
        whole = L.Activation("relu")(g.layer("BatchNormalization")(whole))
    if g.chance(0.4):
        cut = g.whole(1, whole.shape[-1] - 1)
        side = g.layer("Concatenate")([g.onto(x, cut), g.onto(x, whole.shape[-1] - cut)])
    else:
        side = g.onto(whole if g.chance() else x, whole.shape[-1])
    return whole + side if g.chance(0.3) else g.layer("Add")([whole, side])


def sliced(g: Grower, x: Any) -> Any:
    width = x.shape[-1]
    if width < 4:
        return None
    cut = g.whole(1, width - 2)
    key = g.one(slice(cut, None), slice(None, -cut), slice(None, None, 2), slice(1, width - 1))
    return x[..., key]


def sliced_positions(g: Grower, x: Any) -> Any:
    if len(x.shape) < 3 or x.shape[1] < 3:
        return None
    return x[:, g.one(slice(1, None), slice(None, None, 2), slice(None, 2), -1)]


def split(g: Grower, x: Any) -> Any:
    """The pieces change places, or gate each other."""
    width = x.shape[-1]
    if width % 2 == 0 and g.chance():
        one, other = ops.split(x, 2, axis=-1)
        return one * ops.sigmoid(other)
    if width < 3:
        return None
    one, other = ops.split(x, [g.whole(1, width - 2)], axis=-1)
    return ops.concatenate([ops.tanh(other), one], axis=-1)


def gated(g: Grower, x: Any) -> Any:
    return ops.glu(x) if x.shape[-1] % 2 == 0 else None


def summed(g: Grower, x: Any) -> Any:
    """Channels are summed or averaged without weights."""
    if x.shape[-1] < 2:
        return None
    made = g.one(ops.sum, ops.mean, ops.max)(x, axis=-1, keepdims=True)
    return x * ops.tanh(made)


def stacked(g: Grower, x: Any) -> Any:
    if len(x.shape) > 4:
        return None
    return ops.stack([x, g.twin(x)], axis=g.whole(1, len(x.shape) - 1))


def shared(g: Grower, x: Any) -> Any:
    """One layer, two calls."""
    layer = g.layer("Dense", g.width(), **g.free())
    one, other = layer(x), layer(g.twin(x))
    return [one, other] if g.chance() else g.joined(one, other)


def own_output(g: Grower, x: Any) -> Any:
    """A layer applied to what it made."""
    layer = g.layer("Dense", x.shape[-1], activation=g.one("tanh", "relu", "sigmoid"))
    for _ in range(g.whole(2, 3)):
        x = layer(x)
    return x


def nested(g: Grower, x: Any) -> Any:
    if g.depth > 2:
        return None
    return g.nested([tuple(x.shape[1:])], g.whole(2, 3))(x)


def nested_sequential(g: Grower, x: Any) -> Any:
    """A Sequential model, now and then with a model inside."""
    if g.depth > 2:
        return None
    shape = tuple(x.shape[1:])
    layers = [L.Dense(shape[-1], name="dense1", **g.free()), L.BatchNormalization(name="norm")]
    if g.chance():
        inner = g.nested([shape], 1)
        layers += [inner] if len(inner.outputs) == 1 else []
    name = g.name("sequential")
    return keras.Sequential([keras.Input(shape), *layers], name=name)(x)


def deep(g: Grower, x: Any) -> Any:
    """A model in a model in a model, with the same names in each."""
    if g.depth:
        return None

    def box(inside: int) -> Any:
        inputs = y = keras.Input(x.shape[1:])
        for name in ("dense1", "dense2"):
            y = L.Dense(x.shape[-1], name=name, **g.free())(y)
        return keras.Model(inputs, box(inside - 1)(y) if inside else y, name="model")

    model = box(2)
    model.name = g.name("model")
    return model(x)


def shared_model(g: Grower, x: Any) -> Any:
    """A nested model, two calls."""
    if g.depth > 1:
        return None
    inner = g.nested([tuple(x.shape[1:])], 2)
    made = [inner(one) for one in (x, g.twin(x))]
    return g.joined(*made) if len(inner.outputs) == 1 and g.chance() else keras.tree.flatten(made)


def nested_of_two(g: Grower, x: Any) -> Any:
    """A nested model with several inputs."""
    if g.depth > 1:
        return None
    y = g.other(x)
    return g.nested([tuple(x.shape[1:]), tuple(y.shape[1:])], 3)([x, y])


ANYWHERE = table(
    dense, einsum_dense, activated, operated, counted, batch_norm, scaled, normed, group_norm,
    merged, arithmetic, concatenated, behind, residual_over_concat, sliced, sliced_positions, split,
    gated, summed, stacked, shared, own_output, nested, nested_sequential, deep, shared_model,
    nested_of_two,
)  # fmt: skip


def repeated(g: Grower, x: Any) -> Any:
    return g.layer("RepeatVector", g.whole(2, 4))(x)


def folded(g: Grower, x: Any) -> Any:
    """A vector becomes an image or a sequence."""
    width = x.shape[-1]
    ends = [(1, 1, width), (1, width), (width, 1)]
    ends += [(part, width // part) for part in (2, 3, 4) if width % part == 0]
    shape = g.one(*[one for one in ends if max(one[:-1]) <= 8])
    return g.layer("Reshape", shape)(x)


def dotted(g: Grower, x: Any) -> Any:
    """Two vectors of relus meet without weights."""
    width = g.width()
    sides = [g.layer("Dense", width, activation=g.one("relu", "relu", "sigmoid"))(x) for _ in "ab"]
    return g.layer("Concatenate")([x, g.layer("Dot", 1, normalize=g.chance(0.2))(sides)])


VECTORS = table(repeated, folded, dotted)
