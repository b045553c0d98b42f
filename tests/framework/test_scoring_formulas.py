"""Every formula against a slow reference; what is scored, and what is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeprune.errors import DataError, InputError, TrainingError
from edgeprune.models import architecture_digest, kernels, make_objective, values_digest
from edgeprune.progress import SILENT
from edgeprune.scores import Scores
from edgeprune.scoring import score_model

LOSS = "sparse_categorical_crossentropy"


def small() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.DepthwiseConv2D(2),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    model.layers[0].trainable = False  # scored all the same
    return model


def batches(sizes=(8, 8, 3), classes=4):
    random = np.random.default_rng(0)
    return [
        (random.normal(size=(n, 6, 6, 1)).astype(np.float32), random.integers(0, classes, n))
        for n in sizes
    ]


def reference(model, data, loss=LOSS):
    """|g| by finite differences in float64-ish steps: one weight at a time."""
    objective = make_objective(loss, model=model)
    total = sum(len(y) for _, y in data)
    found = {}
    for name, kernel in kernels(model).items():
        value = np.asarray(kernel.variable).copy()
        out = np.zeros(value.shape)
        for x, y in data:
            for place in np.ndindex(value.shape):
                ends = []
                for step in (1e-2, -1e-2):
                    moved = value.copy()
                    moved[place] += step
                    kernel.variable.assign(moved)
                    ends.append(float(objective((y,), (model(x, training=False),))))
                out[place] += len(y) * abs(ends[0] - ends[1]) / 2e-2
        kernel.variable.assign(value)
        found[name] = out / total
    return found


def test_gradient_and_taylor_agree_with_finite_differences():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, "tanh"), keras.layers.Dense(4, "softmax")]
    )
    random = np.random.default_rng(3)
    data = [
        (random.normal(size=(n, 3)).astype(np.float32), random.integers(0, 4, n)) for n in (5, 2)
    ]
    slow = reference(model, data)
    total = sum(value.sum() for value in slow.values())
    gradient = score_model(model, data, method="gradient", loss=LOSS)
    taylor = score_model(model, data, method="taylor", loss=LOSS)
    for name, value in slow.items():
        np.testing.assert_allclose(gradient.weights[name], value / total, atol=2e-4)
        weight = np.abs(np.asarray(kernels(model)[name].variable))
        np.testing.assert_allclose(taylor.weights[name], weight * value, atol=2e-3)


def test_every_kernel_agrees_with_plain_gradients_per_batch():
    model = small()
    data = batches()
    total = sum(len(y) for _, y in data)
    slow = dict.fromkeys(kernels(model), 0.0)
    for x, y in data:
        variables = [kernel.variable.value for kernel in kernels(model).values()]
        with tf.GradientTape() as tape:
            tape.watch(variables)
            each = keras.losses.sparse_categorical_crossentropy(y, model(x, training=False))
            loss = tf.reduce_mean(each)
        for name, value in zip(slow, tape.gradient(loss, variables), strict=True):
            slow[name] = slow[name] + len(y) / total * np.abs(value.numpy())
    before = values_digest(model)
    scores = score_model(model, data, method="gradient", loss=LOSS)
    norm = sum(value.sum() for value in slow.values())
    assert set(scores.weights) == set(slow)
    for name, value in slow.items():
        np.testing.assert_allclose(scores.weights[name], value / norm, rtol=1e-4, atol=1e-9)
        assert scores.weights[name].dtype == np.float32
    assert sum(float(v.sum()) for v in scores.weights.values()) == pytest.approx(1, abs=1e-5)
    assert values_digest(model) == before


def test_what_is_scored_and_what_is_said():
    model = small()
    scores = score_model(model, batches(), loss=LOSS)
    assert scores.method == "taylor"
    assert scores.model == architecture_digest(model)
    assert sorted(scores.kinds.values()) == ["convolution", "dense", "depthwise"]
    assert {name: v.shape for name, v in scores.weights.items()} == {
        name: tuple(k.variable.shape) for name, k in kernels(model).items()
    }
    assert scores.facts["loss"] == LOSS
    assert (scores.facts["examples"], scores.facts["batches"]) == (19, 3)
    assert scores.facts["microbatch"] == 8


def test_magnitude_needs_no_data_nor_loss():
    model = small()
    scores = score_model(model, None, method="magnitude")
    for name, kernel in kernels(model).items():
        assert (scores.weights[name] == np.abs(np.asarray(kernel.variable))).all()


def test_the_micro_batch_is_part_of_the_definition_and_the_order_is_not():
    model = small()
    data = batches((8, 8, 8))
    whole = [tuple(np.concatenate(parts) for parts in zip(*data, strict=True))]
    one = score_model(model, data, loss=LOSS)
    turned = score_model(model, data[::-1], loss=LOSS)
    coarse = score_model(model, whole, loss=LOSS)
    for name, value in one.weights.items():
        np.testing.assert_allclose(turned.weights[name], value, rtol=1e-5)
        assert (coarse.weights[name] <= value * 1.001 + 1e-9).all()  # |mean| ≤ mean of |·|
    assert any(
        not np.allclose(coarse.weights[name], value, rtol=1e-3)
        for name, value in one.weights.items()
    )


def test_the_same_scores_twice_bit_for_bit(tmp_path):
    model = small()
    paths = [tmp_path / name for name in ("a.npz", "b.npz")]
    for path in paths:
        score_model(model, batches(), loss=LOSS).save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert Scores.load(paths[0]).facts["loss"] == LOSS


def test_one_trace_whatever_the_sizes_of_the_batches():
    calls = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    model = keras.Sequential([keras.Input((6, 6, 1)), Spy(), keras.layers.Flatten()])
    model.add(keras.layers.Dense(4, "softmax"))
    calls.clear()
    score_model(model, batches((8, 8, 5, 1)), loss=LOSS)
    assert len(calls) == 1


def test_sample_weights_and_several_inputs_and_outputs():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    first = keras.layers.Dense(1, name="first")(joined)
    second = keras.layers.Dense(2, activation="softmax", name="second")(joined)
    model = keras.Model([a, b], [first, second])
    model.compile(loss={"first": "mse", "second": LOSS}, loss_weights={"first": 2.0, "second": 1})
    random = np.random.default_rng(0)
    x = (random.normal(size=(6, 3)).astype("f4"), random.normal(size=(6, 2)).astype("f4"))
    y = (random.normal(size=(6, 1)).astype("f4"), random.integers(0, 2, 6))
    weight = np.array([1, 1, 1, 0, 0, 0], np.float32)
    weighted = score_model(model, [(x, y, weight)])
    named = score_model(model, [({"b": x[1], "a": x[0]}, {"second": y[1], "first": y[0]}, weight)])
    half = score_model(model, [(tuple(i[:3] for i in x), tuple(i[:3] for i in y))])
    for name, value in weighted.weights.items():
        np.testing.assert_allclose(named.weights[name], value)
        np.testing.assert_allclose(half.weights[name] / 2, value, rtol=1e-4, atol=1e-7)


def test_embeddings_recurrent_and_shared_kernels():
    x = keras.Input((5,), dtype="int32")
    h = keras.layers.Embedding(10, 4, name="words")(x)
    h = keras.layers.LSTM(3, name="lstm")(h)
    shared = keras.layers.Dense(3, name="shared")
    out = keras.layers.Dense(4, activation="softmax", name="out")(shared(shared(h)))
    model = keras.Model(x, out)
    random = np.random.default_rng(0)
    data = [(random.integers(0, 9, (8, 5)), random.integers(0, 4, 8))]
    scores = score_model(model, data, loss=LOSS)
    assert set(scores.kinds.values()) == {"embedding", "recurrent", "dense"}
    (words,) = [v for name, v in scores.weights.items() if name.startswith("words")]
    assert words[:9].any()
    assert not words[9].any()  # never looked up


def test_progress_is_told_every_batch():
    steps = []

    class Told(type(SILENT)):
        def advance(self, steps_=1, note=""):
            steps.append(steps_)

    score_model(small(), batches(), loss=LOSS, progress=Told())
    assert steps == [1, 1, 1]


def test_a_loss_that_is_no_number_names_the_batch():
    # By a weight, since some processors' relu makes a zero of NaN in the data.
    data = batches((4, 4))
    data[1] = (*data[1], np.array([1, np.nan, 1, 1], np.float32))
    with pytest.raises(TrainingError, match=r"nan in batch 2; usual causes") as caught:
        score_model(small(), data, loss=LOSS)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_scored_is_refused():
    model = small()
    with pytest.raises(InputError, match="no score 'tailor'; did you mean 'taylor'"):
        score_model(model, batches(), method="tailor", loss=LOSS)
    with pytest.raises(InputError, match="no compiled loss"):
        score_model(model, batches())
    with pytest.raises(DataError, match="empty"):
        score_model(model, [], loss=LOSS)
    with pytest.raises(DataError, match="labels"):
        score_model(model, [(batches()[0][0],)], loss=LOSS)
    with pytest.raises(InputError, match="needs calibration data"):
        score_model(model, None, loss=LOSS)
    with pytest.raises(DataError, match="labels are class numbers"):
        score_model(model, batches(), loss="categorical_crossentropy")
    with pytest.raises(InputError, match="of channels and needs the model's graph"):
        score_model(model, batches(), method="gate", loss=LOSS)
