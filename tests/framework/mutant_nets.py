"""Nets for the mutation ring: between them every layer class that has a rule, in places where what
the rule says matters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import attention_nets
import keras
import numpy as np
import recurrent_nets
import test_surgery_operations as operations
import zoo_nets
from keras.src.applications.convnext import LayerScale
from surgery_nets import inputs_for, outputs_of, random_plan, woken

from edgeprune.graphs import Graph, Group
from edgeprune.models import clone, named_layers, named_weights
from edgeprune.plans import Mask, Plan
from edgeprune.surgery import cut, trace

L = keras.layers
ops = keras.ops


@dataclass(frozen=True)
class Prepared:
    """A net that is ready for a proof.

    Attributes:
        model: woken.
        x: four examples for each input.
        constants: plans that leave constants on every tensor.
        inexact: its groups, those too that only an inexact cut takes channels from.
    """

    model: Any
    x: list[Any]
    constants: tuple[Plan, ...]
    inexact: Graph

    def plans(self, few: bool) -> Iterator[Plan]:
        """To prove it with, those that catch most first; the groups are what the rules say now."""
        graph = trace(self.model)
        sizes = {group.name: group.size for group in graph.free if group.size > 1}
        yield from self.constants
        yield Plan.cut(graph, {name: [1] for name in sizes})
        for seed in range(1 if few else 4):
            yield random_plan(self.model, np.random.default_rng(seed))
        for name in sizes if not few else ():
            yield Plan.cut(graph, {name: [sizes[name] - 1]})
            yield Plan.cut(graph, {name: range(1, sizes[name])})


def prepared(make: Callable[[], Any]) -> Prepared:
    """The net, woken; every weight that scales something is shaken too. An input named ``words…``
    holds whole numbers below 9, of which the first are masked where zero is."""
    model = make()
    x: list[Any] = []
    for place, tensor in enumerate(model.inputs):
        if tensor.name.startswith("words"):
            words = np.random.default_rng(place).integers(0, 9, size=(4, *tensor.shape[1:]))
            words[0, :2] = 0
            x.append(words.astype("float64"))
        else:
            x.append(inputs_for(tuple(tensor.shape[1:]), place))
    rng = np.random.default_rng(0)
    for variable in named_weights(model).values():
        if variable.name in ("scale", "embeddings", "variable", "mean", "variance"):
            variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
    for layer in named_layers(model).values():
        if isinstance(layer, L.Normalization):
            layer.finalize_state()
    woken(model, x, 0)
    graph = trace(model, inexact=True)
    return Prepared(model, x, (emptied(model, graph), fed(model, graph)), graph)


def emptied(model: Any, graph: Graph) -> Plan:
    """Constants on every tensor: the first channel of every group is made of nothing but its
    biases, the last one, except of a small group, of nothing at all."""
    return _masked(graph, _empty(model, graph))


def fed(model: Any, graph: Graph) -> Plan:
    """:func:`emptied`, and the second channel of every group made of such constants alone."""
    masks = _empty(model, graph)
    for group in graph:
        for member in group.members:
            if member.role != "reads" or member.channel.ndim > 1:
                continue
            keep = masks.setdefault(
                member.weight, np.ones(named_weights(model)[member.weight].shape, bool)
            )
            read = ~np.isin(member.channel, _ends(group))
            for other, made in _made(graph, member.weight, member.axis):
                both = np.moveaxis(keep, (member.axis, other), (0, 1))
                both[np.ix_(read, made)] = False
    return _masked(graph, masks)


def _empty(model: Any, graph: Graph) -> dict[str, np.ndarray]:
    weights = named_weights(model)
    masks: dict[str, np.ndarray] = {}
    for group in graph:
        for member in group.members:
            name = member.weight
            if member.role == "makes":
                keep = masks.setdefault(name, np.ones(weights[name].shape, bool))
                biased = weights[name].name in ("bias", "beta")
                member.lead(keep)[np.isin(member.channel, _ends(group)[biased:])] = False
    return masks


def _ends(group: Group) -> list[int]:
    """Channels that are emptied; never all."""
    return [0, group.size - 1] if group.size > 3 else [0][: group.size - 1]


def _made(graph: Graph, weight: str, axis: int) -> Iterator[tuple[int, np.ndarray]]:
    """The other axes of a weight on which channels are made, and where the second one is there."""
    for group in graph:
        for member in group.members:
            if (member.weight, member.role) == (weight, "makes") and member.axis != axis:
                yield member.axis, (member.channel == 1) & (group.size > 2)


def _masked(graph: Graph, masks: dict[str, np.ndarray]) -> Plan:
    return Plan(graph.model, masks=tuple(Mask(name, keep) for name, keep in masks.items()))


def inexactly(net: Prepared) -> None:
    """Assert that what an inexact cut leaves does not depend on what it takes."""
    mixed = [group for group in net.inexact if group.inexact and group.size > 1]
    if not mixed:
        return
    found = trace(net.model, inexact=True)
    plan = Plan.cut(found, {group.name: [1] for group in mixed})
    other = clone(net.model)
    weights = named_weights(other)
    for group in mixed:
        for member in group.members:
            value = np.array(weights[member.weight])
            member.lead(value)[member.channel == 1] = 7.0
            weights[member.weight].assign(value)
    small, same = cut(net.model, plan), cut(other, plan)
    for one, two in zip(small.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    left = named_weights(small)
    for group in mixed:
        for member in group.members:
            length = member.channel.size - (member.channel == 1).sum()
            assert left[member.weight].shape[member.axis] <= length, member
    outputs_of(small, net.x)


def perceptron() -> Any:
    i = keras.Input((4,))
    x = L.Dense(5, activation="sigmoid", name="a")(i)
    x = L.Dense(5, activation="tanh", use_bias=False, name="b")(x)
    x = L.Dense(5, activation="sigmoid", name="c")(x)
    x = L.Dense(4, activation="softmax", name="d")(x)
    x = L.Dense(4, activation="sigmoid", name="e")(x)
    return keras.Model(i, L.Dense(3, name="head")(x))


def chain() -> Any:
    i = keras.Input((9, 9, 3))
    x = L.Conv2D(5, 3, activation="sigmoid", name="first")(i)
    x = L.BatchNormalization(name="norm")(x)
    x = L.DepthwiseConv2D(3, depth_multiplier=2, activation="tanh", name="depth")(x)
    x = L.Conv2D(4, 1, activation="sigmoid", name="second")(x)
    x = L.DepthwiseConv2D(3, padding="same", activation="sigmoid", name="same")(x)
    x = L.Conv2D(5, 3, padding="same", activation="sigmoid", name="third")(x)
    x = L.Conv2D(4, 3, activation="relu", name="fourth")(L.ZeroPadding2D(name="pad")(x))
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def transposed() -> Any:
    i = keras.Input((5, 5, 2))
    zeros = L.Conv2D(3, 1, activation="relu", use_bias=False, name="zeros")(i)
    x = L.Concatenate()([zeros, L.Conv2D(3, 1, activation="sigmoid", name="first")(i)])
    x = L.Conv2DTranspose(6, 2, strides=2, activation="sigmoid", name="up")(x)
    x = L.Conv2DTranspose(6, 1, activation="sigmoid", name="flat")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalMaxPooling2D()(x)))


def separable() -> Any:
    i = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 1, activation="sigmoid", name="first")(i)
    x = L.SeparableConv2D(4, 3, depth_multiplier=2, activation="sigmoid", name="one")(x)
    x = L.SeparableConv2D(4, 3, padding="same", activation="sigmoid", name="two")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def by_depth() -> Any:
    """As many groups as channels; and a grouped convolution in runs."""
    i = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 1, activation="sigmoid", name="first")(i)
    x = L.Conv2D(8, 2, groups=4, activation="sigmoid", name="each")(x)
    x = L.Conv2D(6, 2, groups=2, activation="sigmoid", name="runs")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


def one_channel() -> Any:
    i = keras.Input((6, 4))
    x = L.Reshape((6, 5, 1), name="shape")(L.Dense(5, activation="sigmoid", name="front")(i))
    x = L.DepthwiseConv2D(3, depth_multiplier=4, activation="sigmoid", name="stem")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def told() -> Any:
    """Constants that are others on their way to a weight; as many heads as there are positions."""
    i = keras.Input((5, 3))
    a, b, c = (L.Dense(6, activation="sigmoid", name=name)(i) for name in "abc")
    turned = ops.concatenate([ops.std(a, axis=1, keepdims=True), ops.ones_like(b)[:, :1]], -1)
    heads = L.MultiHeadAttention(5, 2, name="heads")(c, c)[:, 0]
    return keras.Model(i, [L.Dense(3, name="out")(turned), L.Dense(3, name="end")(heads)])


def infinite() -> Any:
    """What would be infinite, were it silent; so few channels that none is emptied of its bias."""
    i = keras.Input((5, 4))
    a, b, c = (L.Dense(3, activation="tanh", name=name)(i) for name in "abc")
    x = L.Concatenate()([ops.reciprocal(a), b / c])
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def words() -> Any:
    i = keras.Input((5,), name="words")
    x = L.Embedding(9, 6, name="table")(i)
    x = L.Conv1D(4, 2, activation="sigmoid", name="conv")(x)
    picked = ops.relu6(L.Dense(4, activation="relu", name="picks")(L.GlobalMaxPooling1D()(x)))
    y = L.Embedding(9, 3, name="again")(picked)
    heads = L.GlobalAveragePooling1D()(x), L.Flatten()(y)
    return keras.Model(i, [L.Dense(3, name=f"head{n}")(one) for n, one in enumerate(heads)])


def held() -> Any:
    """What holds numbers for each channel in its config, or of the data."""
    i = keras.Input((6, 4))
    scale = [0.5, 2.0, 1.0, -1.0, 0.3]
    x = L.Rescaling(scale, 0.1, name="each")(L.Dense(5, activation="tanh", name="a")(i))
    y = L.Dense(5, activation="sigmoid", name="b")(x)
    norm = L.Normalization(mean=scale, variance=[1.0, 2.0, 0.5, 1.5, 3.0], name="data")(y)
    z = L.Rescaling(0.5, 0.25, name="all")(L.Dense(5, activation="sigmoid", name="c")(norm))
    return keras.Model(i, L.Dense(3, name="head")(z))


def layer_norms() -> Any:
    i = keras.Input((6, 4))
    x = L.LayerNormalization(name="ln")(L.Dense(5, activation="sigmoid", name="a")(i))
    x = L.Dense(6, activation="tanh", name="b")(x)
    x = L.LayerNormalization(axis=1, name="along")(L.Dense(5, activation="tanh", name="x")(x))
    x = L.Dense(4, activation="sigmoid", name="c")(x)
    return keras.Model(i, L.Dense(3, name="head")(x))


def mixing() -> Any:
    i = keras.Input((6, 4))
    mixes = {
        "soft": L.Softmax(name="soft"),
        "act": L.Activation("softmax", name="act"),
        "own": L.Dense(4, activation="softmax", name="own"),
        "ops": lambda x: ops.softmax(x, axis=-1),
        "log": lambda x: ops.log_softmax(x, axis=-1),
    }
    ends = []
    for name, mix in mixes.items():
        x = mix(L.Dense(5, activation="sigmoid", name=f"before_{name}")(i))
        x = L.Activation("sigmoid")(L.Dense(5, name=f"behind_{name}")(x))
        ends.append(L.Dense(3, name=f"out_{name}")(x))
    return keras.Model(i, ends)


def shapes() -> Any:
    i = keras.Input((8, 8, 2))
    x = L.Conv2D(4, 1, activation="sigmoid", name="first")(i)
    x = L.UpSampling2D(name="up")(x)
    x = L.Cropping2D(((1, 3), (2, 0)), name="crop")(x)
    x = L.MaxPooling2D(2, name="pool")(x)
    x = L.Conv2D(3, 2, activation="sigmoid", name="second")(x)
    x = L.Reshape((15, 6), name="shape")(L.Permute((3, 1, 2), name="turn")(x)[:, :, :, :])
    x = L.Conv1D(3, 1, name="third")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def turns() -> Any:
    """Channels that come to lie on other axes."""
    i = keras.Input((5, 4))
    x = L.Permute((2, 1), name="turn")(L.Dense(6, activation="sigmoid", name="wide")(i))
    x = L.Conv1D(3, 1, name="mid", activation="sigmoid")(x)
    x = L.Reshape((18,), name="shape")(x)
    x = L.RepeatVector(2, name="twice")(L.Dense(4, activation="sigmoid", name="next")(x))
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


def turned() -> Any:
    """Channels that are flattened behind positions."""
    i = keras.Input((5, 4))
    x = L.Permute((2, 1), name="turn")(L.Dense(6, activation="sigmoid", name="wide")(i))
    x = L.Dense(6, activation="sigmoid", name="flat")(L.Reshape((30,), name="shape")(x))
    x = L.Dense(4, activation="sigmoid", name="rows")(L.Reshape((3, 2), name="again")(x))
    x = ops.reshape(ops.transpose(x, (0, 2, 1)), (-1, 12))
    return keras.Model(i, L.Dense(3, name="head")(x))


def lengths() -> Any:
    """Lengths over channels, and what comes behind them."""
    i = keras.Input((6, 5))
    x = L.UnitNormalization(name="unit")(L.Dense(6, activation="tanh", name="a")(i))
    x = L.Dense(5, activation="tanh", name="b")(L.Dense(5, activation="sigmoid", name="own")(x))
    x = L.RMSNormalization(name="root")(x)
    x = L.Dense(4, activation="sigmoid", name="c")(x)
    return keras.Model(i, L.Dense(3, name="head")(x))


def direct() -> Any:
    """Attention that begins a net."""
    i = keras.Input((4, 3))
    x = L.MultiHeadAttention(4, 4, value_dim=5, output_shape=6, name="mha")(i, i)
    return keras.Model(i, L.Dense(3, name="out")(L.Dense(4, activation="tanh", name="h")(x)))


def steps() -> Any:
    i = keras.Input((3, 4))
    x = L.Dense(4, activation="sigmoid", name="front")(i)
    x = L.SimpleRNN(4, return_sequences=True, name="one")(x)
    x = L.LSTM(3, name="two")(x)
    return keras.Model(i, L.Dense(3, name="out")(x))


def both_ways() -> Any:
    i = keras.Input((3, 4))
    x = L.Bidirectional(L.SimpleRNN(4), name="both")(L.Dense(4, activation="tanh", name="front")(i))
    return keras.Model(i, L.Dense(3, name="out")(x))


def asked() -> Any:
    """A group-query attention of three sources, and one of single width whose bias Keras may take
    for positions."""
    q, k, v = keras.Input((2, 5)), keras.Input((6, 4)), keras.Input((6, 3))
    a, b = L.Dense(6, name="a")(q), L.Dense(5, activation="sigmoid", name="b")(k)
    c = L.Dense(6, activation="sigmoid", name="c")(v)
    y = L.GroupQueryAttention(3, 6, 3, name="gqa")(a, c, b)
    z = L.MultiHeadAttention(3, 4, name="mha")(y, y)
    return keras.Model([q, k, v], L.Dense(3, name="out")(L.Dense(4, name="h")(z)))


def _pair(name: str, i: Any, j: Any) -> list[Any]:
    """What is zero when it is silent, and what is not."""
    one = L.Dense(6, activation="relu", name=f"{name}0")(i)
    return [one, L.Dense(6, activation="sigmoid", name=f"{name}1")(j)]


def _read(inputs: list[Any], ends: list[Any]) -> Any:
    ends = [L.Dense(4, activation="sigmoid", name=f"h{n}")(y) for n, y in enumerate(ends)]
    return keras.Model(inputs, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ends)])


def sums() -> Any:
    """Scores that are sums of tanh, of keys that are the same at every position when they are
    silent, or not."""
    i, j = keras.Input((5, 4)), keras.Input((6, 3))
    (q, k), (r, m) = _pair("scaled", i, j), _pair("plain", i, j)
    key = L.ZeroPadding1D(1, name="pad")(m)
    ends = [
        L.AdditiveAttention(name="scaled")([q, L.Dense(6, name="u")(j), k]),
        L.AdditiveAttention(use_scale=False, name="plain")([r, L.Dense(6, name="v")(key), key]),
    ]
    return _read([i, j], ends)


def one_sided() -> Any:
    """Products that a zero on one side silences, and those that it does not."""
    i, j = keras.Input((5, 4)), keras.Input((6, 3))
    x, y, z = (L.Dense(6, name=name)(one) for name, one in (("x", i), ("y", j), ("z", j)))
    ends = [
        L.Attention(score_mode="concat", name="concat")(_pair("sum", i, j)),
        L.Dot(2, normalize=True, name="cosine")(_pair("cosine", i, j)),
        L.Dot(2, name="dot")(_pair("dot", i, j)),
        L.Attention(name="asks")([x, y, z]),
    ]
    return _read([i, j], ends)


def not_silent() -> Any:
    """Operations over channels of which none is zero when it is silent."""
    i = keras.Input((6, 4))

    def dense(name: str) -> Any:
        return L.Dense(4, activation="sigmoid", name=f"to_{name}")(i)

    # Zero where the channel is alive, as often as not.
    turned_off = ops.relu(0.2 - L.Dense(2, name="masks")(i) * 2.0)
    masked = L.Masking(name="mask")(turned_off)
    return _read(
        [i],
        [
            ops.cumsum(dense("cumsum"), axis=-1),
            ops.normalize(dense("normalize"), axis=-1),
            ops.rms_normalization(dense("rms")),
            ops.sort(dense("sort"), axis=-1),
            ops.expand_dims(dense("picked")[:, :, 1], -1),
            ops.expand_dims(ops.take(dense("taken"), 1, axis=-1), -1),
            L.SimpleRNN(3, name="rnn")(masked),
            masked,
        ],
    )


def shared_keys() -> Any:
    i = keras.Input((4, 3))
    x = L.Dense(4, activation="sigmoid", name="a")(i)
    x = L.GroupQueryAttention(4, 4, 1, name="gqa")(x, x)
    return keras.Model(i, L.Dense(3, name="out")(x))


def runs_over() -> Any:
    """Channels that became steps of a sequence, and every state read."""
    i = keras.Input((3, 4))
    x = L.Permute((2, 1))(L.Dense(5, activation="sigmoid", name="steps")(i))
    y = L.GRU(3, return_sequences=True, name="one")(x)
    both = L.Bidirectional(L.LSTM(3, return_state=True), name="both")
    z = L.Permute((2, 1))(L.Dense(5, activation="sigmoid", name="more")(i))
    ends = both(z)
    start = L.Dense(3, activation="tanh", name="start")(ends[0])
    last = L.LSTM(3, name="last")(i, initial_state=[start, ends[2]])
    begin = [L.Dense(3, activation="tanh", name=f"begin{n}")(ends[0]) for n in range(2)]
    begun = L.Bidirectional(L.GRU(3), name="begun")
    begun = begun(L.Dense(3, activation="sigmoid", name="front")(i), initial_state=begin)
    ends = [L.Flatten()(y), *ends, last, begun]
    heads = [L.Dense(2, name=f"out{n}")(one) for n, one in enumerate(ends)]
    return keras.Model(i, heads)


def slopes() -> Any:
    i = keras.Input((4, 3))
    x = L.PReLU(shared_axes=[1], name="slope")(L.Dense(5, name="a")(i))
    x = L.PReLU(name="own")(L.Dense(4, name="b")(x))
    x = LayerScale(0.5, 4, name="scale")(L.Dense(4, activation="sigmoid", name="c")(x))
    x = L.Dropout(0.5, name="drop")(L.ReLU(name="relu")(x))
    return keras.Model(i, L.Dense(3, name="head")(x))


def merges() -> Any:
    i = keras.Input((4,))

    def dense(name: str) -> Any:
        return L.Dense(5, activation="sigmoid", name=name)(i)

    kinds = (L.Add, L.Subtract, L.Average, L.Multiply, L.Maximum, L.Minimum)
    ys = [kind()([dense(f"a{n}"), dense(f"b{n}")]) for n, kind in enumerate(kinds)]
    return keras.Model(i, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ys)])


def zero_branches() -> Any:
    """Sums and differences whose branches may be zero by their weights."""
    i = keras.Input((4,))

    def dense(name: str, x: Any, **more: Any) -> Any:
        return L.Dense(5, name=name, **more)(x)

    x = dense("stem", i, activation="sigmoid")
    for n, join in enumerate(
        (
            lambda x, y: L.Add()([x, y]),
            lambda x, y: x + y,
            lambda x, y: L.Subtract()([x, y]),
            lambda x, y: y - x,
        )
    ):
        x = dense(f"stem{n}", join(x, dense(f"branch{n}", x, use_bias=False)), activation="tanh")
    return keras.Model(i, L.Dense(3, name="head")(x))


def arithmetic() -> Any:
    i = keras.Input((4,))

    def dense(name: str) -> Any:
        return L.Dense(5, activation="sigmoid", name=name)(i)

    a, b, c, d = (dense(name) for name in "abcd")
    per_channel = np.arange(1.0, 6.0)
    ys = [
        a + b,
        c - d,
        dense("e") * dense("f"),
        dense("g") / (dense("h") + 0.5),
        ops.maximum(dense("m"), dense("n")),
        ops.minimum(dense("o"), dense("p")),
        ops.power(dense("q"), 2.0),
        dense("r") * per_channel,
        3.0 - dense("s"),
        ops.ones_like(dense("t")) * dense("u"),
    ]
    return keras.Model(i, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ys)])


def reductions() -> Any:
    i = keras.Input((5, 4))

    def dense(name: str, **more: Any) -> Any:
        return L.Dense(6, name=name, **{"activation": "sigmoid", **more})(i)

    ys = [
        ops.sum(dense("a", activation="tanh"), axis=-1, keepdims=True),
        ops.sum(dense("b"), axis=-1, keepdims=True),
        ops.mean(dense("c"), axis=-1, keepdims=True),
        ops.mean(dense("d"), axis=1),
        ops.max(dense("e"), axis=1),
        ops.min(dense("f"), axis=1, keepdims=True),
        ops.max(dense("g"), axis=-1, keepdims=True),
        ops.sum(dense("h"), axis=1),
    ]
    return keras.Model(i, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ys)])


def products() -> Any:
    i, j = keras.Input((5, 4)), keras.Input((6, 3))

    def dense(name: str, x: Any, **more: Any) -> Any:
        return L.Dense(6, name=name, **more)(x)

    one = ops.matmul(dense("a", i), ops.transpose(dense("b", j), (0, 2, 1)))
    gates = dense("c", i, activation="sigmoid"), dense("d", j, activation="sigmoid")
    two = ops.matmul(gates[0], ops.transpose(gates[1], (0, 2, 1)))
    three = ops.matmul(one, dense("e", j, activation="sigmoid"))
    ends = [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate((one, two, three))]
    return keras.Model([i, j], ends)


def moves() -> Any:
    i = keras.Input((4, 3))
    x = L.Dense(6, activation="sigmoid", name="a")(i)
    x = ops.transpose(x, (0, 2, 1))
    x = ops.transpose(L.Dense(3, activation="sigmoid", name="b")(x), (0, 2, 1))
    x = ops.reshape(x, (-1, 18))
    x = L.Dense(8, activation="sigmoid", name="c")(x)
    one, two = ops.split(x, [3], axis=-1)
    x = ops.concatenate([two, one], axis=-1)
    x = ops.squeeze(ops.expand_dims(x, 1), 1)
    x = L.Dense(6, activation="sigmoid", name="d")(x)
    left, right = x[:, 1:4], x[:, 3:]
    y = ops.stack([L.Dense(4, name="e")(left), L.Dense(4, name="f")(right)], axis=1)
    z = L.Dense(5, activation="sigmoid", name="g")(x)
    picked = ops.expand_dims(z[:, 2], 1)
    ends = [L.Dense(3, name="out0")(L.Flatten()(y)), L.Dense(3, name="out1")(picked)]
    return keras.Model(i, ends)


def joins() -> Any:
    i = keras.Input((4, 3))
    a, b = (L.Dense(n, activation="sigmoid", name=f"a{n}")(i) for n in (4, 5))
    c, d = (L.Dense(4, activation="sigmoid", name=f"c{n}")(i) for n in (1, 2))
    ends = [
        L.Dense(3, name="out0")(L.Concatenate(name="last")([a, b])),
        L.Dense(3, name="out1")(L.Concatenate(axis=1, name="first")([c, d])),
    ]
    return keras.Model(i, ends)


def scored() -> Any:
    """Attention whose scores come out too."""
    i = keras.Input((5, 4))
    a = L.Dense(6, activation="sigmoid", name="a")(i)
    x, _ = L.MultiHeadAttention(2, 3, name="mha")(a, a, return_attention_scores=True)
    return keras.Model(i, L.Dense(3, name="head")(x))


def films() -> Any:
    i = keras.Input((3, 4, 4, 2))
    x = L.TimeDistributed(L.Conv2D(3, 1, activation="sigmoid"), name="each")(i)
    x = L.ConvLSTM2D(3, 2, name="film")(x)
    return keras.Model(i, L.Dense(3, name="head")(x))


def masked_steps() -> Any:
    """A TimeDistributed layer whose mask goes into what it holds."""
    i = keras.Input((5, 2), name="words")
    x = L.Embedding(9, 4, mask_zero=True, name="table")(i)
    x = L.TimeDistributed(L.LSTM(3), name="inner")(x)
    return keras.Model(i, L.Dense(3, name="head")(x))


POSITIVE = ("Divide", "DivideNoNan", "FloorDivide", "Log", "Log1p", "Log2", "Log10", "Reciprocal",
            "Sqrt", "Rsqrt", "Arcsin", "Arccos", "Arctanh", "Erfinv")  # fmt: skip
ZEROS = ("LogicalNot", "LogicalAnd", "LogicalOr", "LogicalXor", "Equal", "CountNonzero", "All")
"""Operations that only tell what is zero."""
ALIKE = (
    "Isfinite", "Isinf", "Isnan", "ZerosLike", "OnesLike", "Arccosh", "AdaptiveAveragePool",
    "AdaptiveMaxPool",
)  # fmt: skip
"""Operations on which nothing can be proven alone: they make the same of whatever goes in here, or
go over channels (the last two, whose rule the layers of that name have too)."""
PAIRS = (
    "Divide", "DivideNoNan", "FloorDivide", "Arctan2", "Greater", "GreaterEqual", "Less",
    "LessEqual", "Equal", "NotEqual", "LogicalAnd", "LogicalOr", "LogicalXor",
)  # fmt: skip
"""Operations of two tensors."""
RANKS = ("1D", "2D", "3D")
REDUCED = ("CountNonzero", "All", "Any", "Prod", "Median", "Amax", "Amin", "Var", "Std", "Argmin")
GIVEN: dict[str, dict[str, Any]] = {
    "Clip": {"x_min": -0.5, "x_max": 0.5},
    "Cast": {"dtype": "float64"},
    "Threshold": {"threshold": 0.1, "default_value": 0.1},
    "GaussianNoise": {"stddev": 0.1},
    "ActivityRegularization": {"l2": 0.1},
    "CenterCrop": {"height": 2, "width": 3},
    "ExtractPatches": {"size": 2},
    # What Keras says of their shapes is right for channels first alone.
    **{
        f"Adaptive{mean}Pool": {"output_size": (2, 2), "data_format": "channels_first"}
        for mean in ("Max", "Average")
    },
    **{name: {"axis": 1} for name in REDUCED},
    **{f"{name}Dropout": {"rate": 0.1} for name in ("Alpha", "Gaussian")},
    **{f"SpatialDropout{rank}": {"rate": 0.1} for rank in RANKS},
    **{f"AveragePooling{rank}": {"pool_size": 2} for rank in RANKS},
    **{
        f"Adaptive{mean}Pooling{rank}": {"output_size": 2}
        for rank in RANKS
        for mean in ("Max", "Average")
    },
}
SIZED = {"Conv": 2, "SeparableConv": 2, "DepthwiseConv": 1, "ConvLSTM": 2}
"""How many numbers a convolution begins with: filters and size, or the size."""
IMAGE = ("CenterCrop", "ExtractPatches", "AdaptiveMaxPool", "AdaptiveAveragePool")


def lone(kind: type, *, by_depth: bool) -> Any:
    """A net around one layer or operation; a convolution with as many groups as channels where
    ``by_depth``."""
    name = kind.__name__
    if name == "LayerNorm":
        i = keras.Input((3, 4))
        x = ops.layer_normalization(L.Dense(5, name="a")(i))
        return keras.Model(i, L.Dense(3, name="head")(x))
    rank = 2 if name in IMAGE else 1
    stem = name.removesuffix("Transpose")
    if stem.endswith(RANKS):
        rank, stem = int(stem[-2]), stem[:-2]
    given = {"groups": 4} if by_depth else GIVEN.get(name, {})
    sizes = (8, 2)[-SIZED[stem] :] if stem in SIZED else ()
    layer = kind(*sizes, **given)
    own = "sigmoid" if name in POSITIVE else "relu" if name in ZEROS else "linear"
    i = keras.Input((4,) * (rank + (stem == "ConvLSTM")) + (3,))
    x = L.Dense(4, activation=own, name="a")(i)
    x = layer(x, L.Dense(4, activation=own, name="b")(i)) if name in PAIRS else layer(x)
    x = ops.cast(x, "float64") if x.dtype == "bool" else x
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


OWN = (
    perceptron, chain, transposed, separable, one_channel, told, infinite, words, held,
    layer_norms, mixing, shapes, turns, turned, lengths, by_depth, direct, shared_keys, steps,
    both_ways, asked, sums,
    one_sided, not_silent, runs_over, slopes, merges, zero_branches, arithmetic, reductions,
    products, moves, joins, scored, films, masked_steps,
)  # fmt: skip
NETS: dict[str, Callable[[], Any]] = {
    **{make.__name__: make for make in OWN},
    **{
        f"operation {name}": functools.partial(operations._net, made)
        for name, made in operations.FOLLOWED.items()
    },
    **{
        f"operation {name}": functools.partial(operations._net, made, (4, 4, 3), 8)
        for name, made in operations.IMAGES.items()
    },
    **{
        f"mixed {name}": functools.partial(operations._net, made)
        for name, (made, _) in operations.MIXED.items()
    },
    **{f"attention {name}": net.make for name, net in attention_nets.NETS.items()},
    **{f"recurrent {name}": net.make for name, net in recurrent_nets.NETS.items()},
    **{f"zoo {make.__name__}": make for make in zoo_nets.ZOO},
}
