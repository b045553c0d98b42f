"""Keras operations one by one: two Dense layers of six channels go in, and channels leave exactly
or stay for a reason that is written here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.ops import nn
from surgery_nets import float64, inputs_for, proven, random_plan, woken

from edgeprune.models import architecture_digest, macs, parameters
from edgeprune.plans import Plan
from edgeprune.surgery import strip, strip_with_report, trace, zero

L = keras.layers
ops = keras.ops
MATRIX = np.random.default_rng(0).normal(size=(6, 5))
Made = Callable[[Any, Any], Any]


def _moments(a: Any) -> Any:
    mean, variance = ops.moments(a, [1], keepdims=True)
    return (a - mean) * ops.rsqrt(variance + 0.1)


def _attended(a: Any, b: Any) -> Any:
    return ops.matmul(ops.softmax(ops.matmul(a, ops.transpose(b, (0, 2, 1)))), b)


def _picked(b: Any) -> Any:
    """What a sigmoid makes of zero stays where its number is asked for."""
    b = ops.sigmoid(b)
    return ops.concatenate([L.Dense(4, name="c")(b), b[:, :, 3][..., None], b[:, :, -1:]], axis=2)


def _unstacked(a: Any) -> Any:
    one, two, three, four, *_ = ops.unstack(a, axis=-1)
    return L.Dense(4, name="c")(ops.stack([one * two, ops.sin(three), four], axis=-1))


def _best(b: Any) -> Any:
    values, places = ops.top_k(b, 2)
    return values + 0.1 * ops.cast(places, values.dtype)


FOLLOWED: dict[str, Made] = {
    "einsum of one": lambda a, b: ops.einsum("btc->bt", a),
    "einsum of itself": lambda a, b: ops.einsum("btc,btc->bt", a, a),
    "einsum with dots": lambda a, b: ops.einsum("...c,cd->...d", a, MATRIX),
    "einsum of all channels": lambda a, b: ops.einsum("btc,btd->bcd", a, b),
    "tensordot": lambda a, b: ops.tensordot(a, np.ones((6, 5, 2)), axes=[[2, 1], [0, 1]]),
    "tensordot of one axis": lambda a, b: ops.tensordot(a, MATRIX, axes=1),
    "dot with a vector": lambda a, b: ops.dot(a, MATRIX[:, 0]),
    "matmul from the left": lambda a, b: ops.matmul(np.ones((1, 7, 5)) * MATRIX[:, 0].sum(), a),
    "attention": _attended,
    "moments": lambda a, b: _moments(b),
    "rms with a scale": lambda a, b: ops.rms_normalization(a, MATRIX[:, 0], epsilon=0.1),
    "rms over time": lambda a, b: ops.rms_normalization(b, axis=1),
    "norms": lambda a, b: ops.norm(a, axis=(1, 2), keepdims=True) * ops.norm(a, 1, -1, True),
    "over time": lambda a, b: ops.logsumexp(b, axis=1) + ops.cumprod(a, axis=1)[:, 2],
    "amax": lambda a, b: ops.amax(a, axis=1) + ops.cast(ops.argmax(b, axis=1), a.dtype),
    "tile": lambda a, b: ops.tile(ops.sigmoid(b), [1, 2, 3]),
    "flip": lambda a, b: ops.flip(L.Dense(4, name="c")(ops.flip(ops.sigmoid(b), [1, 2])), 1),
    "pad by reflection": lambda a, b: ops.pad(b, [[0, 0], [2, 1], [0, 0]], mode="reflect"),
    "pad by a number": lambda a, b: ops.pad(
        ops.sigmoid(a), [[0, 0], [1, 2], [1, 0]], constant_values=2.0
    ),
    "a channel by its number": lambda a, b: _picked(b),
    "a channel taken": lambda a, b: ops.sigmoid(b) * ops.take(b, 2, axis=-1)[..., None],
    "positions taken": lambda a, b: ops.take(a, 2, axis=1) + ops.take(b, [[0, 3]], axis=1)[:, 0, 1],
    "numbers": lambda a, b: ops.stack([ops.sum(a[:, 1], -1), b[:, 0, 3] * b[:, 1, 2]], axis=-1),
    "one number": lambda a, b: L.Concatenate()(
        [L.Flatten()(a[:, 0, 1]), ops.reshape(a[:, 1, 1], (-1, 1)), b[:, 0]]
    ),
    "append": lambda a, b: ops.append(a, ops.hstack([b, b])[:, ::2], axis=-1),
    "neighbours": lambda a, b: ops.diff(a, axis=1),
    "best": lambda a, b: _best(ops.transpose(b, (0, 2, 1))),
    "every channel by its number": lambda a, b: _unstacked(a),
    "one piece": lambda a, b: ops.split(a, 1, axis=-1)[0] * ops.array_split(b, 1, axis=2)[0],
    "an empty piece": lambda a, b: ops.concatenate(
        [*ops.split(a, [2, 2], axis=-1), b[..., 6:]], -1
    ),
    "layer norm over time": lambda a, b: ops.layer_normalization(a, axis=1),
    "silu by hand": lambda a, b: b / (1.0 + ops.exp(-b)),
    "logs of what is positive": lambda a, b: ops.log(1.0 + a) * ops.rsqrt(a * a + 0.1),
    "a quotient that is never by zero": lambda a, b: a / ops.softplus(b) + b**2,
    "a quotient by a norm": lambda a, b: a / (1e-3 + ops.norm(a, axis=-1, keepdims=True)),
}
IMAGES: dict[str, Made] = {
    "depth to space": lambda a, b: ops.depth_to_space(a, 2),
    "space to depth": lambda a, b: ops.space_to_depth(b, 2),
    "roll and windows": lambda a, b: ops.transpose(
        ops.reshape(ops.roll(b, (-1, 1), axis=(1, 2)), (-1, 2, 2, 2, 2, 8)), (0, 1, 3, 2, 4, 5)
    ),
    "rot90": lambda a, b: ops.rot90(a, axes=(1, 2)),
    "borders": lambda a, b: ops.image.crop_images(ops.image.pad_images(b, 1, 2, 3, 1), 1, 1, 0, 0),
}
MIXED: dict[str, tuple[Made, str]] = {
    "sigmoid": (lambda a, b: ops.einsum("btc->bt", ops.sigmoid(a)), "channels without weights"),
    "the batch": (lambda a, b: ops.einsum("btc,bsc", a, b), "over the batch"),
    "a diagonal": (lambda a, b: ops.einsum("bcc->bc", L.Dense(5)(a)), "takes a diagonal"),
    "unstack": (lambda a, b: _unstacked(ops.sigmoid(a)), "picks it by number"),
    "flip of the batch": (lambda a, b: ops.flip(a), "moves the batch"),
    "roll": (lambda a, b: ops.roll(a, (1, 1), axis=(1, 2)), "moves it by its place"),
    "reflection": (
        lambda a, b: ops.pad(a, [[0, 0], [0, 0], [1, 2]], mode="reflect"),
        "moves it by its place",
    ),
    "triangle": (lambda a, b: ops.tril(a), "moves it by its place"),
    "best": (lambda a, b: ops.top_k(b, 2)[0], "counts them"),
    "a table of channels": (lambda a, b: ops.take(a, [[0, 1]], axis=-1), "picks it by number"),
    "cumprod": (lambda a, b: ops.cumprod(a, axis=-1), "cumprod"),
    "argmax": (lambda a, b: ops.cast(ops.argmax(a, axis=-1), a.dtype), "counts them"),
    "norm": (lambda a, b: ops.norm(a, ord=-1, axis=-1), "mixes channels"),
    "layer norm": (lambda a, b: ops.layer_normalization(a, axis=[-1]), "mixes channels"),
    "layer norm of all": (lambda a, b: ops.layer_normalization(b, axis=(1, 2)), "mixes channels"),
    "normalised over all": (lambda a, b: ops.normalize(a, axis=None), "over the batch"),
    "rms over all": (lambda a, b: ops.rms_normalization(a, axis=None), "over the batch"),
    "rms over several": (lambda a, b: ops.rms_normalization(a, axis=(1, 2)), "several axes"),
    "logsumexp": (lambda a, b: ops.logsumexp(a, axis=-1), "mixes channels"),
}
INFINITE: dict[str, Made] = {
    "log": lambda a, b: ops.log(ops.sigmoid(a) + 1) + ops.log(b * b),
    "reciprocal": lambda a, b: ops.reciprocal(b),
    "rsqrt": lambda a, b: ops.rsqrt(b * b),
    "quotient": lambda a, b: ops.sigmoid(a) / b,
    "power": lambda a, b: (b * b) ** -0.5,
    "rest": lambda a, b: ops.mod(ops.sigmoid(a), b),
}
"""Where a silent channel makes an infinite number or none, which no weight of zero silences."""


def _net(made: Made, shape: tuple[int, ...] = (5, 4), units: int = 6) -> Any:
    i = keras.Input(shape)
    a = L.Dense(units, activation="relu", name="a")(i)
    b = L.Dense(units, activation="tanh", name="b")(i)
    x = made(a, b)
    return keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))


@pytest.mark.parametrize("name", [*FOLLOWED, *IMAGES])
def test_channels_leave_exactly(name: str) -> None:
    with float64():
        model = _net(FOLLOWED[name]) if name in FOLLOWED else _net(IMAGES[name], (4, 4, 3), 8)
        x = inputs_for(tuple(model.inputs[0].shape[1:]), 0)
        woken(model, x, 0)
        graph = trace(model)
        assert {group.fixed for group in graph} == {None, "model input", "model output"}
        for seed in range(2):
            proven(model, random_plan(model, np.random.default_rng(seed)), x)


@pytest.mark.parametrize("target", [(-1, 3), (-1, 2, 3), (-1, 12)])
def test_a_reshape_around_a_free_length(target: tuple[int, ...]) -> None:
    with float64():
        i = keras.Input((None, 4))
        x = L.Reshape(target)(L.Dense(6, activation="sigmoid", name="a")(i))
        x = L.Dense(5, activation="tanh", name="b")(x)
        x = ops.mean(x, axis=tuple(range(1, len(target))))
        model = keras.Model(i, L.Dense(3, name="head")(ops.reshape(x, (-1, 5))))
        x = inputs_for((6, 4), 0)
        woken(model, x, 0)
        assert trace(model)["a"].fixed is None
        for seed in range(2):
            proven(model, random_plan(model, np.random.default_rng(seed)), x)


@pytest.mark.parametrize("name", MIXED)
def test_channels_stay_for_a_reason(name: str) -> None:
    made, reason = MIXED[name]
    model = _net(made)
    assert any(reason in str(group.fixed) for group in trace(model))
    proven(model, random_plan(model, np.random.default_rng(0)), inputs_for((5, 4), 0), most=1e-5)


@pytest.mark.parametrize("name", INFINITE)
def test_a_channel_that_would_be_infinite_when_it_is_silent_stays(name: str) -> None:
    graph = trace(_net(INFINITE[name]))
    assert not graph.free
    assert any("may be infinite" in str(group.fixed) for group in graph)


def test_what_keras_gives_a_wrong_shape_is_a_wall() -> None:
    i = keras.Input((4, 4, 3))
    x = nn.AdaptiveMaxPool((2, 2))(L.Dense(4, name="a")(i))
    graph = trace(keras.Model(i, L.Dense(2)(L.Flatten()(x))))
    assert "it does not make the shape that Keras says" in str(graph["a"].fixed)


def test_a_second_strip_finds_operations_by_the_same_names() -> None:
    i = keras.Input((6, 6, 3))
    x = ops.image.extract_patches(L.Conv2D(4, 1, name="a")(i), 2)
    model = keras.Model(i, L.Dense(3, name="head")(L.Flatten()(ops.relu(x))))
    small = strip(model)
    assert architecture_digest(strip(small)) == architecture_digest(small)
    assert architecture_digest(small) == architecture_digest(model)


def test_an_infinite_setting_has_a_digest() -> None:
    i = keras.Input((6,))
    model = keras.Model(i, ops.norm(L.Dense(4, name="a")(i), ord=np.inf, axis=-1))
    assert len(architecture_digest(model)) == 64
    x = inputs_for((6,), 0)
    proven(model, Plan.cut(trace(model), {"a": [1]}), x, most=1e-5)


def test_of_what_is_picked_by_its_number_only_that_channel_stays() -> None:
    model = _net(FOLLOWED["a channel by its number"])
    graph = trace(model)
    plan = Plan.cut(graph, {"b": [1, 3, 4]})
    small, report = strip_with_report(zero(model, plan))
    assert report.removed == {"b": 2}
    (kept,) = report.kept
    assert kept.channels == (3,) and "picks it by number" in kept.reason
    cost = plan.cost(graph)
    assert (cost.parameters, cost.macs) == (parameters(small), macs(small))
