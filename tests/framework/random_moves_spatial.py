"""Moves on sequences, images and volumes: whatever has positions before its channels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from random_growing import LONGEST, Grower, table

L = keras.layers
ops = keras.ops


def _kind(name: str, x: Any) -> str:
    return f"{name}{len(x.shape) - 2}D"


def _padding(g: Grower, x: Any, size: int) -> str:
    options = ["same"]
    if min(x.shape[1:-1]) >= size:
        options.append("valid")
        if len(x.shape) == 3:
            options.append("causal")
    return g.one(*options)


def conv(g: Grower, x: Any) -> Any:
    size, wide = g.whole(1, 3), g.chance(0.2)
    padding = _padding(g, x, 2 * size - 1 if wide else size)
    steps = {"dilation_rate": 2} if wide else {"strides": g.one(1, 1, 2)}
    return g.layer(_kind("Conv", x), g.width(), size, padding=padding, **steps, **g.free())(x)


def conv_norm(g: Grower, x: Any) -> Any:
    x = g.layer(_kind("Conv", x), g.width(), g.one(1, 3), padding="same", use_bias=False)(x)
    return L.Activation(g.one("relu", "silu", "sigmoid"))(g.layer("BatchNormalization")(x))


def transposed(g: Grower, x: Any) -> Any:
    steps = g.one(1, 2)
    if max(x.shape[1:-1]) * steps > LONGEST:
        return None
    kind = _kind("Conv", x) + "Transpose"
    size, padding = g.whole(1, 3), g.one("same", "valid")
    return g.layer(kind, g.width(), size, strides=steps, padding=padding, **g.free())(x)


def depthwise(g: Grower, x: Any) -> Any:
    size, more = g.whole(1, 3), g.one(1, 2)
    if len(x.shape) > 4 or x.shape[-1] * more > 16:
        return None
    padding = g.one("same", "valid") if min(x.shape[1:-1]) >= size else "same"
    kind = _kind("DepthwiseConv", x)
    return g.layer(kind, size, depth_multiplier=more, padding=padding, **g.free())(x)


def separable(g: Grower, x: Any) -> Any:
    if len(x.shape) > 4:
        return None
    kind, size, more = _kind("SeparableConv", x), g.whole(1, 3), g.one(1, 2)
    return g.layer(kind, g.width(), size, depth_multiplier=more, padding="same", **g.free())(x)


def grouped(g: Grower, x: Any) -> Any:
    """Several channels a group."""
    groups, kind = g.one(2, 3), _kind("Conv", x)
    if x.shape[-1] % groups or x.shape[-1] == groups:
        x = g.onto(x, groups * g.whole(2, 3))
    filters = groups * g.whole(1, 3)
    return g.layer(kind, filters, g.whole(1, 3), padding="same", groups=groups, **g.free())(x)


def single_groups(g: Grower, x: Any) -> Any:
    """A depthwise convolution that is written as a grouped one."""
    width = x.shape[-1]
    if width > 12:
        return None
    filters = width * g.one(1, 2)
    return g.layer(_kind("Conv", x), filters, 2, padding="same", groups=width, **g.free())(x)


def pooled(g: Grower, x: Any) -> Any:
    if len(x.shape) > 4:  # TensorFlow has none for volumes in float64
        return None
    kind = _kind(g.one("MaxPooling", "AveragePooling"), x)
    padding = g.one("same", "valid") if min(x.shape[1:-1]) >= 2 else "same"
    return g.layer(kind, 2, strides=g.one(1, 2), padding=padding)(x)


def padded(g: Grower, x: Any) -> Any:
    return None if max(x.shape[1:-1]) >= LONGEST else g.layer(_kind("ZeroPadding", x), 1)(x)


def cropped(g: Grower, x: Any) -> Any:
    if min(x.shape[1:-1]) < 3:
        return None
    sides = [g.one((1, 0), (0, 1), (1, 1)) for _ in x.shape[1:-1]]
    return g.layer(_kind("Cropping", x), sides[0] if len(sides) == 1 else tuple(sides))(x)


def upsampled(g: Grower, x: Any) -> Any:
    if 2 * max(x.shape[1:-1]) > LONGEST:
        return None
    more = {"interpolation": g.one("nearest", "bilinear")} if len(x.shape) == 4 else {}
    return g.layer(_kind("UpSampling", x), 2, **more)(x)


def pooled_away(g: Grower, x: Any) -> Any:
    kind = _kind(g.one("GlobalMaxPooling", "GlobalAveragePooling"), x)
    return g.layer(kind)(x)


def flattened(g: Grower, x: Any) -> Any:
    return None if np.prod(x.shape[1:]) > 300 else g.layer("Flatten")(x)


def turned(g: Grower, x: Any) -> Any:
    """Channels become positions."""
    order = g.rng.permutation(np.arange(1, len(x.shape))).tolist()
    if g.chance():
        return ops.transpose(x, (0, *order))
    return g.layer("Permute", tuple(order))(x)


def mixed(g: Grower, x: Any) -> Any:
    """A perceptron over the positions, as in an MLP mixer."""
    if len(x.shape) != 3:
        return None
    y = g.layer("Dense", g.width(), **g.free())(L.Permute((2, 1))(x))
    y = L.Permute((2, 1))(g.layer("Dense", x.shape[1])(y))
    return g.layer("Add")([x, y])


def shuffled(g: Grower, x: Any) -> Any:
    """Channels change places in two rows."""
    *before, width = x.shape[1:]
    if width % 2 or width < 4:
        return None
    x = g.layer("Reshape", (*before, 2, width // 2))(x)
    rank = len(x.shape)
    x = g.layer("Permute", (*range(1, rank - 2), rank - 1, rank - 2))(x)
    return g.layer("Reshape", (*before, width))(x)


def squeeze_excite(g: Grower, x: Any) -> Any:
    width = x.shape[-1]
    gate = g.layer(_kind("GlobalAveragePooling", x), keepdims=True)(x)
    gate = g.layer("Dense", g.width(), activation="relu")(gate)
    return g.layer("Multiply")([x, g.layer("Dense", width, activation="sigmoid")(gate)])


def residual(g: Grower, x: Any) -> Any:
    y = g.onto(conv_norm(g, x), x.shape[-1])
    if g.chance():
        y = g.layer("BatchNormalization")(y)
    return L.ReLU()(x + y) if g.chance() else g.joined(x, y)


def dense_block(g: Grower, x: Any) -> Any:
    for _ in range(2):
        x = g.layer("Concatenate")([x, conv_norm(g, x)])
    return x


def broadcast(g: Grower, x: Any) -> Any:
    """One number a channel meets every position."""
    row = g.onto(g.vector(g.one(*g.pool)), x.shape[-1])
    row = g.layer("Reshape", (*[1] * (len(x.shape) - 2), x.shape[-1]))(row)
    return x * row if g.chance() else g.joined(x, row)


def in_time(g: Grower, x: Any) -> Any:
    """One layer, position by position."""
    dims = len(x.shape) - 3
    if dims:
        inner = g.layer(f"Conv{dims}D", g.width(), 2, padding="same", **g.free())
    else:
        inner = g.layer("Dense", g.width(), **g.free())
    x = g.layer("TimeDistributed", inner)(x)
    if g.chance(0.4):
        x = g.layer("TimeDistributed", g.layer("BatchNormalization"))(x)
    return x


def model_in_time(g: Grower, x: Any) -> Any:
    """A nested model, position by position."""
    if g.depth > 1:
        return None
    inner = g.nested([tuple(x.shape[2:])], 2)
    # Keras cannot concatenate a mask of steps on more axes than a sequence has.
    long = len(inner.outputs[0].shape) > 2 and getattr(x, "_keras_mask", None) is not None
    return g.layer("TimeDistributed", inner)(x) if len(inner.outputs) == 1 and not long else None


def lines(g: Grower, x: Any) -> Any:
    """The positions of an image become those of a sequence, or its columns channels."""
    if len(x.shape) < 4:
        return None
    *before, rows, width = x.shape[1:]
    ends = [(*before[:-1], before[-1] * rows, width), (*before, rows * width)]
    shape = g.one(*ends)
    if shape[-1] > 40:
        return None
    return ops.reshape(x, (-1, *shape)) if g.chance() else g.layer("Reshape", shape)(x)


def raised(g: Grower, x: Any) -> Any:
    """A new axis of one position."""
    if len(x.shape) > 4:
        return None
    return ops.expand_dims(x, g.whole(1, len(x.shape) - 1))


def lowered(g: Grower, x: Any) -> Any:
    """Axes of one position leave."""
    if len(x.shape) == 3 and x.shape[1] > 1:
        x = g.layer("GlobalMaxPooling1D", keepdims=True)(x)
    ones = [axis for axis, length in enumerate(x.shape[1:-1], 1) if length == 1]
    return ops.squeeze(x, g.one(*ones)) if ones else None


SPATIAL = table(
    conv, conv_norm, transposed, depthwise, separable, grouped, single_groups, pooled, padded,
    cropped, upsampled, pooled_away, flattened, turned, mixed, shuffled, squeeze_excite, residual,
    dense_block, broadcast, in_time, model_in_time, lines, raised, lowered,
)  # fmt: skip
