"""Zeros stay zero, whatever trains the model and whatever callbacks stand beside."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import edgeprune
from edgeprune.errors import PlanError
from edgeprune.models import architecture_digest, clone, kernels, named_weights, values_digest
from edgeprune.planning import make_plan
from edgeprune.plans import Cut, Plan
from edgeprune.recovery import hold
from edgeprune.scoring import score_model


def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(16, activation="relu", name="dense"),
            keras.layers.Dense(3, activation="softmax", name="head"),
        ]
    )


def data(n=96):
    random = np.random.default_rng(0)
    return random.normal(size=(n, 8, 8, 1)).astype(np.float32), random.integers(0, 3, n)


def zeroed(model, plan):
    for mask in plan.masks:
        variable = named_weights(model)[mask.weight]
        variable.assign(np.asarray(variable) * mask.keep)
    return model


def planned(model):
    return make_plan(score_model(model, None, method="magnitude"), sparsity=0.8)


def broken(model, plan) -> list[str]:
    """Kernels in which a planned zero is none."""
    weights = named_weights(model)
    return [m.weight for m in plan.masks if np.asarray(weights[m.weight])[~m.keep].any()]


def sgd(**settings):
    return keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, **settings)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "momentum": sgd,
    "weight decay": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "ema": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
    "ema often": lambda: sgd(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2),
}


@pytest.mark.parametrize("with_plan", [True, False], ids=["hold(plan)", "hold()"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_any_optimizer(optimizer, with_plan):
    model = net()
    plan = planned(model)
    zeroed(model, plan)
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    before = {name: np.asarray(v) for name, v in named_weights(model).items()}
    callback = hold(plan) if with_plan else hold()
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[callback])
    assert broken(model, plan) == []
    for mask in plan.masks:
        moved = np.asarray(named_weights(model)[mask.weight]) != before[mask.weight]
        assert moved[mask.keep].mean() > 0.5  # what is not held is trained


@pytest.mark.parametrize("settings", [{"steps_per_execution": 3}, {"jit_compile": True}], ids=str)
def test_several_steps_an_execution_and_xla(settings):
    model = net()
    plan = planned(model)
    zeroed(model, plan)
    model.compile(sgd(use_ema=True), "sparse_categorical_crossentropy", **settings)
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[hold(plan)])
    assert broken(model, plan) == []


class Watch(keras.callbacks.Callback):
    """Sees the weights before ``hold`` at every end of a batch."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.seen = plan, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen += broken(self.model, self.plan)

    on_epoch_end = on_train_batch_end


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("ema", [True, False], ids=["ema", "plain"])
def test_checkpoints_and_early_stop_in_either_order(tmp_path, first, ema):
    model = net()
    plan = planned(model)
    zeroed(model, plan)
    model.compile(keras.optimizers.Adam(0.01, use_ema=ema), "sparse_categorical_crossentropy")
    watch = Watch(plan)
    others = [
        watch,
        keras.callbacks.ModelCheckpoint(tmp_path / "batch-{batch}.keras", save_freq=2),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True),
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
    ]
    if ema:
        others.insert(1, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    callbacks = [hold(plan), *others] if first else [*others, hold(plan)]
    x, y = data()
    model.fit(
        x, y, batch_size=16, epochs=4, verbose=0, callbacks=callbacks,
        validation_data=(x, np.roll(y, 1)),
    )  # fmt: skip
    assert broken(model, plan) == []
    assert watch.seen == []
    files = sorted(tmp_path.glob("*.keras"))
    assert len(files) >= 3
    for file in files:
        saved = keras.models.load_model(file)
        assert broken(saved, plan) == []
        assert architecture_digest(saved) == plan.model


def test_nothing_stays_behind(tmp_path):
    model = net()
    plan = planned(model)
    zeroed(model, plan)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=1, verbose=0, callbacks=[hold(plan)])
    assert all(kernel.variable.constraint is None for kernel in kernels(model).values())
    config = keras.saving.serialize_keras_object(model)
    assert config["config"] == keras.saving.serialize_keras_object(clone(model))["config"]
    model.fit(*data(), epochs=1, verbose=0)  # without hold, everything trains again
    assert broken(model, plan)


def test_a_users_own_constraint_still_holds():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, kernel_constraint=keras.constraints.NonNeg(), name="a"),
            keras.layers.Dense(3, activation="softmax", name="b"),
        ]
    )
    plan = planned(model)
    zeroed(model, plan)
    model.compile(sgd(), "sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 4)), random.integers(0, 3, 64)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[hold(plan)])
    assert broken(model, plan) == []
    kernel = kernels(model)["a/kernel"].variable
    assert (np.asarray(kernel) >= 0).all()
    assert isinstance(kernel.constraint, keras.constraints.NonNeg)


def test_training_again_after_training_without_hold():
    model = net()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=1, verbose=0)  # its step is traced without constraints
    plan = planned(model)
    zeroed(model, plan)
    watch = Watch(plan)
    model.fit(*data(), epochs=1, batch_size=16, verbose=0, callbacks=[watch, hold()])
    assert watch.seen == []
    assert broken(model, plan) == []


def test_a_plan_fits_whatever_the_values_have_become_and_no_other_model():
    plan = planned(net())
    other = net()
    for variable in other.trainable_variables:
        variable.assign(np.ones(variable.shape))
    other.compile("adam", "sparse_categorical_crossentropy")
    other.fit(*data(), epochs=1, verbose=0, callbacks=[hold(plan)])
    assert broken(other, plan) == []
    wider = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    wider.add(keras.layers.Dense(3, activation="softmax"))
    wider.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(PlanError, match=r"another model.*hold\(\)"):
        wider.fit(*data(), epochs=1, verbose=0, callbacks=[hold(plan)])


@keras.saving.register_keras_serializable("tests")
class Stepping(keras.Model):
    """A training step of its own."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, [each.value for each in self.trainable_variables])
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


@pytest.mark.parametrize("by_plan", [True, False])
def test_a_training_step_of_ones_own(by_plan):
    model = net()
    if by_plan:  # which is of this architecture; a Sequential is another one
        model = keras.Model(model.inputs, model.outputs)
    plan = planned(model)
    zeroed(model, plan)
    mine = Stepping(model.inputs, model.outputs)
    mine.compile("adam", "sparse_categorical_crossentropy")
    before = {name: np.array(value) for name, value in named_weights(mine).items()}
    mine.fit(*data(), epochs=2, verbose=0, callbacks=[hold(plan) if by_plan else hold()])
    assert broken(mine, plan) == []
    assert any(
        (np.array(value) != before[name]).any() for name, value in named_weights(mine).items()
    )


def test_a_loop_of_ones_own():
    model = net()
    plan = planned(model)
    zeroed(model, plan)
    x, y = data(32)
    holding = hold(plan)
    holding.set_model(model)
    holding.on_train_begin()
    for step in range(3):
        with tf.GradientTape() as tape:
            loss = keras.losses.sparse_categorical_crossentropy(y, model(x, training=True))
        variables = [v.value for v in model.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.01 * gradient)
        holding.on_train_batch_end(step)
        assert broken(model, plan) == []
    holding.on_train_end()


def silenced(model, layer, channels, reader, rows):
    weights = named_weights(model)
    for name, value in weights.items():
        array = np.array(value)
        if name.startswith((f"{layer}/", "norm/gamma", "norm/beta")):
            array[..., channels] = 0
        elif name == reader:
            array[np.isin(np.arange(array.shape[0]) % rows, channels)] = 0
        value.assign(array)


@pytest.mark.parametrize("optimizer", ["adam", "weight decay", "ema"])
def test_the_zeros_of_cuts_stay_biases_and_normalisation_too(optimizer):
    model = net()
    plan = Plan(architecture_digest(model), cuts=(Cut("conv", np.array([1, 3], np.int32)),))
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    with pytest.raises(PlanError, match=r"'conv'.*zero\(model, plan\)"):
        model.fit(*data(), epochs=1, verbose=0, callbacks=[hold(plan)])
    silenced(model, "conv", [1, 3], "dense/kernel", 4)
    names = ("conv/", "norm/gamma", "norm/beta", "dense/kernel")
    zeros = {n: np.asarray(v) == 0 for n, v in named_weights(model).items() if n.startswith(names)}
    # what nothing forces to zero, such as a fresh bias, may move
    zeros["conv/bias"] = zeros["norm/beta"] = np.array([False, True, False, True])
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[hold(plan)])
    for name, where in zeros.items():
        value = np.asarray(named_weights(model)[name])
        assert not value[where].any(), name
    assert np.asarray(named_weights(model)["conv/bias"])[[0, 2]].any()


# -- cuts, with edgeprune.hold, which knows what they take ------------------------------------


def cut_plan(model):
    return Plan.cut(edgeprune.trace(model), {"conv": [1, 3], "dense": [0, 2, 9]})


def intact(model, plan) -> bool:
    """Whether carrying the plan out again would change nothing."""
    return values_digest(edgeprune.zero(model, plan)) == values_digest(model)


@pytest.mark.parametrize("start", ["zeroed", "regrown", "never zeroed"])
@pytest.mark.parametrize("optimizer", ["momentum", "weight decay", "ema"])
def test_a_plan_of_cuts_fits_whatever_the_values_have_become(optimizer, start):
    model = net()
    plan = cut_plan(model)
    if start != "never zeroed":
        model = edgeprune.zero(model, plan)
    if start == "regrown":
        kernel = named_weights(model)["conv/kernel"]
        kernel.assign(np.asarray(kernel) + 0.1)
        reader = named_weights(model)["dense/kernel"]
        reader.assign(np.asarray(reader) + 0.1)
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    before = {name: np.asarray(value) for name, value in named_weights(model).items()}
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[edgeprune.hold(plan)])
    assert intact(model, plan)
    for name in ("conv/kernel", "norm/gamma", "dense/kernel", "head/kernel"):
        value = np.asarray(named_weights(model)[name])
        assert (value != before[name])[value != 0].mean() > 0.5, name  # the rest is trained
    sizes = {group.name: group.size for group in edgeprune.trace(edgeprune.strip(model))}
    assert (sizes["conv"], sizes["dense"]) == (2, 13)


@pytest.mark.parametrize("settings", [{"steps_per_execution": 3}, {"jit_compile": True}], ids=str)
def test_cuts_with_several_steps_an_execution_and_xla(settings):
    model = net()
    plan = cut_plan(model)
    model.compile(sgd(use_ema=True), "sparse_categorical_crossentropy", **settings)
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[edgeprune.hold(plan)])
    assert intact(model, plan)


@pytest.mark.parametrize("first", [True, False], ids=["hold first", "hold last"])
def test_cuts_beside_checkpoints_and_early_stop(tmp_path, first):
    model = net()
    plan = cut_plan(model)
    model.compile(keras.optimizers.Adam(0.01, use_ema=True), "sparse_categorical_crossentropy")
    others = [
        keras.callbacks.ModelCheckpoint(tmp_path / "batch-{batch}.keras", save_freq=2),
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
    ]
    callbacks = [edgeprune.hold(plan), *others] if first else [*others, edgeprune.hold(plan)]
    x, y = data()
    model.fit(
        x, y, batch_size=16, epochs=4, verbose=0, callbacks=callbacks,
        validation_data=(x, np.roll(y, 1)),
    )  # fmt: skip
    files = sorted(tmp_path.glob("*.keras"))
    assert files
    for found in (model, *map(keras.models.load_model, files)):
        assert intact(found, plan)


def test_a_cut_of_a_group_that_is_not_there():
    model = net()
    plan = Plan(architecture_digest(model), cuts=(Cut("convv", np.array([1], np.int32)),))
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(PlanError, match="'convv'"):
        model.fit(*data(), epochs=1, verbose=0, callbacks=[edgeprune.hold(plan)])
