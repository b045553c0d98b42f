"""Distillation: nearer to the teacher, zeros held, labels or none, and every kind of output."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_recovery_fine_tuning import LOSS, Arrays, blobs, net, zeroed

import edgeprune
from edgeprune.errors import DataError, InputError, ModelError
from edgeprune.models import kernels, make_task, values_digest
from edgeprune.recovery import Pace, Teaching, distill, fine_tune
from edgeprune.recovery.answers import averaged, distance, kinds_of
from edgeprune.recovery.features import shared_features

FAST = {"epochs": 3, "learning_rate": 0.01, "batch": 64}


@pytest.fixture(scope="module")
def dense() -> keras.Model:
    model = net()
    data = blobs()
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    model.fit(data.x, data.y, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="module")
def sparse(dense: keras.Model) -> keras.Model:
    model = keras.models.clone_model(dense)
    model.set_weights(dense.get_weights())
    zeroed(model, 0.85)
    return model


def agreement(model: keras.Model, teacher: keras.Model) -> float:
    """KL from the teacher's answers on inputs that nobody trained on."""
    x = blobs(300, 7).x
    wanted, given = (np.asarray(each(x), np.float64) + 1e-12 for each in (teacher, model))
    return float((wanted * np.log(wanted / given)).sum(-1).mean())


def zeros_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {name: np.asarray(kernel.variable) == 0 for name, kernel in kernels(model).items()}


def test_without_labels_it_comes_nearer_to_the_teacher_and_zeros_stay(dense, sparse):
    before = values_digest(dense), values_digest(sparse)
    new = edgeprune.distill(sparse, dense, blobs().x, **FAST)
    assert agreement(new, dense) < 0.5 * agreement(sparse, dense)
    for name, zeros in zeros_of(sparse).items():
        assert not np.asarray(kernels(new)[name].variable)[zeros].any()
    assert (values_digest(dense), values_digest(sparse)) == before


def test_labels_in_the_data_do_not_matter_to_a_teacher_alone(dense, sparse):
    x, y = blobs().x, blobs().y
    plain = edgeprune.distill(sparse, dense, (x,), validation=0, **FAST)
    labelled = edgeprune.distill(sparse, dense, (x, y), validation=0, **FAST)
    mixed = edgeprune.distill(sparse, dense, (x, y), validation=0, alpha=0.5, **FAST)
    # The teacher is compiled: where there are labels, its metric judges, and trains nothing.
    assert values_digest(plain) == values_digest(labelled) != values_digest(mixed)


def test_alpha_of_one_is_fine_tuning_on_the_labels(dense, sparse):
    task = make_task(LOSS, "accuracy", model=dense)
    pace = Pace(2, 0.01, 64)
    alone, _ = distill(
        sparse, dense, blobs(), blobs(200, 1), pace=pace, task=task, teaching=Teaching(alpha=1.0)
    )
    same, _ = fine_tune(
        sparse, blobs(), blobs(200, 1), task=task, epochs=2, learning_rate=0.01, batch_size=64
    )
    for mine, theirs in zip(alone.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_the_loss_to_the_teacher_chooses_the_epoch_and_patience_ends_it(dense, sparse):
    _, history = distill(
        sparse, dense, Arrays(blobs().x, blobs().y), blobs(200, 1),
        pace=Pace(30, 0.5, 64, patience=2),
    )  # fmt: skip
    metrics = [epoch.metric for epoch in history.epochs]
    assert history.metric == "distillation loss" and not history.higher_is_better
    assert history.best_metric == min(metrics)
    assert history.stopped_early and len(history.epochs) == history.best + 3


def test_a_finished_state_is_not_trained_again_and_another_temperature_is_another(
    dense, sparse, tmp_path
):
    again = {"validation": 0.1, "checkpoint": tmp_path, **FAST}
    first = edgeprune.distill(sparse, dense, blobs().x, **again)
    stamp = (tmp_path / "epoch.npz").stat().st_mtime_ns
    second = edgeprune.distill(sparse, dense, blobs().x, **again)
    assert values_digest(first) == values_digest(second)
    assert (tmp_path / "epoch.npz").stat().st_mtime_ns == stamp
    third = edgeprune.distill(sparse, dense, blobs().x, temperature=5.0, **again)
    assert values_digest(third) != values_digest(first)


def test_a_broken_off_training_goes_on_to_the_same_bytes(dense, sparse, tmp_path):
    class Broken(Arrays):
        passes = 0

        def batches(self, size, *, shuffle=None):
            Broken.passes += shuffle is not None
            if Broken.passes == 3:
                raise KeyboardInterrupt
            return super().batches(size, shuffle=shuffle)

    def run(data, folder):
        return distill(
            sparse, dense, data, blobs(200, 1), pace=Pace(4, 0.01, 64, decay="cosine"),
            checkpoint=folder,
        )[0]  # fmt: skip

    whole = run(blobs(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Broken(blobs().x, blobs().y), tmp_path / "broken")
    assert values_digest(run(blobs(), tmp_path / "broken")) == values_digest(whole)


def test_a_teacher_of_another_architecture_teaches_and_one_of_other_outputs_does_not(sparse):
    def teacher(classes: int, inputs: int = 10) -> keras.Model:
        keras.utils.set_random_seed(4)
        layers = [keras.Input((inputs,)), keras.layers.Dense(16, "tanh")]
        return keras.Sequential([*layers, keras.layers.Dense(classes, "softmax")])

    other = teacher(4)
    new = edgeprune.distill(sparse, other, blobs().x, **FAST)
    assert agreement(new, other) < 0.5 * agreement(sparse, other)
    with pytest.raises(ModelError, match=r"the dense model has outputs \(None, 5\), the pruned"):
        edgeprune.distill(sparse, teacher(5), blobs().x, **FAST)
    with pytest.raises(ModelError, match=r"the dense model has inputs \(None, 9\)"):
        edgeprune.distill(sparse, teacher(4, 9), blobs().x, **FAST)


def test_features_are_compared_where_shapes_agree(dense, sparse):
    assert shared_features(sparse, dense, ("auto",)) == ("a", "n")
    plain = edgeprune.distill(sparse, dense, blobs().x, validation=0, **FAST)
    drawn = edgeprune.distill(
        sparse, dense, blobs().x, validation=0, features=("n",), features_weight=100.0, **FAST
    )

    def apart(model):
        shown = [keras.Model(each.inputs[0], each.get_layer("n").output) for each in (model, dense)]
        mine, theirs = (np.asarray(each(blobs(300, 7).x)) for each in shown)
        return float(np.square(mine - theirs).mean())

    assert apart(drawn) < 0.9 * apart(plain)
    narrow = edgeprune.strip(edgeprune.zero(dense, _unit_cut(dense)))
    assert shared_features(narrow, dense, ("auto",)) == ()
    with pytest.raises(InputError, match=r"layer 'a' gives \(None, 31\) in the pruned model"):
        edgeprune.distill(narrow, dense, blobs().x, features=("a",), **FAST)
    with pytest.raises(InputError, match="no layer 'nn' with one output"):
        edgeprune.distill(sparse, dense, blobs().x, features="nn", **FAST)


def _unit_cut(model):
    graph = edgeprune.trace(model)
    return edgeprune.Plan.cut(graph, {"a": [3]})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"temperature": 0.0}, "temperature = 0.0: a finite number above 0"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"alpha": 1.5}, "alpha = 1.5: a share from 0 to 1"),
        ({"alpha": 0.5}, "alpha = 0.5 mixes in labels, and there are none in the data"),
        ({"features_weight": -1.0}, "features_weight"),
        ({"validation": 1.0}, "validation = 1.0: a share"),
        ({"patience": 1, "validation": 0}, "patience needs validation data"),
    ],
)
def test_what_is_out_of_range_is_refused(dense, sparse, settings, said):
    with pytest.raises(InputError, match=said):
        edgeprune.distill(sparse, dense, blobs().x, **(FAST | settings))


def test_fine_tuning_in_python_keeps_zeros_and_takes_what_score_takes(dense, sparse, tmp_path):
    x, y = blobs().x, blobs().y
    asked = {"loss": LOSS, "metric": "loss", "checkpoint": tmp_path, **FAST}
    new = edgeprune.fine_tune(sparse, (x, y), **asked)
    for name, zeros in zeros_of(sparse).items():
        assert not np.asarray(kernels(new)[name].variable)[zeros].any()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(50)
    batches = [(x[:300], y[:300]), (x[300:], y[300:])]
    for data in (stream, batches):
        same = edgeprune.fine_tune(sparse, data, loss=LOSS, metric="loss", **FAST)
        assert values_digest(same) == values_digest(new)
    task = make_task(LOSS, "loss", model=dense)
    loss = {
        each: task.evaluate(task.model_predict(model), blobs(300, 7).batches(64))
        for each, model in (("before", sparse), ("after", new))
    }
    assert loss["after"] < loss["before"]


def test_fine_tuning_needs_labels_and_a_loss(dense):
    with pytest.raises(DataError, match="labels"):
        edgeprune.fine_tune(dense, (blobs().x,), **FAST)
    with pytest.raises(InputError, match="no compiled loss"):
        edgeprune.fine_tune(net(), (blobs().x, blobs().y), **FAST)


# -- the loss itself ------------------------------------------------------------------------------


def test_the_distance_of_softmax_outputs_is_that_of_their_logits():
    rng = np.random.default_rng(0)
    logits = [tf.constant(rng.normal(size=(5, 7)) * 3, tf.float32) for _ in range(2)]
    for temperature in (1.0, 4.0):
        wanted = tf.nn.softmax(logits[0] / temperature)
        log = tf.math.log(wanted) - tf.nn.log_softmax(logits[1] / temperature)
        slow = temperature**2 * tf.reduce_sum(wanted * log, -1)
        raw = distance("class logits", temperature)(*logits)
        soft = distance("classes", temperature)(*map(tf.nn.softmax, logits))
        np.testing.assert_allclose(raw, slow, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(soft, slow, rtol=1e-3, atol=1e-5)
        bits = distance("bits", temperature)(*map(tf.nn.sigmoid, logits))
        np.testing.assert_allclose(
            bits, distance("bit logits", temperature)(*logits), rtol=1e-2, atol=1e-4
        )
        assert (bits.numpy() >= -1e-6).all() and bits.shape == (5,)
    np.testing.assert_allclose(distance("class logits", 3.0)(logits[0], logits[0]), 0, atol=1e-5)


def test_probabilities_of_zero_give_finite_gradients():
    wanted = tf.constant([[1.0, 0.0, 0.0]])
    given = tf.Variable([[0.0, 1.0, 0.0]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(distance("classes", 2.0)(wanted, given))
    assert np.isfinite(value) and np.isfinite(tape.gradient(value, given)).all()


def test_an_example_counts_by_its_weight_also_in_sequences():
    values = tf.constant([[1.0, 3.0], [5.0, 7.0]])
    assert float(averaged(values, None)) == 4.0
    assert float(averaged(values, tf.constant([1.0, 0.0]))) == 1.0


def test_what_an_output_is_comes_from_the_loss_or_the_last_activation():
    given = keras.Input((6,), name="x")
    inner = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")], name="inner")
    outputs = [
        keras.layers.Dense(3, "softmax")(given),
        inner(given),
        keras.layers.Softmax()(keras.layers.Dense(3)(given)),
        keras.layers.Dense(3, "sigmoid")(given),
        keras.layers.Dense(3)(given),
    ]
    model = keras.Model(given, outputs)
    assert kinds_of(model, None) == ("classes", "classes", "classes", "bits", "numbers")
    logits = keras.Model(given, outputs[-1])
    of = {
        "class logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "bit logits": keras.losses.BinaryCrossentropy(from_logits=True),
        "numbers": keras.losses.MeanSquaredError(),
    }
    for kind, loss in of.items():
        task = make_task(loss, "loss", model=logits)
        assert kinds_of(logits, task) == (kind,)


@pytest.mark.parametrize("end", ["two", "regression", "bits"])
def test_several_outputs_regression_and_sigmoids_come_nearer_too(end):
    def made(seed):
        keras.utils.set_random_seed(seed)
        given = keras.Input((10,), name="x")
        hidden = keras.layers.Dense(24, "relu", name="a")(given)
        heads = {
            "two": [keras.layers.Dense(3, "softmax")(hidden), keras.layers.Dense(2)(hidden)],
            "regression": [keras.layers.Dense(2)(hidden)],
            "bits": [keras.layers.Dense(4, "sigmoid")(hidden)],
        }[end]
        return keras.Model(given, heads)

    teacher, student = made(1), made(2)
    x = blobs().x
    new = edgeprune.distill(student, teacher, x, **FAST)

    def apart(model):
        pairs = zip(_all(model(x)), _all(teacher(x)), strict=True)
        return [float(np.square(np.asarray(a) - np.asarray(b)).mean()) for a, b in pairs]

    assert all(
        after < 0.6 * before for after, before in zip(apart(new), apart(student), strict=True)
    )


def _all(outputs):
    return outputs if isinstance(outputs, list | tuple) else [outputs]


def test_facts_of_an_aim_are_json():
    from edgeprune.recovery.teaching import by_teacher

    aiming = by_teacher(net(), Teaching(), None, labels=False)
    json.dumps(aiming.facts)
