"""Batch norms folded into the layer before them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, woken

from edgeprune.models import macs, named_layers, parameters
from edgeprune.surgery import accounted, strip, strip_with_report

L = keras.layers
X = inputs_for((8, 8, 4), 0)

BEFORE = {
    "conv": lambda: L.Conv2D(6, 3, name="before"),
    "without a bias": lambda: L.Conv2D(6, 3, padding="same", use_bias=False, name="before"),
    "grouped": lambda: L.Conv2D(6, 3, groups=2, name="before"),
    "transposed": lambda: L.Conv2DTranspose(6, 3, strides=2, name="before"),
    "depthwise": lambda: L.DepthwiseConv2D(3, depth_multiplier=2, name="before"),
    "separable": lambda: L.SeparableConv2D(6, 3, name="before"),
    "dense": lambda: L.Dense(6, name="before"),
}


@pytest.mark.parametrize("kind", BEFORE)
@pytest.mark.parametrize("plain", [False, True], ids=["", "no gamma or beta"])
def test_the_outputs_stay(kind: str, plain: bool) -> None:
    with float64():
        i = keras.Input((8, 8, 4))
        norm = L.BatchNormalization(scale=not plain, center=not plain, name="norm")
        x = L.ReLU()(norm(BEFORE[kind]()(i)))
        model = keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))
        woken(model, X, 0)
        small, report = strip_with_report(model, fold_batchnorm=True)
        wanted, got = np.asarray(model(X)), np.asarray(small(X))
    assert np.abs(wanted - got).max() <= 1e-9 * np.abs(wanted).max()
    assert report.folded == ("norm",)
    assert report.facts()["folded"] == ["norm"]
    assert "1 batch norms are folded: norm" in report.lines()
    assert "norm" not in named_layers(small)
    assert small.get_layer("before").use_bias
    account = accounted(model, small, report).account
    assert account is not None
    assert (account.after.parameters, account.after.macs) == (parameters(small), macs(small))
    assert account.total == account.after
    assert "norm" in named_layers(strip(model))


def test_a_sequential_loses_it_too(tmp_path: Any) -> None:
    with float64():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 4)),
                L.Conv2D(6, 3, use_bias=False, name="conv"),
                L.BatchNormalization(name="norm"),
                L.ReLU(name="relu"),
                L.Flatten(name="flat"),
                L.Dense(3, name="head"),
            ]
        )
        woken(model, X, 0)
        small = strip(model, fold_batchnorm=True)
        np.testing.assert_allclose(small(X), model(X), atol=1e-9)
        assert [layer.name for layer in small.layers] == ["conv", "relu", "flat", "head"]
        small.save(tmp_path / "small.keras")
        np.testing.assert_array_equal(
            keras.models.load_model(tmp_path / "small.keras")(X), small(X)
        )


def _twice(i: Any) -> Any:
    conv = L.Conv2D(4, 1, name="conv")
    return L.Add()([L.BatchNormalization(name="norm")(conv(i)), conv(L.ReLU()(i))])


def _read_beside(i: Any) -> Any:
    x = L.Conv2D(4, 1, name="conv")(i)
    return L.Add()([L.BatchNormalization(name="norm")(x), x])


def _active(i: Any) -> Any:
    return L.BatchNormalization(name="norm")(L.Conv2D(4, 1, activation="relu")(i))


def _other_axis(i: Any) -> Any:
    return L.BatchNormalization(axis=1, name="norm")(L.Conv2D(4, 1, name="conv")(i))


def _padded(i: Any) -> Any:
    return L.BatchNormalization(name="norm")(L.ZeroPadding2D()(L.Conv2D(4, 1)(i)))


def _judged(i: Any) -> Any:
    return L.BatchNormalization(name="norm")(L.Conv2D(4, 1, activity_regularizer="l2")(i))


@pytest.mark.parametrize("made", [_twice, _read_beside, _active, _other_axis, _padded, _judged])
def test_where_it_is_not_exact_it_stays(made: Any) -> None:
    with float64():
        i = keras.Input((8, 8, 4))
        x = L.GlobalAveragePooling2D()(made(i))
        model = keras.Model(i, L.Dense(3, name="head")(x))
        woken(model, X, 0)
        small, report = strip_with_report(model, fold_batchnorm=True)
        np.testing.assert_allclose(small(X), model(X), atol=1e-9)
    assert not report.folded
    assert "norm" in named_layers(small)


def test_a_model_that_ends_in_what_is_read() -> None:
    """The convolution's own output is an output of the model too."""
    with float64():
        i = keras.Input((8, 8, 4))
        x = L.Conv2D(4, 1, name="conv")(i)
        model = keras.Model(i, [x, L.BatchNormalization(name="norm")(x)])
        assert not strip_with_report(model, fold_batchnorm=True)[1].folded
