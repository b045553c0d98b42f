"""Blocks whose branch became zero leave the graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, woken

from edgeprune.models import macs, named_layers, named_weights
from edgeprune.surgery import strip, strip_with_report

L = keras.layers
X = inputs_for((8, 8, 3), 0)


def _chain(x: Any, number: int, **last: Any) -> Any:
    y = L.Conv2D(6, 3, padding="same", activation="relu", name=f"in_{number}")(x)
    y = L.Conv2D(8, 3, padding="same", name=f"out_{number}", **last)(y)
    return L.BatchNormalization(name=f"norm_{number}")(y)


def _net(join: Any = lambda x, y: L.Add(name="join")([x, y]), **last: Any) -> Any:
    """A stem, two residual blocks of which the first joins by ``join``, a head."""
    i = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(8, 1, activation="relu", name="stem")(i)
    x = L.ReLU(name="after")(join(x, _chain(x, 0, **last)))
    x = L.Add(name="join_1")([_chain(x, 1), x])
    return keras.Model(i, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)))


def _silenced(model: Any, *zeros: str) -> Any:
    woken(model, X, 0)
    for name, value in named_weights(model).items():
        if any(name.startswith(zero) for zero in zeros):
            value.assign(np.zeros(value.shape))
    return model


def _check(model: Any, small: Any) -> None:
    wanted, got = np.asarray(model(X)), np.asarray(small(X))
    assert np.abs(wanted - got).max() <= 1e-9 * np.abs(wanted).max()
    again = strip(small)
    for one, other in zip(small.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "join",
    [
        lambda x, y: L.Add(name="join")([x, y]),
        lambda x, y: L.Add(name="join")([y, x]),
        lambda x, y: L.Subtract(name="join")([x, y]),
        lambda x, y: x + y,
        lambda x, y: x - y,
    ],
    ids=["add", "turned", "subtract", "plus", "minus"],
)
@pytest.mark.parametrize("zeros", [("norm_0/gamma", "norm_0/beta"), ("out_0", "norm_0/")])
def test_a_block_that_is_zero_leaves(join: Any, zeros: tuple[str, ...]) -> None:
    with float64():
        model = _silenced(_net(join), *zeros)
        small, report = strip_with_report(model)
        _check(model, small)
    names = set(named_layers(small))
    assert not names & {"in_0", "out_0", "norm_0", "join"}
    assert {"stem", "after", "in_1", "out_1", "norm_1", "join_1", "head"} <= names
    assert {"in_0", "out_0", "norm_0"} <= set(report.left)
    assert report.facts()["left"] == list(report.left)
    assert any(line.startswith(f"{len(report.left)} layers leave") for line in report.lines())
    assert macs(small) < macs(model)


def test_of_both_blocks_the_trunk_is_left(tmp_path: Any) -> None:
    with float64():
        model = _silenced(_net(), "norm_0/gamma", "norm_0/beta", "norm_1/gamma", "norm_1/beta")
        small = strip(model)
        _check(model, small)
        assert [layer.name for layer in small.layers if layer.weights] == ["stem", "head"]
        small.compile("sgd", "mse")
        small.save(tmp_path / "small.keras")
        again = keras.models.load_model(tmp_path / "small.keras")
        np.testing.assert_array_equal(again(X), small(X))
    assert model.get_layer("in_0").filters == 6


def test_the_second_of_a_difference_stays() -> None:
    """0 − y is not y."""
    with float64():
        model = _net(lambda x, y: L.Subtract(name="join")([y, x]))
        _silenced(model, "norm_0/gamma", "norm_0/beta")
        small, report = strip_with_report(model)
        _check(model, small)
    assert not report.left
    assert "join" in named_layers(small)


def test_a_narrow_input_does_not_stand_for_a_broadcast_sum() -> None:
    with float64():
        i = keras.Input((8, 8, 3), name="image")
        gate = L.GlobalAveragePooling2D(keepdims=True)(L.Conv2D(8, 1, name="narrow")(i))
        x = L.Add(name="join")([gate, L.Conv2D(8, 1, name="wide")(i)])
        model = keras.Model(i, L.Conv2D(2, 3, name="head")(x))
        _silenced(model, "wide")
        small, report = strip_with_report(model)
        _check(model, small)
    assert not report.left
    assert "wide" in named_layers(small)


@keras.saving.register_keras_serializable("edgeprune-tests")
class Watcher(L.Layer):
    """Might do anything."""

    def call(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    "acting",
    [
        lambda y: Watcher(name="acting")(y),
        lambda y: L.ActivityRegularization(0.1, name="acting")(y),
        lambda y: L.Conv2D(8, 1, activity_regularizer="l2", name="acting")(y),
    ],
    ids=["custom", "loss", "regulariser"],
)
def test_what_acts_by_itself_never_leaves(acting: Any) -> None:
    with float64():
        i = keras.Input((8, 8, 3), name="image")
        x = L.Conv2D(8, 1, name="stem")(i)
        y = L.Conv2D(8, 1, name="out")(acting(x))
        model = keras.Model(i, L.Conv2D(2, 3, name="head")(L.Add(name="join")([x, y])))
        _silenced(model, "out")
        small, report = strip_with_report(model)
        _check(model, small)
    assert not report.left
    assert {"acting", "out", "join"} <= set(named_layers(small))


def test_an_input_of_the_model_never_leaves() -> None:
    with float64():
        ends = [keras.Input((8, 8, 3), name=name) for name in ("one", "other")]
        x, y = (L.Conv2D(8, 1, name=f"conv_{end.name}")(end) for end in ends)
        model = keras.Model(ends, L.Conv2D(2, 3, name="head")(L.Add(name="join")([x, y])))
        for value in model.weights:
            value.assign(np.random.default_rng(0).normal(size=value.shape))
        for value in model.get_layer("conv_other").weights:
            value.assign(np.zeros(value.shape))
        small = strip(model)
        np.testing.assert_allclose(small([X, X]), model([X, X]), atol=1e-9)
    assert [end.name for end in small.inputs] == ["one", "other"]


def test_a_block_inside_a_model_that_is_called_twice() -> None:
    with float64():
        i = keras.Input((8, 8, 8))
        inner = keras.Model(i, L.Add(name="join")([i, _chain(i, 0)]), name="inner")
        image = keras.Input((8, 8, 3), name="image")
        x = L.Conv2D(8, 1, activation="relu", name="stem")(image)
        x = inner(L.ReLU(name="between")(inner(x)))
        model = keras.Model(image, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)))
        _silenced(model, "inner/norm_0/gamma", "inner/norm_0/beta")
        small, report = strip_with_report(model)
        _check(model, small)
    assert {"inner/in_0", "inner/out_0", "inner/norm_0"} <= set(report.left)
    assert "inner" in named_layers(small)
