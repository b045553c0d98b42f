"""Batch-norm statistics are those of the data, and nothing else changes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgeprune.errors import DataError
from edgeprune.models import named_weights, values_digest
from edgeprune.recovery import reestimate_batchnorm


def net(frozen: bool = False) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            keras.layers.Conv2D(3, 3, name="conv"),
            keras.layers.BatchNormalization(name="first"),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.5),
            keras.layers.Conv2D(4, 3, name="conv2"),
            keras.layers.BatchNormalization(name="second"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.get_layer("first").trainable = not frozen
    return model


def images(n=50, seed=0):
    return np.random.default_rng(seed).normal(3, 2, (n, 6, 6, 2)).astype(np.float32)


def batched(x, size):
    return [(x[i : i + size],) for i in range(0, len(x), size)]


@pytest.mark.parametrize("size", [50, 16, 7])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_first_layers_statistics_are_the_population_s(size, frozen):
    model, x = net(frozen), images()
    before = values_digest(model)
    new = reestimate_batchnorm(model, batched(x, size))
    assert values_digest(model) == before
    inner = np.asarray(model.get_layer("conv")(x), np.float64)
    weights = named_weights(new)
    np.testing.assert_allclose(weights["first/moving_mean"], inner.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(weights["first/moving_variance"], inner.var((0, 1, 2)), rtol=1e-4)
    others = [n for n in weights if "moving" not in n]
    for name in others:
        assert (np.asarray(weights[name]) == np.asarray(named_weights(model)[name])).all()
    assert new.get_layer("first").momentum == 0.99
    assert new.get_layer("first").trainable == model.get_layer("first").trainable


def test_recurrent_layers_and_their_dropout_are_no_obstacle():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((7, 3)),
            layers.Conv1D(4, 2, name="conv"),
            layers.BatchNormalization(name="first"),
            layers.Bidirectional(layers.GRU(4, dropout=0.5, return_sequences=True)),
            layers.LSTM(3, recurrent_dropout=0.4, return_sequences=True, name="lstm"),
            layers.BatchNormalization(name="second"),
            layers.SimpleRNN(3, dropout=0.3),
        ]
    )
    x = np.random.default_rng(0).normal(size=(40, 7, 3)).astype(np.float32)
    one = reestimate_batchnorm(model, batched(x, 40))
    other = reestimate_batchnorm(model, batched(x, 40))
    assert values_digest(one) == values_digest(other) != values_digest(model)
    assert one.get_layer("lstm").recurrent_dropout == 0.4
    inner = np.asarray(keras.Model(one.inputs, one.get_layer("lstm").output)(x), np.float64)
    mean = named_weights(one)["second/moving_mean"]
    np.testing.assert_allclose(mean, inner.mean((0, 1)), atol=0.05)


def test_one_batch_gives_what_the_training_mode_saw_without_dropout():
    model, x = net(), images()
    new = reestimate_batchnorm(model, batched(x, 50))
    plain = keras.Sequential([keras.Input((6, 6, 2)), *[
        layer for layer in new.layers if not isinstance(layer, keras.layers.Dropout)
    ]])  # fmt: skip
    seen = np.asarray(plain(x, training=True))
    np.testing.assert_allclose(np.asarray(new(x, training=False)), seen, atol=2e-4)


def test_the_same_twice_and_not_from_the_process_state():
    digests = set()
    model = net()
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        digests.add(values_digest(reestimate_batchnorm(model, batched(images(), 16))))
    assert len(digests) == 1


def test_without_batch_norm_an_equal_copy_and_without_data_an_error():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    new = reestimate_batchnorm(model, [])
    assert new is not model
    assert values_digest(new) == values_digest(model)
    with pytest.raises(DataError, match="empty"):
        reestimate_batchnorm(net(), [])
