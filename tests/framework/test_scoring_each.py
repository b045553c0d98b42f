"""Squares of gradients of one example each, where they cannot be taken together."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeprune.errors import DataError
from edgeprune.models import kernels
from edgeprune.scoring import score_all
from edgeprune.surgery import trace

L = keras.layers
COUNT, LENGTH, WIDTH = 5, 4, 3

NETS: dict[str, list[Any]] = {
    "dense, gru": [L.Dense(3), L.GRU(2)],
    "gru, gru": [L.GRU(2, return_sequences=True), L.GRU(2)],
    "embedding, gru": [L.Embedding(7, 3), L.GRU(2)],
    "convolution, lstm": [L.Conv1D(3, 2), L.LSTM(2)],
}


def made(name: str) -> tuple[Any, Any, Any]:
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(2)
    shape = (LENGTH,) if "embedding" in name else (LENGTH, WIDTH)
    layers = [type(layer).from_config(layer.get_config()) for layer in NETS[name]]
    model = keras.Sequential([keras.Input(shape), *layers, L.Dense(1)])
    x = rng.normal(size=(COUNT, *shape)).astype("f")
    x = rng.integers(0, 7, (COUNT, *shape)) if "embedding" in name else x
    return model, x, rng.normal(size=(COUNT, 1)).astype("f")


@pytest.mark.parametrize("name", NETS)
def test_below_a_recurrent_layer_squares_are_of_each_example(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Against one backward pass an example: of one output the squared error has g = 2(f - y) J, and
    2 J² on the diagonal of its Gauss-Newton matrix."""
    model, x, y = made(name)
    scores = score_all(model, [(x, y)], ["fisher", "obd"], loss="mse", chunk=3)
    assert "pfor" not in capfd.readouterr().err  # TensorFlow's page of what it cannot do
    variables = {key: kernel.variable.value for key, kernel in kernels(model).items()}
    squares = {key: np.zeros((2, *v.shape)) for key, v in variables.items()}
    for row in range(COUNT):
        with tf.GradientTape() as tape:
            tape.watch(list(variables.values()))
            answer = model(x[row : row + 1], training=False)
        miss = float(answer[0, 0]) - float(y[row, 0])
        for key, slope in tape.gradient(answer, variables).items():
            square = np.asarray(tf.convert_to_tensor(slope), "f8") ** 2 / COUNT
            squares[key] += np.stack([4 * miss**2 * square, 2 * square])
    for key, value in squares.items():
        kernel = np.asarray(variables[key], "f8")
        for method, square in zip(("fisher", "obd"), value, strict=True):
            wanted = 0.5 * kernel**2 * square
            found = scores[method].weights[key]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6 * wanted.max())


def test_a_loss_with_a_loop_is_taken_example_by_example() -> None:
    """Its gradient cannot be taken for all examples together; the numbers are the same."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), L.Dense(4, "tanh"), L.Dense(3)])
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=(COUNT, 5)).astype("f"), rng.normal(size=(COUNT, 3)).astype("f"))]

    def looped(y: Any, p: Any) -> Any:
        squares = tf.transpose(tf.square(y - p))
        _, total = tf.while_loop(
            lambda n, _: n < 3,
            lambda n, total: (n + 1, total + squares[n] / 3),
            (0, tf.zeros_like(squares[0])),
        )
        return total

    methods = ["taylor", "fisher", "gate", "obd"]
    ours, theirs = (
        score_all(model, data, methods, loss=loss, graph=trace(model), seed=1)
        for loss in (looped, "mse")
    )
    for method in methods:
        wanted = {**theirs[method].weights, **theirs[method].channels}
        found = {**ours[method].weights, **ours[method].channels}
        for key, value in wanted.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-4, atol=1e-6 * value.max())


def test_what_the_user_is_told_is_the_same_in_both_ways() -> None:
    model, x, _ = made("dense, gru")
    with pytest.raises(DataError, match="labels are class numbers"):
        model.pop()
        score_all(model, [(x, np.arange(COUNT))], ["fisher"], loss="categorical_crossentropy")
