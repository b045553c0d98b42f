"""Names of weights and digests: unique, and the same wherever a model has been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications.convnext import LayerScale

import edgeprune
from edgeprune.errors import PlanError
from edgeprune.models import (
    architecture_digest,
    clone,
    load_model,
    named_weights,
    save_model,
    values_digest,
)
from edgeprune.plans import Plan
from edgeprune.surgery import strip, trace, zero

L = keras.layers


def _backbone(name: str) -> Any:
    return keras.Sequential(
        [keras.Input((6, 6, 2)), L.Conv2D(3, 3, name="conv"), L.BatchNormalization(name="norm")],
        name=name,
    )


def _twins() -> Any:
    """Two nested models with layers of the same names, a shared layer, a wrapped one."""
    i = keras.Input((6, 6, 2), name="picture")
    x = L.Concatenate()([_backbone("left")(i), _backbone("right")(i)])
    twice = L.Dense(6, name="twice")
    x = L.Reshape((16, 6))(twice(twice(x)))
    x = L.Bidirectional(L.LSTM(4), name="both")(x)
    return keras.Model(i, L.Dense(2, name="head")(x), name="twins")


def test_names_are_unique_and_stay(tmp_path: Path) -> None:
    model = _twins()
    names = list(named_weights(model))
    assert len(names) == len(set(names)) == len({id(w) for w in model.weights})
    assert {"left/conv/kernel", "right/conv/kernel", "both/forward_layer/cell/kernel"} <= {*names}
    save_model(model, tmp_path / "m.keras")
    save_model(model, tmp_path / "m.h5")
    nothing = Plan(architecture_digest(model))
    for other in (
        load_model(tmp_path / "m.keras"),
        load_model(tmp_path / "m.h5"),
        keras.models.clone_model(model),
        clone(model),
        zero(model, nothing),
        strip(model),
    ):
        assert list(named_weights(other)) == names
    for other in (load_model(tmp_path / "m.keras"), clone(model), zero(model, nothing)):
        assert architecture_digest(other) == architecture_digest(model)
        assert values_digest(other) == values_digest(model)
        assert other.inputs[0]._keras_history.operation.name == "picture"


def test_digests_are_of_what_they_say() -> None:
    def net(units: int = 3, activation: str = "relu", **more: Any) -> Any:
        layers = [L.Dense(units, activation=activation, name="a", **more), L.Dense(2, name="b")]
        return keras.Sequential([keras.Input((4,), name="x"), *layers])

    base = net()
    same = net(kernel_initializer="ones", kernel_regularizer="l2", trainable=False)
    same.compile("sgd", "mse")
    assert architecture_digest(same) == architecture_digest(base)
    assert values_digest(same) != values_digest(base)
    for other in (net(units=4), net(activation="tanh"), net(use_bias=False)):
        assert architecture_digest(other) != architecture_digest(base)


def test_one_input_in_a_list_is_that_input() -> None:
    """``Model(model.inputs, model.outputs)`` is how a functional model is made anew."""
    x = keras.Input((4,), name="x")
    model = keras.Model(x, L.Dense(3, name="b")(L.Dense(5, name="a")(x)))

    class Own(keras.Model):
        pass

    for kind in (keras.Model, Own):
        for inputs in (model.input, model.inputs):
            for outputs in (model.output, model.outputs):
                again = kind(inputs, outputs)
                assert architecture_digest(again) == architecture_digest(model)
    middle = keras.Model(model.inputs, model.get_layer("a").output)
    both = keras.Model(model.inputs, [model.output, model.get_layer("a").output])
    assert len({architecture_digest(each) for each in (model, middle, both)}) == 3


def test_a_plan_of_another_model_is_told_by_what_differs() -> None:
    def net(units: int, name: str, activation: str) -> Any:
        layers = [L.Dense(units, activation, name=name), L.Dense(2, name="b")]
        return keras.Sequential([keras.Input((4,), name="x"), *layers])

    model = net(3, "a", "relu")
    plan = edgeprune.plan(edgeprune.score(model, None, "magnitude"), sparsity=0.5, scope="layer")
    for other, words in (
        (net(3, "c", "relu"), "it has no weight 'a/kernel'"),
        (net(5, "a", "relu"), r"its 'a/kernel' is of shape \(4, 5\), the plan's of \(4, 3\)"),
        (net(3, "a", "tanh"), "what differs are layers, their connections or their settings"),
    ):
        with pytest.raises(PlanError, match=words):
            zero(other, plan)
        holding = edgeprune.hold(plan)
        holding.set_model(other)
        with pytest.raises(PlanError, match=words):
            holding.on_train_begin()


def test_a_clone_is_another_model_with_the_same_state() -> None:
    norm = L.Normalization(name="scale")
    norm.adapt(np.random.default_rng(0).normal(3, 2, size=(50, 4)))
    model = keras.Sequential([keras.Input((4,)), norm, L.Dense(3, name="a"), L.Dropout(0.5)])
    model.get_layer("a").trainable = False

    def own(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y - p))

    model.compile(keras.optimizers.Adam(0.02), own, metrics=[keras.metrics.MeanSquaredError()])
    other = clone(model)
    x = np.random.default_rng(1).normal(size=(5, 4)).astype("float32")
    assert np.array_equal(np.asarray(model(x)), np.asarray(other(x)))
    assert other.optimizer is not model.optimizer and other.loss is own and model.compiled
    assert float(other.optimizer.learning_rate) == float(np.float32(0.02))
    assert not other.get_layer("a").trainable
    other.get_layer("a").kernel.assign(np.zeros((4, 3)))
    assert np.asarray(model.get_layer("a").kernel).any()


def test_a_weight_without_a_name_is_called_the_same_in_a_copy() -> None:
    """Keras numbers it by what the process made before; ConvNeXt's scale is one."""
    i = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 1, name="conv")(i)
    scale = LayerScale(0.5, 4, name="scale")
    model = keras.Model(i, keras.layers.Conv2D(2, 1, name="out")(scale(x)))
    assert "scale/variable" in named_weights(model)
    copy = clone(model)
    assert list(named_weights(copy)) == list(named_weights(model))
    assert ("scale/variable", 0) in {
        (member.weight, member.axis) for member in trace(model)["conv"].members
    }


def test_operations_have_no_names_in_digests(tmp_path: Path) -> None:
    """Keras numbers them by what the process made before."""

    def made(factor: float = 2.0, swapped: bool = False) -> Any:
        i = keras.Input((5,), name="i")
        x = keras.layers.Dense(4, name="a")(i)
        j = keras.Input((4,), name="j")
        inner = keras.Model(j, keras.ops.tanh(j) + 1, name="inner")
        one, other = x * factor, keras.ops.relu(x) - 1
        y = other / (one + 9) if swapped else one / (other + 9)
        return keras.Model(i, {"one": inner(y), "other": y}, name="m")

    first = made()
    for other in (made(), clone(made())):
        assert architecture_digest(other) == architecture_digest(first)
    first.save(tmp_path / "m.keras")
    assert architecture_digest(load_model(tmp_path / "m.keras")) == architecture_digest(first)
    assert len({architecture_digest(m) for m in (first, made(3.0), made(swapped=True))}) == 3
