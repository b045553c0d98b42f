"""Surgery gives plain Keras models of the same layers: whatever is set on a layer stays set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from edgeprune.models import load_model, named_layers, named_weights, save_model, values_digest
from edgeprune.plans import Plan
from edgeprune.surgery import cut, strip, trace, zero

L = keras.layers
SIZES = {"units", "filters", "build_config", "name"}


def settled() -> Any:
    """Everything that can be set on a layer and changes no output, in three precisions."""
    i = keras.Input((8, 8, 3), name="picture")
    x = L.Conv2D(
        6, 3, name="conv", dtype="mixed_float16", kernel_initializer=keras.initializers.HeNormal(7),
        bias_initializer="ones", kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2),
        bias_regularizer="l2", kernel_constraint=keras.constraints.MaxNorm(3.0, axis=[0, 1, 2]),
    )(i)  # fmt: skip
    x = L.BatchNormalization(name="norm", momentum=0.7, epsilon=0.02, trainable=False)(x)
    x = L.ReLU(6.0, negative_slope=0.1, name="relu")(x)
    x = L.SpatialDropout2D(0.3, seed=5, name="drop")(x)
    x = L.GaussianNoise(0.2, seed=9, name="noise")(L.Flatten(name="flat")(x))
    x = L.Dense(
        5, name="dense", dtype="float32", kernel_constraint="non_neg", bias_constraint="unit_norm",
        kernel_initializer="orthogonal", trainable=False,
    )(x)  # fmt: skip
    return keras.Model(i, L.Dense(2, name="out", dtype="float64")(x), name="settled")


def _cut(model: Any, plan: Plan) -> Any:
    return cut(model, plan)


def _stripped(model: Any, plan: Plan) -> Any:
    return strip(zero(model, plan))


@pytest.fixture
def plan() -> Plan:
    return Plan.cut(trace(settled()), {"conv": [0, 4], "dense": [1]})


@pytest.mark.parametrize("verb", [zero, _stripped, _cut], ids=["zero", "strip", "cut"])
def test_all_that_is_set_on_a_layer_stays(
    verb: Callable[[Any, Plan], Any], plan: Plan, tmp_path: Path
) -> None:
    model = settled()
    before = values_digest(model)
    new = verb(model, plan)
    assert values_digest(model) == before
    save_model(new, tmp_path / "new.keras")
    for small in (new, load_model(tmp_path / "new.keras")):
        assert type(small) is keras.Model or type(small) is type(model)
        assert list(named_layers(small)) == list(named_layers(model))
        for name, layer in named_layers(model).items():
            if layer is model:
                continue
            other = small.get_layer(name)
            assert type(other) is type(layer) and other.trainable == layer.trainable
            assert other.dtype_policy.name == layer.dtype_policy.name
            wanted, got = layer.get_config(), other.get_config()
            assert {k: v for k, v in got.items() if k not in SIZES} == {
                k: v for k, v in wanted.items() if k not in SIZES
            }
        trained = [variable.path for variable in small.trainable_variables]
        assert trained == [variable.path for variable in model.trainable_variables]
        assert [w.dtype for w in small.weights] == [w.dtype for w in model.weights]


def test_what_is_cut_trains(plan: Plan) -> None:
    keras.utils.set_random_seed(0)
    small = cut(settled(), plan)
    assert small.get_layer("conv").filters == 4 and small.get_layer("dense").units == 4
    small.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    kept = np.array(small.get_layer("dense").kernel)
    before = np.array(small.get_layer("conv").kernel)
    history = small.fit(x, np.ones((8, 2)), epochs=2, batch_size=4, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.abs(np.array(small.get_layer("conv").kernel) - before).max() > 0
    np.testing.assert_array_equal(small.get_layer("dense").kernel, kept)  # it is not trainable
    sums = np.sqrt((np.array(small.get_layer("conv").kernel, "f8") ** 2).sum(axis=(0, 1, 2)))
    assert (sums <= 3.0 + 1e-2).all()  # the constraint acts


def test_moving_statistics_follow_their_channels(plan: Plan) -> None:
    model = settled()
    for name in ("moving_mean", "moving_variance"):
        weight = named_weights(model)[f"norm/{name}"]
        weight.assign(np.arange(1, 7))
    small = strip(zero(model, plan))
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(named_weights(small)[f"norm/{name}"], [2, 3, 4, 6])
