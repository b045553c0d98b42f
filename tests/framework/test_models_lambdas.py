"""Lambda layers of a model that is trusted: a copy runs the same function."""

from __future__ import annotations

import keras
import numpy as np

from edgeprune.models import clone, load_model

FACTOR = 3.0


def tripled(x, by=1.0):
    return x * FACTOR * by


def test_a_copy_runs_the_same_function(tmp_path):
    inputs = keras.Input((4,))
    x = keras.layers.Lambda(tripled, arguments={"by": 2.0}, name="named")(inputs)
    x = keras.layers.Lambda(lambda y: y + FACTOR, output_shape=(4,), name="nameless")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    data = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    copy = clone(model)
    assert copy is not model and copy.get_layer("nameless") is not model.get_layer("nameless")
    np.testing.assert_array_equal(copy(data), model(data))
    assert copy.get_layer("named").arguments == {"by": 2.0}


def test_loading_stays_safe_after_a_copy(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)])
    clone(model)
    model.save(tmp_path / "m.keras")
    try:
        load_model(tmp_path / "m.keras")
    except Exception as error:
        assert "--trust-model" in str(error)
    else:
        raise AssertionError("loaded without trust")
