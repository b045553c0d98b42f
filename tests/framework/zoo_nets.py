"""Small nets of every way in which channels are tied together, with their groups written by hand.

``ZOO`` maps a maker to the groups that its net must have, without those of its inputs: by name the
size and every member as (weight, axis), or the reason why the size stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

L = keras.layers
ops = keras.ops
Members = list[tuple[str, int]]
Group = tuple[int, Members]


def _conv(x: Any, filters: int, name: str, size: int = 3, **more: Any) -> Any:
    x = L.Conv2D(filters, size, padding="same", use_bias=False, name=name, **more)(x)
    return L.ReLU()(L.BatchNormalization(name=f"{name}_bn")(x))


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
    x = L.AveragePooling2D(2)(L.Conv2D(5, 1, name="transition")(L.BatchNormalization(name="bn")(x)))
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
        x = L.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")(x)
        x = _conv(L.ReLU()(L.BatchNormalization(name=f"{name}_in")(x)), 5, name, 1)
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


def arithmetic() -> Any:
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(5, 1, activation="tanh", name="a")(i)
    x = L.Multiply()([x, L.Conv2D(5, 3, padding="same", name="b")(i)])
    x = L.Maximum()([x, L.Conv2D(5, 1, name="c")(i)])
    line = L.Conv2D(5, (6, 1), name="line")(i)
    x = L.Average()([x, line, L.Minimum()([x, line])])
    x = L.Subtract()([ops.relu(x), x * 0.5 + 1.0])
    x = CustomScaleLayer(0.3)([x, L.Conv2D(5, 1, name="scaled")(i)])
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def product() -> Any:
    """A dot reads without weights: a zero arrives through relu, and through sigmoid does not."""
    i = keras.Input((6,))
    one, other = (L.Dense(5, activation="relu", name=name)(i) for name in ("one", "other"))
    near = L.Dot(axes=1)([one, other])
    halves = [L.Dense(6, activation="sigmoid", name=name)(i) for name in ("left", "right")]
    far = L.Dot(axes=1, name="far")(halves)
    return keras.Model(i, L.Dense(2, name="head")(L.Concatenate()([near, far])))


def scaled() -> Any:
    i = keras.Input((6, 6, 3))
    scale = L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], name="scale")
    x = L.Conv2D(5, 3, activation="sigmoid", name="a")(L.Rescaling(0.5, 0.1)(scale(i)))
    x = L.Conv2D(4, 1, name="b")(L.Rescaling(2.0, -0.3)(x))
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalMaxPooling2D()(x)))


def gated() -> Any:
    i = keras.Input((6,))
    x = ops.glu(L.Dense(8, name="wide")(i))
    return keras.Model(i, L.Dense(2, name="head")(x))


def nested() -> Any:
    """Two models whose layers have the same names, one inside two others, and called twice."""

    def inner(name: str) -> Any:
        i = keras.Input((6,))
        return keras.Model(
            i, L.Dense(5, name="same")(L.Dense(4, "tanh", name="first")(i)), name=name
        )

    i = keras.Input((6,))
    deep = keras.Sequential([keras.Input((6,)), inner("core")], name="s")
    box = keras.Sequential([keras.Input((6,)), deep, L.Activation("tanh")], name="b")
    x = L.Concatenate()([box(i), inner("other")(i), box(i * 2.0)])
    return keras.Model(i, L.Dense(2, name="head")(x))


def constants() -> Any:
    """Numbers for each channel: in arithmetic, in configs, in weights that follow; and a vector
    added to an image."""
    # Keras takes a batch as long as the image is wide for the channels of a bias.
    i = keras.Input((7, 7, 3))
    x = L.Conv2D(5, 1, activation="sigmoid", name="a")(i)
    x = ops.multiply(x, np.array([[0.5, 1.0, 2.0, -1.0, 3.0]]))
    x = ops.subtract(np.array([2.0, -1.0, 0.5, 3.0, 1.5]), x)
    x = L.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0], offset=[0.1, 0.2, 0.3, 0.4, 0.5], name="lists")(x)
    x = L.Normalization(mean=[0.5, 1, 2, 3, 4], variance=[1, 2, 3, 4, 5.0], name="given")(x)
    x = L.Normalization(name="adapted")(L.Conv2D(4, 3, name="b")(x))
    line = L.Dense(4, activation="tanh", name="line")(L.GlobalMaxPooling2D()(i))
    x = L.Add()([x, line])
    x = ops.where(x > 0.3, ops.tanh(x), x * 0.1)
    x = L.Dense(4, activation="relu", name="last")(L.GlobalAveragePooling2D()(x))
    turn = np.random.default_rng(0).normal(size=(4, 3))
    return keras.Model(i, L.Dense(3, name="head")(ops.matmul(x, turn)))


def picked() -> Any:
    """Positions of the channels' axis turned, chosen, doubled and padded; axes in another order."""
    i = keras.Input((5, 3))
    x = L.Dense(6, activation="tanh", name="a")(i)
    x = ops.flip(ops.roll(x, 2, axis=-1), axis=2)
    x = ops.take(x, [0, 2, 4, 1, 3, 5, 2], axis=-1)
    x = ops.repeat(x, 2, axis=-1)
    x = ops.moveaxis(ops.swapaxes(x, 1, 2), 2, 1)
    x = ops.pad(x, [[0, 0], [0, 0], [1, 2]])
    x = L.Dense(4, name="b")(ops.flip(x, axis=1))
    return keras.Model(i, L.Dense(2, name="head")(L.GlobalAveragePooling1D()(x)))


def resized() -> Any:
    """Pooling and resizing by layers and by operations; axes taken apart."""
    i = keras.Input((8, 8, 2))
    x = L.Resizing(6, 6)(L.Conv2D(5, 3, padding="same", activation="relu", name="a")(i))
    x = ops.average_pool(ops.image.resize(ops.max_pool(x, 2), (4, 4)), 2)
    one, two = ops.unstack(L.Conv2D(4, 1, name="b")(x), axis=1)
    left, right = ops.array_split(ops.concatenate([one, two], axis=1), 2, axis=1)
    x = L.Flatten()(L.Add()([left, ops.rsqrt(ops.square(right) + 1.0)]))
    return keras.Model(i, L.Dense(3, name="head")(x))


def summed() -> Any:
    """Sums, lengths and products over channels where a zero counts for nothing."""
    i = keras.Input((5, 3))
    a, b = (L.Dense(6, activation="relu", name=name)(i) for name in "ab")
    turn = np.random.default_rng(0).normal(size=(6, 4))
    row = np.random.default_rng(1).normal(size=(2, 5))
    x = ops.concatenate(
        [
            ops.norm(ops.normalize(a, axis=-1) + ops.sort(a, axis=1), axis=-1),
            ops.mean(L.Dense(4, name="d")(ops.cumsum(a, axis=-1)), axis=1),
            ops.sum(ops.rms_normalization(ops.dot(a, turn)), axis=-1),
            ops.max(ops.einsum("btc,bsc->bts", a, ops.std(b, axis=1, keepdims=True)), axis=-1),
            ops.reshape(ops.matmul(row, ops.rms_normalization(b, turn[:, 0])), (-1, 12)),
        ],
        axis=-1,
    )
    y = L.Dense(4, activation="tanh", name="c")(x)
    y = ops.einsum("bc,c->bc", y, turn[0])
    y = ops.logaddexp(y, ops.mod(ops.fabs(ops.stop_gradient(y)), 3.0))
    return keras.Model(i, L.Dense(3, name="head")(y))


def masked() -> Any:
    """Behind relu a zero stays zero and tells the mask nothing."""
    i = keras.Input((6, 3))
    x = L.Masking()(L.Dense(5, activation="relu", name="a")(i))
    x = L.LSTM(4, name="lstm", return_sequences=True)(x)
    mask = np.tril(np.ones((1, 6, 6), bool))
    x = L.MultiHeadAttention(2, 3, name="mha")(x, x, attention_mask=mask)
    return keras.Model(i, L.Dense(2, name="head")(L.GlobalMaxPooling1D()(x)))


def several() -> Any:
    """A nested model of two inputs, given as a list, and one of names, both called twice."""
    one, other = keras.Input((5,)), keras.Input((4,))
    both = L.Concatenate()(
        [L.Dense(3, "tanh", name="left")(one), L.Dense(4, "tanh", name="right")(other)]
    )
    inner = keras.Model([one, other], [L.Dense(5, name="sum")(both), both], name="inner")
    named = {"p": keras.Input((5,), name="p"), "q": keras.Input((7,), name="q")}
    y = L.Dense(6, "sigmoid", name="pair")(L.Concatenate()([named["q"], named["p"]]))
    by_name = keras.Model(named, y, name="named")
    a, b = keras.Input((5,)), keras.Input((4,))
    first, rest = inner([a, b])
    second, _ = inner([a * 2.0, b])
    x = by_name({"q": rest, "p": L.Add()([first, second])})
    return keras.Model([a, b], L.Dense(2, name="head")(x))


def called_by_name() -> Any:
    """A nested model with a list of inputs, called by their names; what comes out has names too."""
    first, last = keras.Input((4,), name="z"), keras.Input((4,), name="a")
    ends = {
        "p": L.Dense(3, "tanh", name="p")(first),
        "more": [L.Dense(5, "tanh", name="q")(last), L.Dense(2, name="r")(last)],
    }
    inner = keras.Model([first, last], ends, name="inner")
    i = keras.Input((6,))
    u, v = L.Dense(4, "tanh", name="u")(i), L.Dense(4, "tanh", name="v")(i)
    made = inner({"a": v, "z": u})
    x = L.Concatenate()([made["more"][0], made["p"], made["more"][1]])
    return keras.Model(i, L.Dense(2, name="head")(x))


def lines() -> Any:
    i = keras.Input((8, 3))
    x = L.Conv1D(6, 3, strides=2, padding="same", activation="relu", name="down")(i)
    x = L.DepthwiseConv1D(3, depth_multiplier=2, padding="same", name="depth")(x)
    x = L.SeparableConv1D(5, 3, padding="same", activation="tanh", name="separable")(x)
    x = L.UpSampling1D(2)(L.Cropping1D((1, 0))(L.ZeroPadding1D((0, 1))(x)))
    x = L.Conv1DTranspose(4, 3, padding="same", activation="relu", name="up")(x)
    x = L.Concatenate()([L.MaxPooling1D(2)(x), L.AveragePooling1D(2)(x)])
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def deep() -> Any:
    i = keras.Input((4, 4, 4, 2))
    x = L.Conv3D(4, 1, activation="relu", name="in")(i)
    x = L.Cropping3D(1)(L.UpSampling3D(2)(x))
    x = L.ZeroPadding3D(((1, 0), (0, 1), (0, 0)))(x)
    x = L.Conv3DTranspose(5, 2, activation="relu", name="out")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling3D()(x)))


def _places(text: str) -> Members:
    """``"a/kernel:3 bn"`` and so on: a name alone is a batch norm."""
    found: Members = []
    for word in text.split():
        weight, _, axis = word.partition(":")
        norms = ("gamma", "beta", "moving_mean", "moving_variance")
        found += [(weight, int(axis))] if axis else [(f"{weight}/{norm}", 0) for norm in norms]
    return found


def _group(size: int, text: str) -> Group:
    return size, _places(text)


OUT = "model output"
ZOO: dict[Callable[[], Any], dict[str, Group | str]] = {
    residual: {
        "stem": _group(
            6, "stem/kernel:3 stem_bn narrow/kernel:2 wide/kernel:3 wide/bias:0 head/kernel:0"
        ),
        "narrow": _group(5, "narrow/kernel:3 narrow_bn wide/kernel:2"),
        "head": OUT,
    },
    dense_block: {
        "stem": _group(4, "stem/kernel:3 stem_bn one/kernel:2 two/kernel:2 bn transition/kernel:2"),
        "one": _group(3, "one/kernel:3 one_bn two/kernel:2 bn transition/kernel:2"),
        "two": _group(3, "two/kernel:3 two_bn bn transition/kernel:2"),
        "transition": _group(5, "transition/kernel:3 transition/bias:0 head/kernel:0"),
        "head": OUT,
    },
    u_net: {
        "down": _group(4, "down/kernel:3 down_bn deep/kernel:2 join/kernel:2"),
        "deep": _group(6, "deep/kernel:3 deep_bn up/kernel:3 mask/kernel:2"),
        "up": _group(4, "up/kernel:2 up/bias:0 join/kernel:2"),
        "join": _group(5, "join/kernel:3 join_bn mask/kernel:2"),
        "mask": OUT,
    },
    inception: {
        "a": _group(4, "a/kernel:3 a_bn after/kernel:2"),
        "b_in": _group(3, "b_in/kernel:3 b_in_bn b/kernel:2"),
        "b": _group(4, "b/kernel:3 b_bn after/kernel:2"),
        "c": _group(3, "c/kernel:3 c_bn after/kernel:2"),
        "after": _group(5, "after/kernel:3 after_bn head/kernel:0"),
        "head": OUT,
    },
    squeeze_excite: {
        "body": _group(
            6,
            "body/kernel:3 body_bn squeeze/kernel:2 excite/kernel:3 excite/bias:0 head/kernel:0",
        ),
        "squeeze": _group(3, "squeeze/kernel:3 squeeze/bias:0 excite/kernel:2"),
        "head": OUT,
    },
    # The two rows that are shuffled keep equal lengths, so a channel is one of each.
    shuffle: {
        "stem": _group(4, "stem/kernel:3 stem_bn depth/kernel:2 depth/bias:0 head/kernel:0"),
        "head": OUT,
    },
    ds_cnn: {
        "stem": _group(
            6, "stem/kernel:3 stem/bias:0 one_depth/kernel:2 one_depth/bias:0 one_in one/kernel:2"
        ),
        "one": _group(
            5, "one/kernel:3 one_bn two_depth/kernel:2 two_depth/bias:0 two_in two/kernel:2"
        ),
        "two": _group(
            5, "two/kernel:3 two_bn separable/depthwise_kernel:2 separable/pointwise_kernel:2"
        ),
        "separable": _group(4, "separable/pointwise_kernel:3 separable/bias:0 head/kernel:0"),
        "head": OUT,
    },
    siamese: {
        "tower/first": _group(7, "tower/first/kernel:1 tower/first/bias:0 tower/second/kernel:0"),
        "tower/second": _group(5, "tower/second/kernel:1 tower/second/bias:0 head/kernel:0"),
        "head": OUT,
    },
    multimodal: {
        "image": _group(6, "image/kernel:3 image_bn both/kernel:0"),
        "numbers": _group(4, "numbers/kernel:1 numbers/bias:0 both/kernel:0 b/kernel:0"),
        "both": _group(6, "both/kernel:1 both/bias:0 a/kernel:0"),
        "a": OUT,
        "b": OUT,
    },
    autoencoder: {
        "in": _group(7, "in/kernel:1 in/bias:0 code/kernel:0"),
        "code": _group(4, "code/kernel:1 code/bias:0 out/kernel:0"),
        "out": _group(6, "out/kernel:1 out/bias:0 again/kernel:0"),
        "again": OUT,
    },
    pyramid: {
        "c2": _group(4, "c2/kernel:3 c2_bn c3/kernel:2 p2/kernel:2"),
        "c3": _group(6, "c3/kernel:3 c3_bn p3/kernel:2"),
        "p3": _group(5, "p3/kernel:3 p3/bias:0 p2/kernel:3 p2/bias:0 predict/kernel:2"),
        "predict": OUT,
    },
    slices: {
        "wide": _group(4, "wide/kernel:1 wide/bias:0 parts/kernel:0"),
        "parts": _group(7, "parts/kernel:1 parts/bias:0 head/kernel:0"),
        "head": OUT,
    },
    own_output: {
        "zeroth": _group(8, "zeroth/kernel:1 zeroth/bias:0 first/kernel:0"),
        "first": _group(
            6,
            "first/kernel:1 first/bias:0 twice/kernel:0 twice/kernel:1 twice/bias:0 head/kernel:0",
        ),
        "head": OUT,
    },
    mixer: {
        "embed": _group(6, "embed/kernel:1 embed/bias:0 head/kernel:0"),
        "up": _group(7, "up/kernel:1 up/bias:0 down/kernel:0"),
        # It is added to the positions of the input.
        "down": "it meets a tensor whose channels cannot leave there",
        "head": OUT,
    },
    turned: {"wide": _group(6, "wide/kernel:1 wide/bias:0 head/kernel:0"), "head": OUT},
    borders: {
        "first": _group(5, "first/kernel:3 first/bias:0 second/kernel:2"),
        # Each group of the grouped convolution reads one channel and makes two.
        "second": _group(
            4,
            "second/kernel:3 second/bias:0 slope/alpha:2 grouped/kernel:3 grouped/bias:0 "
            "line/kernel:1",
        ),
        "line": _group(4, "line/kernel:2 line/bias:0 head/kernel:0"),
        "head": OUT,
    },
    volumes: {
        "first": _group(5, "first/kernel:4 first/bias:0 second/kernel:4"),
        "second": _group(4, "second/kernel:3 second/bias:0 head/kernel:0"),
        "head": OUT,
    },
    arithmetic: {
        "a": _group(
            5,
            "a/kernel:3 a/bias:0 b/kernel:3 b/bias:0 c/kernel:3 c/bias:0 line/kernel:3 line/bias:0 "
            "scaled/kernel:3 scaled/bias:0 head/kernel:0",
        ),
        "head": OUT,
    },
    product: {
        "one": _group(5, "one/kernel:1 one/bias:0 other/kernel:1 other/bias:0"),
        "left": "a dot product reads it, and no exact zero arrives",
        "head": OUT,
    },
    scaled: {
        "a": _group(5, "a/kernel:3 a/bias:0 b/kernel:2"),
        "b": _group(4, "b/kernel:3 b/bias:0 head/kernel:0"),
        "head": OUT,
    },
    constants: {
        "a": _group(5, "a/kernel:3 a/bias:0 b/kernel:2"),
        "b": _group(
            4,
            "b/kernel:3 b/bias:0 line/kernel:1 line/bias:0 adapted/mean:0 adapted/variance:0 "
            "last/kernel:0",
        ),
        "last": _group(4, "last/kernel:1 last/bias:0"),
        "head": OUT,
    },
    resized: {
        "a": _group(5, "a/kernel:3 a/bias:0 b/kernel:2"),
        "b": _group(4, "b/kernel:3 b/bias:0 head/kernel:0"),
        "head": OUT,
    },
    summed: {
        "b": _group(
            6, "a/kernel:1 a/bias:0 b/kernel:1 b/bias:0 d/kernel:0 c/kernel:0"
        ),
        "d": _group(4, "d/kernel:1 d/bias:0 c/kernel:0"),
        "c": _group(4, "c/kernel:1 c/bias:0 head/kernel:0"),
        "head": OUT,
    },
    masked: {
        "a": _group(5, "a/kernel:1 a/bias:0 lstm/cell/kernel:0"),
        "lstm": _group(
            4,
            "lstm/cell/kernel:1 lstm/cell/recurrent_kernel:0 lstm/cell/recurrent_kernel:1 "
            "lstm/cell/bias:0 mha/query_dense/kernel:0 mha/key_dense/kernel:0 "
            "mha/value_dense/kernel:0",
        ),
        "mha": _group(4, "mha/output_dense/kernel:2 mha/output_dense/bias:0 head/kernel:0"),
        "mha:1": _group(
            2,
            "mha/query_dense/kernel:1 mha/query_dense/bias:0 mha/key_dense/kernel:1 "
            "mha/key_dense/bias:0 mha/value_dense/kernel:1 mha/value_dense/bias:0 "
            "mha/output_dense/kernel:0",
        ),
        "mha:2": _group(
            3,
            "mha/query_dense/kernel:2 mha/query_dense/bias:1 mha/key_dense/kernel:2 "
            "mha/key_dense/bias:1",
        ),
        "mha:3": _group(
            3, "mha/value_dense/kernel:2 mha/value_dense/bias:1 mha/output_dense/kernel:1"
        ),
        "head": OUT,
    },
    picked: {
        "a": _group(6, "a/kernel:1 a/bias:0 b/kernel:0"),
        "b": _group(4, "b/kernel:1 b/bias:0 head/kernel:0"),
        "head": OUT,
    },
    several: {
        "inner/left": _group(
            3, "inner/left/kernel:1 inner/left/bias:0 inner/sum/kernel:0 named/pair/kernel:0"
        ),
        "inner/right": _group(
            4, "inner/right/kernel:1 inner/right/bias:0 inner/sum/kernel:0 named/pair/kernel:0"
        ),
        "inner/sum": _group(5, "inner/sum/kernel:1 inner/sum/bias:0 named/pair/kernel:0"),
        "named/pair": _group(6, "named/pair/kernel:1 named/pair/bias:0 head/kernel:0"),
        "head": OUT,
    },
    called_by_name: {
        "u": _group(4, "u/kernel:1 u/bias:0 inner/p/kernel:0"),
        "v": _group(4, "v/kernel:1 v/bias:0 inner/q/kernel:0 inner/r/kernel:0"),
        "inner/p": _group(3, "inner/p/kernel:1 inner/p/bias:0 head/kernel:0"),
        "inner/q": _group(5, "inner/q/kernel:1 inner/q/bias:0 head/kernel:0"),
        "inner/r": _group(2, "inner/r/kernel:1 inner/r/bias:0 head/kernel:0"),
        "head": OUT,
    },
    lines: {
        # A depthwise kernel makes two channels of each, which leave with it.
        "down": _group(
            6,
            "down/kernel:2 down/bias:0 depth/kernel:1 depth/bias:0 separable/depthwise_kernel:1 "
            "separable/pointwise_kernel:1",
        ),
        "separable": _group(5, "separable/pointwise_kernel:2 separable/bias:0 up/kernel:2"),
        "up": _group(4, "up/kernel:1 up/bias:0 head/kernel:0"),
        "head": OUT,
    },
    deep: {
        "in": _group(4, "in/kernel:4 in/bias:0 out/kernel:4"),
        "out": _group(5, "out/kernel:3 out/bias:0 head/kernel:0"),
        "head": OUT,
    },
    gated: {"wide": _group(4, "wide/kernel:1 wide/bias:0 head/kernel:0"), "head": OUT},
    nested: {
        "b/s/core/first": _group(
            4,
            "b/s/core/first/kernel:1 b/s/core/first/bias:0 b/s/core/same/kernel:0",
        ),
        "b/s/core/same": _group(
            5, "b/s/core/same/kernel:1 b/s/core/same/bias:0 head/kernel:0"
        ),
        "other/first": _group(4, "other/first/kernel:1 other/first/bias:0 other/same/kernel:0"),
        "other/same": _group(5, "other/same/kernel:1 other/same/bias:0 head/kernel:0"),
        "head": OUT,
    },
}  # fmt: skip
