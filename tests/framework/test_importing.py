"""Models of Keras 2 and of tfmot: opened as plain Keras 3 models that do the same, or refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import edgeprune
from edgeprune.errors import ModelError
from edgeprune.importing import open_model
from edgeprune.importing.carrying import carry
from edgeprune.importing.comparing import compared
from edgeprune.importing.replaying import replay
from edgeprune.verbs import Source, inspect_path

K = tf_keras.layers
FORMS = ["m.h5", "m.keras", "saved"]


@pytest.fixture(autouse=True)
def seed() -> None:
    tf.random.set_seed(1)


def separable() -> Any:
    x = inputs = tf_keras.Input((12, 12, 3), name="image")
    x = K.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = K.BatchNormalization(name="norm")(x)
    x = K.Activation(tf.nn.relu6, name="six")(x)
    x = K.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    x = K.LeakyReLU(alpha=0.2)(x)
    x = K.SeparableConv2D(8, 3, activation="swish", name="separable")(x)
    x = K.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = K.ThresholdedReLU(theta=0.1)(x)
    x = K.ReLU(max_value=6.0)(x)
    x = K.GlobalAveragePooling2D()(x)
    return tf_keras.Model(inputs, K.Dense(5, activation="softmax")(x))


def residual() -> Any:
    """Functions of TensorFlow between layers, as tf.keras wrote MobileNetV3."""
    x = inputs = tf_keras.Input((8, 8, 4))
    y = K.Conv2D(4, 3, padding="same", name="block/conv")(x)
    y = y * (tf.nn.relu6(y + 3.0) / 6.0)
    x = K.Add(name="add")([x, y])
    x = tf.concat([x[:, 1:], x[:, :-1]], axis=-1)
    x = tf.reshape(tf.reduce_mean(x, axis=[1, 2], keepdims=True), (-1, 8))
    return tf_keras.Model(inputs, K.Dense(3, name="head")(tf.transpose(x, [0, 1])))


def nested() -> Any:
    inner = tf_keras.Sequential(
        [K.Conv2D(4, 3, padding="same", input_shape=(6, 6, 4)), K.BatchNormalization()], name="body"
    )
    outer_in = tf_keras.Input((6, 6, 4), name="inner_in")
    outer = tf_keras.Model(outer_in, K.ReLU()(inner(inner(outer_in))), name="twice")
    a, b = tf_keras.Input((6, 6, 4), name="a"), tf_keras.Input((6, 6, 4), name="b")
    x = K.Concatenate()([outer(a), outer(b)])
    last = K.Dense(3, name="last")(K.Flatten()(x))
    return tf_keras.Model({"a": a, "b": b}, {"last": last, "mean": K.GlobalMaxPooling2D()(x)})


def recurrent() -> Any:
    x = inputs = tf_keras.Input((7,), dtype="int32")
    x = K.Embedding(11, 6, mask_zero=True)(x)
    x = K.Bidirectional(K.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid"))(x)
    x, state = K.GRU(4, return_sequences=True, return_state=True)(x)
    x = K.GRU(4, reset_after=False, recurrent_activation="hard_sigmoid", return_sequences=True)(x)
    x = K.LSTM(4, return_sequences=True)(x, initial_state=[state, state])
    x = K.TimeDistributed(K.Dense(4, activation="hard_sigmoid"))(x)
    x = K.MultiHeadAttention(2, 3)(x, x)
    x = K.LayerNormalization()(x)
    x = K.RNN([K.SimpleRNNCell(3), K.LSTMCell(3)])(x)
    return tf_keras.Model(inputs, x)


def sequential() -> Any:
    layers = [
        K.Conv1D(6, 3, padding="causal", activation="hard_sigmoid", input_shape=(10, 2)),
        K.SpatialDropout1D(0.2),
        K.MaxPooling1D(2),
        K.LSTM(4, stateful=False, unroll=True),
        K.Dropout(0.5),
        K.Dense(3, kernel_regularizer="l2", kernel_constraint="non_neg", trainable=False),
    ]
    return tf_keras.Sequential(layers, name="chain")


def convolved_time() -> Any:
    x = inputs = tf_keras.Input((3, 6, 6, 2))
    x = K.ConvLSTM2D(3, 3, return_sequences=True)(x)
    return tf_keras.Model(inputs, K.TimeDistributed(K.Flatten())(x))


CASES = [
    *((net, "m.h5") for net in (separable, residual, nested, recurrent, sequential)),
    *((net, "m.keras") for net in (separable, residual, nested)),
    *((net, "saved") for net in (nested, sequential, convolved_time)),
]


def woken(model: Any) -> Any:
    """Every weight random; variances stay positive."""
    random = np.random.default_rng(3)
    for weight in model.weights:
        value = random.normal(0, 0.4, weight.shape)
        if "mask" in weight.name or "step" in weight.name:
            value = np.round(np.abs(value)).clip(0, 1)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)
    return model


def saved(model: Any, path: Path) -> Path:
    model.save(path, **({} if path.suffix else {"save_format": "tf"}))
    return path


def random_inputs(model: Any) -> list[Any]:
    random = np.random.default_rng(5)
    return [
        random.integers(0, 11, (3, *tensor.shape[1:])).astype("int32")
        if tensor.dtype == tf.int32
        else random.normal(size=(3, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def check_same(old: Any, new: Any) -> None:
    given = tf.nest.pack_sequence_as(old._nested_inputs, random_inputs(old))
    wanted, found = old(given, training=False), new(given, training=False)
    tf.nest.assert_same_structure(wanted, found)
    for a, b in zip(tf.nest.flatten(wanted), tf.nest.flatten(found), strict=True):
        a = np.asarray(a)
        assert np.ptp(a) > 1e-3, "an output that does not move proves nothing"
        assert np.abs(a - np.asarray(b)).max() <= 1e-5 * np.abs(a).max()


def check_plain(model: Any) -> None:
    for layer in model._flatten_layers():
        assert type(layer).__module__.startswith("keras."), type(layer)
    text = json.dumps(model.get_config(), default=str)
    assert "tfmot" not in text and "prune_low" not in text.lower() and "tf_keras" not in text


def refused(path: Path, *words: str, trust: bool = False) -> None:
    with pytest.raises(ModelError) as caught:
        edgeprune.load(path, trust=trust)
    text = str(caught.value)
    assert "\n" not in text and path.name in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(("net", "form"), CASES)
def test_a_net_of_keras_2_does_the_same(net: Callable[[], Any], form: str, tmp_path: Path) -> None:
    old = woken(net())
    opened = open_model(saved(old, tmp_path / form))
    check_plain(opened.model)
    check_same(old, opened.model)
    assert "Keras 2" in opened.notes[0] and "carried over" in opened.notes[0]
    names = {layer.name.replace("/", "_") for layer in old.layers}
    assert names <= {layer.name for layer in opened.model._flatten_layers()} | {
        operation.name for operation in getattr(opened.model, "_operations", [])
    }
    again = tmp_path / "again.keras"
    opened.model.save(again)
    check_same(old, edgeprune.load(again))


@pytest.mark.parametrize("form", FORMS)
def test_states_and_masks(form: str, tmp_path: Path) -> None:
    """Two loads of one file are one architecture: a plan for the one fits the other."""
    i = tf_keras.Input((6,), batch_size=3, dtype="int32")
    x = K.Embedding(11, 5, mask_zero=True, name="words")(i)
    x = K.GRU(4, stateful=True, return_sequences=True, name="kept")(x)
    old = tf_keras.Model(i, K.Dense(2)(K.LSTM(6, stateful=True, name="last")(x)))
    path = saved(woken(old), tmp_path / form)
    new = edgeprune.load(path)
    old.reset_states()
    check_same(old, new)
    plan = edgeprune.Plan.cut(edgeprune.trace(new), {"kept": [0]})
    assert edgeprune.cut(edgeprune.load(path), plan).get_layer("kept").units == 3


@pytest.mark.parametrize("form", ["m.h5", "m.keras"])
def test_layers_that_change_images_in_training_only(form: str, tmp_path: Path) -> None:
    x = inputs = tf_keras.Input((8, 8, 3))
    for layer in (
        K.RandomFlip(), K.RandomRotation(0.1), K.RandomZoom(0.2), K.RandomContrast(0.2),
        K.RandomBrightness(0.2, seed=3), K.RandomTranslation(0.1, 0.1), K.GaussianNoise(0.1),
    ):  # fmt: skip
        x = layer(x)
    old = tf_keras.Model(inputs, K.Dense(3)(K.Flatten()(x)))
    check_same(old, open_model(saved(old, tmp_path / form)).model)


def test_an_hdf5_file_under_the_newer_name(tmp_path: Path) -> None:
    old = woken(sequential())
    saved(old, tmp_path / "m.h5").rename(tmp_path / "m.keras")
    check_same(old, edgeprune.load(tmp_path / "m.keras"))


def test_inspect_says_what_was_done(tmp_path: Path) -> None:
    old = woken(sequential())
    facts = inspect_path(Source(saved(old, tmp_path / "m.h5")))
    assert "carried over" in facts["imported"][0] and facts["parameters"] == old.count_params()
    keras.models.save_model(edgeprune.load(tmp_path / "m.h5"), tmp_path / "new.keras")
    assert "imported" not in inspect_path(Source(tmp_path / "new.keras"))


def test_flags_settings_and_shared_layers_are_kept(tmp_path: Path) -> None:
    old = woken(nested())
    old.get_layer("twice").get_layer("body").trainable = False
    new = edgeprune.load(saved(old, tmp_path / "m.h5"))
    assert new.count_params() == old.count_params()
    assert len(new.trainable_weights) == len(old.trainable_weights) == 2
    chain = edgeprune.load(saved(sequential(), tmp_path / "s.h5"))
    assert isinstance(chain, keras.Sequential) and chain.name == "chain"
    dense = chain.layers[-1]
    assert not dense.trainable and isinstance(dense.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(dense.kernel_constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize("form", FORMS)
def test_pruning_wrappers_leave(form: str, tmp_path: Path) -> None:
    tfmot = quiet_tfmot()
    inner = tf_keras.Sequential([K.Dense(6, input_shape=(8,)), K.ReLU()], name="inner")
    whole = tf_keras.Sequential([K.Dense(8, input_shape=(5,)), K.ReLU(), inner, K.Dense(3)])
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    wrapped = woken(tfmot.sparsity.keras.prune_low_magnitude(whole, pruning_schedule=schedule))
    opened = open_model(saved(wrapped, tmp_path / form))
    check_plain(opened.model)
    check_same(wrapped, opened.model)
    assert any("wrappers taken off" in note for note in opened.notes)
    assert os.environ.get("TF_USE_LEGACY_KERAS") is None
    assert tf.keras.__version__.startswith("3")


def quiet_tfmot() -> Any:
    from edgeprune.importing.sources import _tfmot

    return _tfmot()


@pytest.mark.parametrize("form", FORMS)
def test_the_compile_state_comes_along(form: str, tmp_path: Path) -> None:
    old = sequential()
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    old.compile(tf_keras.optimizers.SGD(0.25), loss, metrics=["accuracy"])
    opened = open_model(saved(old, tmp_path / form))
    assert opened.model.compiled and opened.model.loss.get_config()["from_logits"]
    assert float(opened.model.optimizer.learning_rate) == 0.25
    history = opened.model.fit(np.ones((4, 10, 2)), np.zeros(4), verbose=0).history
    assert "accuracy" in history
    old.compile("adam", lambda y, p: tf.reduce_mean(p))
    left = open_model(saved(old, tmp_path / "own.h5"))
    assert not left.model.compiled and "--loss" in left.notes[-1]


def test_savedmodels_without_layers(tmp_path: Path) -> None:
    new = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    new.export(tmp_path / "exported", verbose=False)
    refused(tmp_path / "exported", "holds functions, not layers", ".keras file")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no SavedModel")
    saved(sequential(), tmp_path / "damaged")
    (tmp_path / "damaged" / "keras_metadata.pb").write_bytes(b"\xff" * 40)
    refused(tmp_path / "damaged", "cannot be read")


@pytest.mark.parametrize("form", FORMS)
def test_lambdas_run_only_when_trusted(form: str, tmp_path: Path) -> None:
    old = tf_keras.Sequential([K.Dense(3, input_shape=(4,)), K.Lambda(lambda x: x * 2 + 1)])
    path = saved(woken(old), tmp_path / form)
    refused(path, "--trust-model", "Lambda")
    check_same(old, edgeprune.load(path, trust=True))


def test_a_lambda_of_another_python(tmp_path: Path) -> None:
    old = tf_keras.Sequential([K.Dense(3, input_shape=(4,)), K.Lambda(lambda x: x * 2)])
    path = saved(old, tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["config"]["function"][0] = "b3RoZXI=\n"
        file.attrs["model_config"] = json.dumps(config)
    refused(path, "another Python", trust=True)


class Scaled2(tf_keras.layers.Layer):
    """The layer of a user, as it was in Keras 2."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.offset = self.add_weight("offset", (int(shape[-1]),))
        self.still = self.add_weight("still", (1,), trainable=False)

    def call(self, x: Any) -> Any:
        return x * self.factor + self.offset + self.still

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class Scaled(keras.layers.Layer):
    """The same in Keras 3."""

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.still = self.add_weight((1,), trainable=False, name="still")
        self.offset = self.add_weight((int(shape[-1]),), name="offset")

    def call(self, x: Any) -> Any:
        return x * self.factor + self.offset + self.still

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


Scaled2.__name__ = "Scaled"


@pytest.mark.parametrize("form", FORMS)
def test_a_custom_layer_has_to_be_registered(form: str, tmp_path: Path) -> None:
    x = inputs = tf_keras.Input((4,))
    x = Scaled2(1.5, name="mine")(K.Dense(3)(x))
    old = woken(tf_keras.Model(inputs, K.Dense(2)(x)))
    path = saved(old, tmp_path / form)
    refused(path, "'mine'", "Scaled", "register_keras_serializable", "module:function")
    with keras.saving.custom_object_scope({"Scaled": Scaled}):
        opened = open_model(path)
    check_same(old, opened.model)
    assert isinstance(opened.model.get_layer("mine"), Scaled)
    assert any("'mine'" in note for note in opened.notes)


def test_what_keras_3_does_not_have_is_named(tmp_path: Path) -> None:
    local = tf_keras.Sequential([K.LocallyConnected1D(2, 3, input_shape=(6, 2))])
    refused(saved(local, tmp_path / "local.h5"), "LocallyConnected1D", "Keras 3 has no")
    major = tf_keras.Sequential([K.LSTM(2, time_major=True, batch_input_shape=(3, 2, 4))])
    refused(saved(major, tmp_path / "major.h5"), "'lstm", "time_major")
    inputs = tf_keras.Input((4, 4, 2))
    strange = tf_keras.Model(inputs, tf.math.cumsum(inputs, axis=1))
    refused(saved(strange, tmp_path / "strange.h5"), "tf.math.cumsum", "no counterpart")


def test_wrappers_of_quantisation_are_named(tmp_path: Path) -> None:
    path = saved(sequential(), tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        text = file.attrs["model_config"].replace('"SpatialDropout1D"', '"QuantizeWrapperV2"')
        file.attrs["model_config"] = text
    refused(path, "QuantizeWrapperV2", "before quantize_model")


def test_a_subclassed_model_is_refused(tmp_path: Path) -> None:
    class Own(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = K.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own(np.ones((1, 3), "float32"))
    refused(saved(own, tmp_path / "own"), "Own")


def test_a_layer_that_does_something_else_is_named() -> None:
    old = woken(nested())
    built = replay(old)
    for where, layer, new in built.pairs:
        carry(where, layer, new)
    assert compared(built, old).whole <= 1e-5
    built.model.get_layer("last").bias.assign_add([0.0, 0.0, 1.0])
    with pytest.raises(ModelError, match=r"'last' \(Dense\)"):
        compared(built, old)
    built.model.get_layer("last").bias.assign_sub([0.0, 0.0, 1.0])
    body = built.model.get_layer("twice").get_layer("body")
    body.layers[0].kernel.assign(body.layers[0].kernel * 1.001)
    with pytest.raises(ModelError, match="'twice/body/conv2d"):
        compared(built, old)


def test_keras_2_comes_in_only_with_its_files(tmp_path: Path) -> None:
    new = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    new.save(tmp_path / "new.keras")
    program = (
        "import sys, edgeprune\n"
        "import edgeprune.importing\n"
        f"edgeprune.load({str(tmp_path / 'new.keras')!r})\n"
        "held = [n for n in sys.modules if n.startswith(('tf_keras', 'tensorflow_model_opt'))]\n"
        "assert not held, held\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
