"""Scores without labels: the model is judged by answers that it might have given itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_scoring_references import data, net, split

from edgeprune.errors import DataError, InputError
from edgeprune.models import kernels
from edgeprune.scoring import METHODS, score_all, score_model
from edgeprune.surgery import trace

L = keras.layers
JUDGED = [name for name, formula in METHODS.items() if formula.needs_data and formula.labels]


def test_the_expected_square_is_the_true_fisher_matrix() -> None:
    """Σ_c p_c (∂ log p_c / ∂w)², worked out for each example and class."""
    model = net()
    x, _ = data(3)
    variables = {name: kernel.variable.value for name, kernel in kernels(model).items()}
    wanted = {name: np.zeros(v.shape) for name, v in variables.items()}
    for row in range(len(x)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(list(variables.values()))
            probability = model(x[row : row + 1], training=False)[0]
            logs = [tf.math.log(probability[place]) for place in range(3)]
        for share, log in zip(np.asarray(probability), logs, strict=True):
            for name, slope in tape.gradient(log, variables).items():
                wanted[name] += share * np.asarray(slope, "f8") ** 2 / len(x)
    many = [(x,)] * 300
    scores = score_model(model, many, method="fisher", loss="own-kl", seed=1)
    for name, fisher in wanted.items():
        value = np.asarray(kernels(model)[name].variable, "f8")
        given, true = scores.weights[name].sum(), (0.5 * value**2 * fisher).sum()
        assert given == pytest.approx(true, rel=0.1), name


def test_a_squared_error_takes_normal_noise() -> None:
    model = keras.Sequential([keras.Input((3,)), L.Dense(1, name="line")])
    x = np.tile(np.array([[1.0, -2.0, 0.5]], "float32"), (4000, 1))
    scores = score_model(model, [(x,)], method="fisher", loss="own-mse")
    value = np.asarray(model.get_layer("line").kernel)
    # E = (y − ŷ)², whose slope by a weight is −2 · noise · x.
    np.testing.assert_allclose(
        scores.weights["line/kernel"], 0.5 * value**2 * 4 * x[:1].T ** 2, rtol=0.1
    )


@pytest.mark.parametrize("method", JUDGED)
def test_neither_labels_nor_batches_matter(method: str) -> None:
    model = net()
    graph = trace(model)

    def scored(batches: Any, seed: int = 0, **how: Any) -> dict[str, np.ndarray]:
        one = score_model(
            model,
            batches,
            method=method,
            loss="own-kl",
            graph=graph,
            microbatch=4,
            seed=seed,
            **how,
        )
        assert one.facts["loss"] == "own-kl"
        return {**one.weights, **one.channels}

    wanted = scored(split(4, 4, 4))
    assert all(np.isfinite(value).all() and value.any() for value in wanted.values())
    for other in (
        scored([(x,) for x, _ in split(4, 4, 4)]),
        scored(split(12), chunk=3),
        scored(split(5, 7), chunk=1),
    ):
        for name, value in wanted.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-5 * value.max())
    drawn_anew = scored(split(4, 4, 4), seed=1)
    assert any((drawn_anew[name] != value).any() for name, value in wanted.items())


def test_several_outputs_of_every_kind() -> None:
    i = keras.Input((5,))
    x = L.Dense(6, activation="tanh", name="a")(i)
    ends = [
        L.Dense(3, activation="softmax", name="classes")(x),
        L.Dense(4, activation="sigmoid", name="bits")(x),
        L.Dense(1, activation="sigmoid", name="bit")(x),
    ]
    model = keras.Model(i, ends)
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    scores = score_model(model, [(x,)], method="taylor", loss="own-kl")
    assert all(value.any() for value in scores.weights.values())


def test_what_cannot_be_drawn_is_said() -> None:
    model = keras.Sequential([keras.Input((5,)), L.Dense(3)])
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32") * 9
    with pytest.raises(InputError, match="own-kl draws labels by probabilities") as caught:
        score_model(model, [(x,)], method="taylor", loss="own-kl")
    assert "own-mse" in str(caught.value)
    score_model(model, [(x,)], method="taylor", loss="own-mse")
    with pytest.raises(DataError, match="empty"):
        score_model(model, [], method="taylor", loss="own-mse")


def test_what_needs_no_loss_is_as_it_is() -> None:
    model = net()
    one = score_all(model, split(12), ["wanda"], loss="own-kl")["wanda"]
    other = score_all(model, split(12), ["wanda"])["wanda"]
    for name, value in one.weights.items():
        np.testing.assert_array_equal(value, other.weights[name])
    assert "loss" not in one.facts
