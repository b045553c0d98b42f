"""Scores under every kind of loss: however a micro-batch is cut into chunks, and against the
gradient of the loss itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeprune.errors import InputError, TrainingError
from edgeprune.models import kernels
from edgeprune.scoring import METHODS, score_all
from edgeprune.scoring.passing import Scorer
from edgeprune.surgery import trace

L = keras.layers
Entropy = keras.losses.SparseCategoricalCrossentropy
MICRO, COUNT = 6, 16
OF_LOSS = [name for name, one in METHODS.items() if one.labels]


def root_mean(y: Any, p: Any) -> Any:
    return keras.ops.sqrt(keras.ops.mean(keras.ops.square(keras.ops.one_hot(y, 3) - p)))


def ranked(y: Any, p: Any) -> Any:
    """Of every pair of examples, and so of none alone."""
    p = p[:, 0]
    return keras.ops.mean(keras.ops.tanh((p[:, None] - p[None]) * (y[None] - y[:, None])))


def image() -> Any:
    return keras.Sequential(
        [keras.Input((4, 4, 1)), L.Conv2D(4, 3, padding="same", activation="relu"), L.Conv2D(3, 1)]
    )


def text() -> Any:
    embedding = L.Embedding(9, 4, mask_zero=True)
    return keras.Sequential([keras.Input((5,)), embedding, L.Dense(4, "tanh"), L.Dense(3)])


def flat() -> Any:
    return keras.Sequential([keras.Input((5,)), L.Dense(6, "tanh"), L.Dense(3)])


def twice() -> Any:
    """Two outputs, the first of which carries a mask."""
    i = keras.Input((5,))
    h = L.Dense(4, "tanh")(L.Embedding(9, 3, mask_zero=True)(i))
    each = L.Dense(3, activation="softmax", name="each")(h)
    whole = L.Dense(4, activation="tanh", name="hidden")(h[:, 0])
    model = keras.Model(i, [each, L.Dense(1, activation="sigmoid", name="whole")(whole)])
    loss = {"each": Entropy(), "whole": keras.losses.BinaryCrossentropy(reduction="sum")}
    model.compile(loss=loss, loss_weights={"each": 0.3, "whole": 2.0})
    return model


def images(rng: Any) -> Any:
    y = rng.integers(0, 3, (COUNT, 4, 4))
    y[:5] = np.where(rng.random((5, 4, 4)) < 0.8, 2, y[:5])  # of some examples few places count
    return rng.normal(size=(COUNT, 4, 4, 1)).astype("f"), y


def texts(rng: Any) -> Any:
    x = rng.integers(1, 9, (COUNT, 5))
    for row in range(COUNT):
        x[row, 1 + row % 5 :] = 0
    return x, rng.integers(0, 3, (COUNT, 5))


def rows(rng: Any) -> Any:
    return rng.normal(size=(COUNT, 5)).astype("f"), rng.integers(0, 3, COUNT)


def weighted(rng: Any) -> Any:
    return *rows(rng), rng.uniform(0.1, 4, COUNT).astype("f")


def ordered(rng: Any) -> Any:
    return rows(rng)[0], rng.normal(size=COUNT).astype("f")


def both(rng: Any) -> Any:
    x, y = texts(rng)
    places = rng.uniform(0.1, 4, (COUNT, 5)).astype("f")
    return x, (y, rng.integers(0, 2, (COUNT, 1)).astype("f")), (places, places[:, :1])


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    "mean": (image, images, Entropy(from_logits=True)),
    "ignored class": (image, images, Entropy(from_logits=True, ignore_class=2)),
    "mask": (text, texts, Entropy(from_logits=True)),
    "mean by weights": (
        flat, weighted, Entropy(from_logits=True, reduction="mean_with_sample_weight"),
    ),
    "mean with weights": (flat, weighted, Entropy(from_logits=True)),
    "sum": (image, images, Entropy(from_logits=True, reduction="sum")),
    "root of a mean": (flat, rows, root_mean),
    "pairs of examples": (flat, ordered, ranked),
    "two outputs, mask, weights": (twice, both, None),
    "labels of its own": (twice, both, "own-kl"),
}  # fmt: skip


def made(name: str) -> tuple[Any, Any, Any]:
    keras.utils.set_random_seed(5)
    net, data, loss = CASES[name]
    return net(), data(np.random.default_rng(4)), loss


def cut(data: Any, size: int) -> list[Any]:
    return [
        keras.tree.map_structure(lambda a, s=start: a[s : s + size], data)
        for start in range(0, COUNT, size)
    ]


@pytest.mark.parametrize("name", CASES)
def test_scores_do_not_depend_on_chunks_whatever_the_loss(name: str) -> None:
    model, data, loss = made(name)
    graph = trace(model)
    # A loss of pairs is nothing for one example.
    of_batches = ["taylor", "gradient", "snip", "molchanov"]
    methods = of_batches if "pairs" in name else OF_LOSS
    scorer = Scorer(model, methods, loss=loss, graph=graph)

    def scored(size: int, **how: Any) -> dict[tuple[str, str], Any]:
        return {
            (method, key): value
            for method, one in scorer.scores(cut(data, size), **how).items()
            for key, value in {**one.weights, **one.channels}.items()
        }

    wanted, wider = scored(MICRO), scored(COUNT)
    assert {method for (method, _), value in wanted.items() if value.any()} == set(methods)
    others = [(wanted, scored(MICRO, chunk=4)), (wanted, scored(5, microbatch=MICRO))]
    alone = {key: value for key, value in wanted.items() if METHODS[key[0]].unit == "example"}
    for one, other in [*others, (alone, wider)]:
        for key, value in one.items():
            np.testing.assert_allclose(
                other[key], value, rtol=1e-5, atol=1e-5 * value.max(), err_msg=str(key)
            )


def slopes(model: Any, data: Any, loss: Any, size: int) -> dict[str, list[np.ndarray]]:
    """Of each batch of so many examples, the gradients of the loss as Keras has it."""
    variables = {name: kernel.variable.value for name, kernel in kernels(model).items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in variables}
    for x, y, *weights in cut(data, size):
        with tf.GradientTape() as tape:
            tape.watch(list(variables.values()))
            outputs = model(x, training=False)
            if callable(loss) and not isinstance(loss, keras.losses.Loss):
                value = loss(y, outputs)
            else:
                value = loss(y, outputs, *weights)
        gradients = tape.gradient(value, list(variables.values()))
        for name, gradient in zip(variables, gradients, strict=True):
            found[name].append(np.asarray(tf.convert_to_tensor(gradient), "f8"))
    return found


@pytest.mark.parametrize("name", [name for name, (_, _, loss) in CASES.items() if callable(loss)])
def test_the_loss_is_that_of_the_micro_batch_and_of_a_batch_of_one(name: str) -> None:
    model, data, loss = made(name)
    methods = ["gradient"] if "pairs" in name else ["gradient", "fisher"]
    scores = score_all(model, cut(data, MICRO), methods, loss=loss, chunk=4)
    batches, examples = slopes(model, data, loss, MICRO), slopes(model, data, loss, 1)
    sizes = [MICRO, MICRO, COUNT - 2 * MICRO]
    gradient = {n: np.average(np.abs(v), axis=0, weights=sizes) for n, v in batches.items()}
    total = sum(value.sum() for value in gradient.values())
    for key, value in gradient.items():
        found = scores["gradient"].weights[key]
        np.testing.assert_allclose(found, value / total, rtol=1e-4, atol=1e-6 * value.max())
        if "fisher" in methods:
            kernel = np.asarray(kernels(model)[key].variable, "f8")
            wanted = 0.5 * kernel**2 * np.square(examples[key]).mean(axis=0)
            found = scores["fisher"].weights[key]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6 * wanted.max())


@pytest.mark.parametrize("how", ["softmax", "sigmoid", "a bare softmax"])
@pytest.mark.parametrize("chunk", [None, 4])
def test_saturated_outputs_are_judged_by_what_was_squashed(how: str, chunk: int | None) -> None:
    """As in training: a probability that is rounded to 0 has no gradient, its logit has."""
    rng = np.random.default_rng(0)
    x, y = rows(rng)
    last: Any
    if how == "sigmoid":
        y = keras.ops.one_hot(y, 3)
        losses = [keras.losses.BinaryCrossentropy(from_logits=logits) for logits in (False, True)]
        last = L.Activation("sigmoid")
    else:
        losses = [Entropy(), Entropy(from_logits=True)]
        last = L.Softmax() if how == "softmax" else L.Lambda(tf.nn.softmax)
    keras.utils.set_random_seed(0)
    plain = flat()
    plain.layers[-1].kernel.assign(plain.layers[-1].kernel * 80)
    net = keras.Sequential([keras.Input((5,)), *plain.layers, last])
    assert (np.asarray(net(x)) < 1e-7).any()
    methods = ["taylor", "molchanov", "gate-fisher", "fisher"]
    found, wanted = (
        score_all(model, [(x, y)], methods, loss=loss, graph=trace(model), chunk=chunk)
        for model, loss in zip((net, plain), losses, strict=True)
    )
    for method in methods:
        ours, theirs = ({**one[method].weights, **one[method].channels} for one in (found, wanted))
        for key, value in theirs.items():
            np.testing.assert_allclose(ours[key], value, rtol=1e-4, atol=1e-5 * value.max())


@pytest.mark.parametrize("pooled", [True, False])
def test_micro_batches_of_several_lengths(pooled: bool) -> None:
    """Outputs of one shape are judged together; others run by run, weighted by their examples."""
    keras.utils.set_random_seed(0)
    end = [L.GlobalAveragePooling1D()] if pooled else []
    model = keras.Sequential([keras.Input((None, 2)), L.Dense(4, "tanh"), L.Dense(3), *end])
    rng = np.random.default_rng(0)
    batches = []
    for count, length in ((5, 3), (4, 6)):
        x = rng.normal(size=(count, length, 2)).astype("f")
        batches.append((x, rng.integers(0, 3, (count,) if pooled else (count, length))))

    def loss(y: Any, p: Any) -> Any:
        each = keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True)
        return keras.ops.sqrt(keras.ops.mean(each))

    wanted, *others = (
        score_all(model, batches, ["taylor"], loss=loss, microbatch=9, chunk=chunk)["taylor"]
        for chunk in (None, 2, 4)
    )
    variables = [kernel.variable.value for kernel in kernels(model).values()]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = [model(x) for x, _ in batches]
        if pooled:
            value = loss(np.concatenate([y for _, y in batches]), tf.concat(outputs, axis=0))
        else:
            value = (5 * loss(batches[0][1], outputs[0]) + 4 * loss(batches[1][1], outputs[1])) / 9
    for name, slope in zip(kernels(model), tape.gradient(value, variables), strict=True):
        kernel = np.asarray(kernels(model)[name].variable)
        by_hand = np.abs(kernel * np.asarray(slope))
        for one in (wanted, *others):
            np.testing.assert_allclose(one.weights[name], by_hand, rtol=1e-4, atol=1e-7)


def test_a_loss_that_is_nothing_for_one_example_is_refused_where_examples_are_asked_for() -> None:
    model, data, loss = made("pairs of examples")
    for method, of in (("fisher", "kernel"), ("gate", "channel")):
        with pytest.raises(TrainingError, match=f"'ranked' does not change with any {of}"):
            score_all(model, cut(data, MICRO), [method], loss=loss, graph=trace(model))


@pytest.mark.parametrize("method", ["taylor", "fisher", "gate"])
def test_a_loss_without_a_reduction_is_refused(method: str) -> None:
    model, data, _ = made("root of a mean")
    loss = Entropy(from_logits=True, reduction=None)
    with pytest.raises(InputError, match=r"has no reduction.*give it reduction='sum_over_batch"):
        score_all(model, cut(data, MICRO), [method], loss=loss, graph=trace(model))
