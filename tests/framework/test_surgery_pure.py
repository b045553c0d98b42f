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
from edgeprune.surgery import cut, strip, strip_with_report, trace, zero

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


def test_random_numbers_go_on_and_single_weights_stay_untrained(plan: Plan) -> None:
    model = settled()
    model.get_layer("norm").trainable = True
    model.get_layer("norm").gamma.trainable = False
    keras.utils.set_random_seed(0)
    for _ in range(3):
        model(np.ones((1, 8, 8, 3), "float32"), training=True)
    state = np.array(model.get_layer("drop").seed_generator.state)
    small = cut(model, plan)
    assert state[1] == 3
    np.testing.assert_array_equal(small.get_layer("drop").seed_generator.state, state)
    assert [w.path for w in small.trainable_variables] == [
        w.path for w in model.trainable_variables
    ]


@keras.saving.register_keras_serializable("edgeprune_tests")
class Jitter(L.Layer):
    """Holds its generator where it likes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.dice = keras.random.SeedGenerator(3)

    def call(self, x: Any, training: bool = False) -> Any:
        return x + keras.random.normal(keras.ops.shape(x), seed=self.dice) if training else x


def _relu(x: Any) -> Any:
    return x * x


_relu.__name__ = "relu"  # as Keras has one too


@pytest.mark.parametrize("function", ["tf.nn.relu", "tf.nn.swish", "ops.silu", "layer", "own"])
def test_a_layer_keeps_the_function_that_it_was_given(function: str) -> None:
    import tensorflow as tf

    activation: Any = {
        "tf.nn.relu": tf.nn.relu,
        "tf.nn.swish": tf.nn.swish,
        "ops.silu": keras.ops.silu,
        "layer": L.ReLU(4.0, negative_slope=0.2),
        "own": _relu,
    }[function]
    i = keras.Input((5,))
    x = L.Dense(6, activation=activation, name="a")(i)
    model = keras.Model(i, L.Dense(3, name="head")(x))
    graph = trace(model)
    assert (graph["a"].fixed is None) == (function != "own")
    kernel = np.array(model.get_layer("a").kernel)
    kernel[:, [1, 4]] = 0
    model.get_layer("a").kernel.assign(kernel)
    small = strip(model)
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    np.testing.assert_allclose(small(x), model(x), atol=1e-5)
    assert small.get_layer("a").units == (6 if function == "own" else 4)
    assert values_digest(strip(small)) == values_digest(small)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_bfloat16"])
def test_precisions_of_few_bits_are_cut_too(policy: str) -> None:
    i = keras.Input((7,))
    x = L.Dense(6, activation="sigmoid", name="a", dtype=policy)(i)
    model = keras.Model(i, L.Dense(3, name="head", dtype=policy)(x))
    plan = Plan.cut(trace(model), {"a": [0, 2]})
    x = np.random.default_rng(0).normal(size=(8, 7)).astype("float32")
    silent = np.asarray(keras.ops.cast(zero(model, plan)(x), "float32"))
    small = cut(model, plan)
    assert small.get_layer("a").units == 4
    assert [w.dtype for w in small.weights] == [w.dtype for w in model.weights]
    got = np.asarray(keras.ops.cast(small(x), "float32"))
    np.testing.assert_allclose(got, silent, atol=0.03 * np.abs(silent).max())


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": {"p": "mse", "q": ["mae"]}},
        {"loss": {"p": "mse", "q": "mae"}, "metrics": {"p": ["mae"], "q": ["mae", "mse"]}},
        {"loss": {"p": "mse", "q": "mae"}, "loss_weights": {"p": 0.1, "q": 0.2}},
    ],
)
def test_losses_by_name_stay_compiled(settings: dict[str, Any]) -> None:
    i = keras.Input((5,))
    x = L.Dense(6, name="a")(i)
    model = keras.Model(i, {"p": L.Dense(3, name="p")(x), "q": L.Dense(2, name="q")(x)})
    model.compile("adam", **settings)
    small = cut(model, Plan.cut(trace(model), {"a": [0]}))
    assert small.compiled
    y = {"p": np.ones((4, 3)), "q": np.ones((4, 2))}
    x = np.ones((4, 5), "float32")
    wanted = zero(model, Plan.cut(trace(model), {"a": [0]})).evaluate(x, y, verbose=0)
    np.testing.assert_allclose(small.evaluate(x, y, verbose=0), wanted, rtol=1e-5)


def test_random_numbers_of_own_layers_go_on() -> None:
    i = keras.Input((4,))
    x = L.Dense(6, name="b")(L.Dense(5, name="a")(i))
    model = keras.Model(i, L.Dense(2, name="head")(Jitter(name="own")(x)))
    model(np.ones((1, 4)), training=True)
    small = cut(model, Plan.cut(trace(model), {"a": [1]}))
    assert small.get_layer("own").dice.state[1] == 1
    np.testing.assert_array_equal(
        small.get_layer("own").dice.state, model.get_layer("own").dice.state
    )


def test_a_loss_stays_scaled_under_another_policy() -> None:
    keras.utils.set_random_seed(0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        i = keras.Input((4,))
        model = keras.Model(i, L.Dense(2, dtype="float32")(L.Dense(6, name="a")(i)))
        model.compile(keras.optimizers.Adam(0.02), "mse")
    finally:
        keras.config.set_dtype_policy(before)
    small = cut(model, Plan.cut(trace(model), {"a": [1]}))
    for one in (model, small):
        assert isinstance(one.optimizer, keras.optimizers.LossScaleOptimizer)
        assert float(one.optimizer.inner_optimizer.learning_rate) == pytest.approx(0.02)
    small.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)


def test_an_array_in_an_initialiser_is_cut_with_its_weight(tmp_path: Path) -> None:
    """Word vectors that a table was started from."""
    table = np.random.default_rng(0).normal(size=(20, 8)).astype("float32")
    constant = keras.initializers.Constant
    i = keras.Input((5,), dtype="int32")
    x = L.Embedding(20, 8, embeddings_initializer=constant(table), name="words")(i)
    x = L.Dense(4, bias_initializer=constant(0.5), name="a")(L.GlobalAveragePooling1D()(x))
    model = keras.Model(i, L.Dense(2)(x))
    small = cut(model, Plan.cut(trace(model), {"words": [1, 2], "a": [0]}))
    save_model(small, tmp_path / "small.keras")
    for one in (small, load_model(tmp_path / "small.keras")):
        words = one.get_layer("words")
        wanted = np.delete(table, [1, 2], axis=1)
        np.testing.assert_array_equal(words.embeddings, wanted)
        np.testing.assert_array_equal(words.embeddings_initializer.value, wanted)
        assert one.get_layer("a").bias_initializer.value == 0.5


def _array(*shape: int) -> keras.initializers.Constant:
    values = np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")
    return keras.initializers.Constant(values)


ONE = {"a": [1]}
STARTED: dict[
    str, tuple[tuple[int, ...], dict[str, list[int]], Callable[[], list[Any]], set[str]]
] = {
    "separable": (
        (6, 6, 3), {"b": [1], "a": [2]},
        lambda: [L.Conv2D(4, 1, name="b"), L.SeparableConv2D(
            4, 3, depthwise_initializer=_array(3, 3, 4, 1), name="a",
            pointwise_initializer=_array(1, 1, 4, 4), bias_initializer=_array(4))],
        {"a/depthwise_kernel", "a/pointwise_kernel", "a/bias"},
    ),
    "depthwise": (
        (6, 6, 3), ONE,
        lambda: [L.Conv2D(4, 1, name="a"), L.DepthwiseConv2D(
            3, depth_multiplier=2, depthwise_initializer=_array(3, 3, 4, 2), name="b")],
        {"b/kernel"},
    ),
    "grouped": (
        (6, 6, 3), {"a": [2, 3], "b": [2, 3]},
        lambda: [L.Conv2D(8, 1, name="a"), L.Conv2D(
            8, 3, groups=4, kernel_initializer=_array(3, 3, 2, 8), name="b")],
        {"b/kernel"},
    ),
    "grouped, evenly": (
        (6, 6, 3), {"a": [0, 3], "b": [1, 2, 4, 7]},
        lambda: [L.Conv2D(4, 1, name="a"), L.Conv2D(
            8, 3, groups=2, kernel_initializer=_array(3, 3, 2, 8), name="b")],
        {"b/kernel"},
    ),
    "LSTM": (
        (5, 3), ONE,
        lambda: [L.LSTM(4, kernel_initializer=_array(3, 16), name="a",
            recurrent_initializer=_array(4, 16), return_sequences=True)],
        {"a/cell/kernel", "a/cell/recurrent_kernel"},
    ),
    "cell": (
        (5, 3), ONE,
        lambda: [L.RNN(L.GRUCell(4, kernel_initializer=_array(3, 12)), name="a",
            return_sequences=True)],
        {"a/cell/kernel"},
    ),
    "stacked cells": (
        (5, 3), {"a": [0], "a:1": [1]},
        lambda: [L.RNN([
            L.SimpleRNNCell(4, kernel_initializer=_array(3, 4)),
            L.SimpleRNNCell(4, kernel_initializer=_array(4, 4)),
        ], name="a", return_sequences=True)],
        {"a/cell/cells/0/kernel", "a/cell/cells/1/kernel"},
    ),
    "bidirectional": (
        (5, 3), ONE,
        lambda: [L.Bidirectional(
            L.LSTM(4, kernel_initializer=_array(3, 16), return_sequences=True), name="a")],
        {"a/forward_layer/cell/kernel", "a/backward_layer/cell/kernel"},
    ),
    "one row for all": (
        (5, 3), ONE, lambda: [L.Dense(4, kernel_initializer=_array(1, 4), name="a")], {"a/kernel"},
    ),
}  # fmt: skip
"""An input, what leaves, layers whose weights start as arrays, and those weights."""


@pytest.mark.parametrize("kind", STARTED)
def test_arrays_in_initialisers_are_cut_wherever_they_stand(kind: str, tmp_path: Path) -> None:
    shape, leave, layers, arrays = STARTED[kind]
    i = keras.Input(shape)
    x = i
    for layer in layers():
        x = layer(x)
    model = keras.Model(i, L.Dense(2, name="out")(L.Flatten()(x)))
    small = cut(model, Plan.cut(trace(model), leave))
    save_model(small, tmp_path / "small.keras")
    for one in (small, load_model(tmp_path / "small.keras")):
        for name, weight in named_weights(one).items():
            np.testing.assert_array_equal(weight, named_weights(small)[name])
    # A new one of its config starts with what is left of the arrays.
    fresh = named_weights(type(small).from_config(small.get_config()))
    for name, was in named_weights(model).items():
        if name in arrays:
            assert fresh[name].shape != was.shape
            np.testing.assert_array_equal(fresh[name], named_weights(small)[name])


@pytest.mark.parametrize("kind", ["text", "words", "numbers", "weighed"])
def test_vocabularies_are_carried_over(kind: str, tmp_path: Path) -> None:
    import tensorflow as tf

    x: Any
    if kind == "text":
        layer = L.TextVectorization(output_sequence_length=5, name="look")
        layer.adapt(["a b c d", "e f a"])
        i, x = keras.Input((1,), dtype="string"), tf.constant([["a b"], ["z e"]])
    elif kind == "numbers":
        layer = L.IntegerLookup(name="look")
        layer.adapt([5, 6, 7, 7])
        i, x = keras.Input((3,), dtype="int64"), np.array([[5, 6, 9]])
    else:
        mode = "tf_idf" if kind == "weighed" else "int"
        layer = L.StringLookup(name="look", output_mode=mode)
        layer.adapt([["a", "b"], ["b", "c"]])
        i, x = keras.Input((3,), dtype="string"), tf.constant([["a", "b", "z"]])
    found = layer(i)
    if kind == "weighed":
        y = L.Dense(6, activation="relu", name="words")(found)
    else:
        y = L.GlobalAveragePooling1D()(L.Embedding(20, 6, name="words")(found))
    model = keras.Model(i, L.Dense(2)(y))
    silent = zero(model, Plan.cut(trace(model), {"words": [0, 3]}))
    small = strip(silent)
    np.testing.assert_allclose(small(x), silent(x), atol=1e-6)
    save_model(small, tmp_path / "small.keras")
    np.testing.assert_allclose(load_model(tmp_path / "small.keras")(x), silent(x), atol=1e-6)


def test_what_a_layer_adds_to_the_loss_stays() -> None:
    """A constant counts in an activity regulariser; a zero does not."""
    i = keras.Input((4,))
    x = L.Dense(6, activation="relu", activity_regularizer="l2", name="judged")(i)
    x = L.Dense(5, activation="sigmoid", name="half")(x)
    x = L.ActivityRegularization(l1=0.1)(x)
    model = keras.Model(i, L.Dense(2, name="out")(x))
    graph = trace(model)
    assert graph["judged"].fixed is None  # zero arrives
    assert "adds its output to the loss" in (graph["half"].fixed or "")
    kernel, bias = model.get_layer("judged").get_weights()
    kernel[:, :3] = 0
    bias[:3] = 0, 0.7, -1
    model.get_layer("judged").set_weights([kernel, bias])
    data = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    small, report = strip_with_report(model)
    model(data), small(data)
    assert small.get_layer("judged").units == 4  # 0 and 2 are zero behind relu
    np.testing.assert_allclose(small.losses, model.losses, rtol=1e-6)
    assert ("judged", (1,)) in {(kept.layer, kept.channels) for kept in report.kept}


def test_a_cut_is_a_strip_of_zeros_to_the_last_name() -> None:
    i = keras.Input((6, 6, 3))
    a = L.Conv2D(9, 3, padding="same", name="a")(i)
    x = L.Concatenate()([L.Conv2D(4, 1, name="c")(a[..., :4]), a[..., 4:], a[..., ::2]])
    x = keras.ops.reshape(x, (-1, 36 * x.shape[-1]))
    model = keras.Model(i, L.Dense(3, name="head")(x))
    plan = Plan.cut(trace(model), {"a": [1, 5]})
    one, other, third = strip(zero(model, plan)), cut(model, plan), strip(zero(model, plan))
    assert values_digest(one) == values_digest(other) == values_digest(third)
    assert values_digest(strip(one)) == values_digest(one)
