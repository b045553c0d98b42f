"""Small nets of every way in which channels are tied together, with their groups written by hand.

``ZOO`` maps a maker to the groups that its net must have: by name the size, or the reason why the
size stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

L = keras.layers
ops = keras.ops


def _conv(x: Any, filters: int, name: str, size: int = 3, **more: Any) -> Any:
    x = L.Conv2D(filters, size, padding="same", use_bias=False, name=name, **more)(x)
    return L.ReLU()(L.BatchNormalization()(x))


def residual() -> Any:
    i = keras.Input((8, 8, 3))
    stem = _conv(i, 6, "stem")
    x = _conv(stem, 5, "narrow", 1)
    x = L.Conv2D(6, 3, padding="same", name="wide")(x)
    x = L.ReLU()(L.Add()([stem, x]))
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def dense_block() -> Any:
    i = keras.Input((8, 8, 3))
    x = _conv(i, 4, "stem")
    for name in ("one", "two"):
        x = L.Concatenate()([x, _conv(x, 3, name)])
    x = L.AveragePooling2D(2)(L.Conv2D(5, 1, name="transition")(L.BatchNormalization()(x)))
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def u_net() -> Any:
    i = keras.Input((8, 8, 2))
    down = _conv(i, 4, "down")
    deep = _conv(L.MaxPooling2D()(down), 6, "deep")
    up = L.Conv2DTranspose(4, 2, strides=2, name="up")(deep)
    x = _conv(L.Concatenate()([down, up]), 5, "join")
    x = L.Concatenate()([x, L.UpSampling2D()(deep)])
    return keras.Model(i, L.Conv2D(2, 1, name="mask")(x))


def inception() -> Any:
    i = keras.Input((8, 8, 3))
    a = _conv(i, 4, "a", 1)
    b = _conv(_conv(i, 3, "b_in", 1), 4, "b")
    c = _conv(L.MaxPooling2D(3, strides=1, padding="same")(i), 3, "c", 1)
    x = _conv(L.Concatenate()([a, b, c]), 5, "after", 1)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalMaxPooling2D()(x)))


def squeeze_excite() -> Any:
    i = keras.Input((8, 8, 3))
    x = _conv(i, 6, "body")
    gate = L.GlobalAveragePooling2D(keepdims=True)(x)
    gate = L.Conv2D(3, 1, activation="relu", name="squeeze")(gate)
    gate = L.Conv2D(6, 1, activation="sigmoid", name="excite")(gate)
    x = L.Multiply()([x, gate])
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def shuffle() -> Any:
    i = keras.Input((6, 6, 3))
    x = _conv(i, 8, "stem", 1)
    x = L.Reshape((6, 6, 2, 4))(x)
    x = L.Permute((1, 2, 4, 3))(x)
    x = L.Reshape((6, 6, 8))(x)
    x = L.DepthwiseConv2D(3, padding="same", name="depth")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def ds_cnn() -> Any:
    i = keras.Input((12, 10))
    x = L.Reshape((12, 10, 1))(i)
    x = L.DepthwiseConv2D(3, depth_multiplier=6, padding="same", name="stem")(x)
    for name in ("one", "two"):
        x = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same")(x)))
        x = _conv(x, 5, name, 1)
    x = L.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu", name="separable")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.Dropout(0.1)(L.Flatten()(x))))


def siamese() -> Any:
    one, other = keras.Input((6,)), keras.Input((6,))
    inner = keras.Input((6,))
    x = L.Dense(7, activation="tanh", name="first")(inner)
    tower = keras.Model(inner, L.Dense(5, name="second")(x), name="tower")
    x = L.Subtract()([tower(one), tower(other)])
    return keras.Model([one, other], L.Dense(2, name="head")(L.Activation("tanh")(x)))


def multimodal() -> Any:
    image, numbers = keras.Input((6, 6, 2)), keras.Input((5,))
    x = L.GlobalAveragePooling2D()(_conv(image, 6, "image"))
    y = L.Dense(4, activation="sigmoid", name="numbers")(numbers)
    z = L.Dense(6, activation="relu", name="both")(L.Concatenate()([x, y]))
    return keras.Model([image, numbers], [L.Dense(2, name="a")(z), L.Dense(1, name="b")(y)])


def autoencoder() -> Any:
    i = keras.Input((8,))
    code = L.Dense(4, activation="elu", name="code")(L.Dense(7, activation="relu", name="in")(i))
    x = L.Dense(6, activation="relu", name="out")(code)
    return keras.Model(i, L.Dense(8, name="again")(x))


def pyramid() -> Any:
    i = keras.Input((8, 8, 3))
    c2 = _conv(i, 4, "c2")
    c3 = _conv(L.MaxPooling2D()(c2), 6, "c3")
    p3 = L.Conv2D(5, 1, name="p3")(c3)
    p2 = L.Add()([L.Conv2D(5, 1, name="p2")(c2), L.UpSampling2D(interpolation="bilinear")(p3)])
    shared = L.Conv2D(3, 3, padding="same", name="predict")
    return keras.Model(i, [shared(p2), shared(p3)])


def slices() -> Any:
    i = keras.Input((6,))
    x = L.Dense(8, activation="tanh", name="wide")(i)
    value, gate = x[:, :4], x[:, 4:]
    x = value * ops.sigmoid(gate)
    left, right = ops.split(L.Dense(7, name="parts")(x), [3], axis=-1)
    x = ops.concatenate([left * 2.0, ops.relu(right) + 1.0], axis=-1)
    return keras.Model(i, L.Dense(2, name="head")(x))


def own_output() -> Any:
    i = keras.Input((6,))
    twice = L.Dense(6, name="twice", activation="tanh")
    x = L.Dense(6, name="first")(L.Dense(8, name="zeroth", activation="elu")(i))
    return keras.Model(i, L.Dense(3, name="head")(twice(twice(x))))


def mixer() -> Any:
    i = keras.Input((5, 4))
    x = L.Dense(6, name="embed")(i)
    y = L.Permute((2, 1))(L.Dense(7, activation="gelu", name="up")(L.Permute((2, 1))(x))[:, :, :])
    y = L.Permute((2, 1))(L.Dense(5, name="down")(L.Permute((2, 1))(y)))
    x = L.Add()([x, y])
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def borders() -> Any:
    i = keras.Input((9, 9, 2))
    x = L.Conv2D(5, 3, activation="sigmoid", name="first")(L.ZeroPadding2D(1)(i))
    x = L.Cropping2D(((1, 0), (0, 1)))(x)
    x = L.PReLU(shared_axes=[1, 2], name="slope")(L.Conv2D(4, 1, name="second")(x))
    x = L.Conv2D(8, 3, groups=4, name="grouped")(x)
    x = L.RepeatVector(3)(L.GlobalMaxPooling2D()(x))
    x = L.Conv1D(4, 2, padding="causal", activation="tanh", name="line")(x)
    return keras.Model(i, L.Dense(2, name="head")(L.Flatten()(x)))


def volumes() -> Any:
    i = keras.Input((4, 6, 6, 2))
    x = L.Conv3D(5, 3, padding="same", activation="relu", name="first")(i)
    x = L.Conv3DTranspose(4, 2, strides=2, activation="tanh", name="second")(x)
    return keras.Model(i, L.Dense(2, name="head")(L.GlobalAveragePooling3D()(x)))


def turned() -> Any:
    i = keras.Input((5, 4))
    x = L.Permute((2, 1))(L.Dense(6, activation="tanh", name="wide")(i))
    return keras.Model(i, L.Dense(3, name="head")(L.Reshape((30,))(x)))


OUT = "model output"
ZOO: dict[Callable[[], Any], dict[str, int | str]] = {
    residual: {"stem": 6, "narrow": 5, "head": OUT},
    dense_block: {"stem": 4, "one": 3, "two": 3, "transition": 5, "head": OUT},
    u_net: {"down": 4, "deep": 6, "up": 4, "join": 5, "mask": OUT},
    inception: {"a": 4, "b_in": 3, "b": 4, "c": 3, "after": 5, "head": OUT},
    squeeze_excite: {"body": 6, "squeeze": 3, "head": OUT},
    shuffle: {"stem": 4, "head": OUT},
    ds_cnn: {"stem": 6, "one": 5, "two": 5, "separable": 4, "head": OUT},
    siamese: {"tower/first": 7, "tower/second": 5, "head": OUT},
    multimodal: {"image": 6, "numbers": 4, "both": 6, "a": OUT, "b": OUT},
    autoencoder: {"in": 7, "code": 4, "out": 6, "again": OUT},
    pyramid: {"c2": 4, "c3": 6, "p3": 5, "predict": OUT},
    slices: {"wide": 4, "parts": 7, "head": OUT},
    own_output: {"zeroth": 8, "first": 6, "head": OUT},
    mixer: {"embed": 6, "up": 7, "head": OUT},
    turned: {"wide": 6, "head": OUT},
    borders: {"first": 5, "second": 4, "line": 4, "head": OUT},
    volumes: {"first": 5, "second": 4, "head": OUT},
}
