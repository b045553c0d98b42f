"""Losses and metrics by name, compiled, or from a user's module; evaluation over batches."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import DataError, InputError
from edgeprune.models import make_objective, make_task
from edgeprune.progress import SILENT
from edgeprune.scoring import score_model


def classifier(classes: int = 3, **settings):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(classes, activation="softmax")]
    )
    if settings:
        model.compile(**settings)
    return model


def two_headed(**settings):
    x = keras.Input((4,), name="x")
    outputs = {
        "first": keras.layers.Dense(3, activation="softmax", name="first")(x),
        "second": keras.layers.Dense(1, name="second")(x),
    }
    model = keras.Model(x, list(outputs.values()))
    if settings:
        model.compile(**settings)
    return model


def data(n: int = 50, classes: int = 3):
    random = np.random.default_rng(0)
    x = random.normal(size=(n, 4)).astype(np.float32)
    return x, random.integers(0, classes, n)


def batched(*arrays, size=16):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def test_accuracy_fits_labels_and_outputs():
    x, y = data()
    model = classifier()
    answers = np.asarray(model(x)).argmax(-1)
    for labels in (y, y[:, None], np.eye(3, dtype=np.float32)[y]):
        loss = "categorical_crossentropy" if labels.shape[-1] == 3 else "crossentropy"
        task = make_task(loss, "accuracy", model=model)
        assert task.higher_is_better
        value = task.evaluate(task.model_predict(model), batched(x, labels))
        assert value == pytest.approx((answers == y).mean())


def test_binary_accuracy_and_auc_are_those_of_the_whole_set():
    x, y = data(64, 2)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    task = make_task("binary_crossentropy", "accuracy", model=model)
    predict = task.model_predict(model)
    right = ((predict(x)[:, 0] > 0.5) == y).mean()
    assert task.evaluate(predict, batched(x, y, size=7)) == pytest.approx(right)
    auc = make_task("binary_crossentropy", "AUC", model=model)
    whole = keras.metrics.AUC()
    whole.update_state(y[:, None], predict(x))
    assert auc.evaluate(predict, batched(x, y[:, None], size=7)) == pytest.approx(
        float(whole.result())
    )


def test_the_compiled_loss_and_metric_are_taken():
    model = classifier(loss="sparse_categorical_crossentropy", metrics=["accuracy", "mse"])
    task = make_task(model=model)
    assert (task.metric_name, task.higher_is_better) == ("accuracy", True)
    assert task.loss.name == "sparse_categorical_crossentropy"
    x, y = data()
    outputs = model(x)
    wanted = keras.losses.sparse_categorical_crossentropy(y, outputs)
    assert float(task.loss((y,), (outputs,))) == pytest.approx(float(np.mean(wanted)), rel=1e-6)


def test_compiled_state_survives_a_file(tmp_path):
    model = classifier(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2)],
    )
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x, y = data()
    values = [
        (task.evaluate(task.model_predict(m), batched(x, y)), float(task.loss((y,), (m(x),))))
        for m in (model, loaded)
        for task in [make_task(model=m)]
    ]
    assert values[0] == pytest.approx(values[1])


def test_without_compiled_metrics_the_loss_judges():
    model = classifier(loss="sparse_categorical_crossentropy")
    task = make_task(model=model)
    assert (task.metric_name, task.higher_is_better) == ("loss", False)
    x, y = data()
    whole = float(task.loss((y,), (model(x),)))
    assert task.evaluate(task.model_predict(model), batched(x, y)) == pytest.approx(whole, rel=1e-5)


def test_several_outputs():
    model = two_headed(
        loss={"first": "sparse_categorical_crossentropy", "second": "mse"},
        loss_weights={"first": 1.0, "second": 0.5},
        metrics={"second": ["mae"]},
    )
    x, y = data()
    target = x.sum(axis=1, keepdims=True)
    first, second = model(x)
    task = make_task(model=model)
    wanted = np.mean(keras.losses.sparse_categorical_crossentropy(y, first)) + 0.5 * np.mean(
        (np.asarray(second) - target) ** 2
    )
    assert float(task.loss((y, target), (first, second))) == pytest.approx(wanted, rel=1e-5)
    assert (task.metric_name, task.higher_is_better) == ("second:mae", False)
    batches = [(a, (b, c)) for a, b, c in batched(x, y, target)]
    by_name = [(a, {"second": c, "first": b}) for a, b, c in batched(x, y, target)]
    mae = np.abs(np.asarray(second) - target).mean()
    predict = task.model_predict(model)
    assert task.evaluate(predict, batches) == pytest.approx(mae, rel=1e-5)
    assert task.evaluate(predict, by_name) == pytest.approx(mae, rel=1e-5)
    first_task = make_task(metric="accuracy", model=model)
    assert first_task.evaluate(predict, batches) == pytest.approx(
        (np.asarray(first).argmax(-1) == y).mean()
    )
    assert make_task(metric="second:mse", model=model).metric_name == "second:mse"


def test_of_several_outputs_it_is_said_which_is_not_judged():
    """The metric judges one of them: whoever prunes has to know."""
    every = {"loss": ["mse", "mse"]}
    judged = make_task(**every, metric="mae", model=two_headed()).unjudged
    first, second = make_task(**every, metric="mae", model=two_headed()).outputs
    assert judged is not None
    assert judged.startswith(f"judged by mae of {first!r}; {second!r} is not judged (choose with")
    other = make_task(**every, metric=f"{second}:mae", model=two_headed()).unjudged
    assert other is not None and f"judged by mae of {second!r}; {first!r} is not judged" in other
    assert make_task(**every, metric="loss", model=two_headed()).unjudged is None
    assert make_task("mse", "mae", model=classifier()).unjudged is None


def test_every_function_that_judges_says_what_it_does_not():
    model = two_headed()
    model.compile("adam", ["mse", "mse"], metrics=[["mae"], ["mse"]])
    told = []

    class Told(type(SILENT)):
        def say(self, line):
            told.append(line)

    x, _ = data(60)
    y = (np.eye(3, dtype="float32")[np.arange(60) % 3], x[:, :1])
    for does in (
        lambda: edgeprune.fine_tune(model, (x, y), epochs=1, progress=Told()),
        lambda: edgeprune.distill(model, model, (x, y), epochs=1, progress=Told()),
        lambda: edgeprune.scan(model, (x, y), of="weights", ratios=[0.5], progress=Told()),
        lambda: edgeprune.search(
            model, (x, y), max_drop=100.0, grid=[0.5], folds=2, progress=Told()
        ),
        lambda: edgeprune.prune(model, (x, y), sparsity=0.5, epochs=1, progress=Told()),
    ):
        told.clear()
        does()
        assert len([line for line in told if line.startswith("note: judged by mae of")]) == 1, told


def test_sample_weights_weigh_the_loss():
    model = classifier(loss="sparse_categorical_crossentropy")
    x, y = data()
    weights = np.linspace(0, 1, len(x)).astype(np.float32)
    objective = make_objective(model=model)
    each = np.asarray(keras.losses.sparse_categorical_crossentropy(y, model(x)))
    value = objective((y,), (model(x),), (weights,))
    assert float(value) == pytest.approx(float((each * weights).mean()), rel=1e-5)


def test_a_users_own_functions(tmp_path):
    (tmp_path / "mine_task.py").write_text(
        "import keras\n"
        "def cubic(y, p):\n    return keras.ops.mean(keras.ops.abs(y - p) ** 3, axis=-1)\n"
        "def worst():\n    return keras.metrics.MeanAbsoluteError(name='worst')\n"
    )
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    task = make_task("mine_task:cubic", "mine_task:worst", False, model=model, base=tmp_path)
    x, _ = data()
    target = x[:, :1]
    wanted = (np.abs(target - np.asarray(model(x))) ** 3).mean()
    assert float(task.loss((target,), (model(x),))) == pytest.approx(wanted, rel=1e-5)
    assert task.evaluate(task.model_predict(model), batched(x, target)) == pytest.approx(
        np.abs(target - np.asarray(model(x))).mean(), rel=1e-5
    )
    with pytest.raises(InputError, match="higher_is_better"):
        make_task("mse", "mine_task:cubic", model=model, base=tmp_path)
    with pytest.raises(InputError, match="no 'cubik'; did you mean 'cubic'"):
        make_task("mine_task:cubik", "mae", model=model, base=tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"loss": "sparse_categorical_crossentropi", "metric": "accuracy"}, "did you mean"),
        ({"loss": "mse", "metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"metric": "accuracy"}, "no compiled loss"),
        ({"loss": "mse"}, "no compiled metric"),
        ({"loss": "mse", "metric": "mean_io_u"}, "needs arguments|no metric"),
        ({"loss": {"nothing": "mse"}, "metric": "mae"}, "no such output"),
    ],
)
def test_what_cannot_be_resolved_says_so_in_one_line(asked, said):
    with pytest.raises(InputError, match=said) as caught:
        make_task(**asked, model=classifier())
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_fit_are_named():
    model = classifier()
    task = make_task("categorical_crossentropy", "accuracy", model=model)
    x, y = data()
    with pytest.raises(DataError, match=r"'categorical_crossentropy' does not fit labels of shape"):
        task.loss((np.eye(4)[y],), (model(x),))
    with pytest.raises(DataError, match="labels"):
        task.evaluate(task.model_predict(model), [(x,)])
    with pytest.raises(DataError, match="no examples"):
        task.evaluate(task.model_predict(model), [])


@pytest.mark.parametrize(
    ("loss", "one_hot", "said"),
    [
        ("sparse_categorical_crossentropy", True, r"use 'categorical_crossentropy', or y\.argmax"),
        ("categorical_crossentropy", False, r"use 'sparse_categorical_crossentropy', or .*, 3\)"),
        ("mse", False, r"does not fit class-number labels and 3 outputs; use 'sparse_categor"),
        ("kl_divergence", False, r"does not fit class-number labels and 3 outputs"),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), True, "wants class numbers"),
    ],
)
def test_labels_of_the_other_kind_are_refused_in_one_line(loss, one_hot, said):
    model = classifier()
    x, y = data(3)  # as many examples as classes: what broadcasts would give a number
    labels = np.eye(3, dtype=np.float32)[y] if one_hot else y
    task = make_task(loss, "accuracy", model=model)
    with pytest.raises(DataError, match=said) as eager:
        task.fits(task.model_predict(model), (x, labels))
    with pytest.raises(DataError, match=said) as compiled:  # inside a tf.function
        score_model(model, [(x, labels)], loss=loss)
    with pytest.raises(DataError, match=said):
        score_model(model, [(x, labels if one_hot else y[:, None])], loss=loss)
    assert str(eager.value) == str(compiled.value) and "\n" not in str(eager.value)


@pytest.mark.parametrize(
    ("metric", "one_hot", "said"),
    [
        ("mean_squared_error", False, "does not fit class-number labels and 3 outputs; use 'accur"),
        ("categorical_accuracy", False, "use 'sparse_categorical_accuracy'"),
        ("RootMeanSquaredError", False, "does not fit class-number labels"),
        ("sparse_categorical_accuracy", True, "use 'categorical_accuracy', or y.argmax"),
        ("SparseTopKCategoricalAccuracy", True, "use 'top_k_categorical_accuracy'"),
    ],
)
def test_a_metric_of_the_other_kind_is_refused_in_one_line(metric, one_hot, said):
    model = classifier()
    x, y = data(51)
    task = make_task("crossentropy", metric, model=model)
    with pytest.raises(DataError, match=said) as caught:
        task.evaluate(task.model_predict(model), [(x, np.eye(3)[y] if one_hot else y)])
    assert "\n" not in str(caught.value)


def test_what_only_tensorflow_refuses_is_one_line(tmp_path):
    (tmp_path / "mine_loss.py").write_text(
        "import keras\n"
        "def squares(y, p):\n"
        "    return keras.ops.mean((keras.ops.cast(y, 'float32') - p) ** 2, -1)\n"
    )
    model = classifier()
    x, y = data(51)
    task = make_task("mine_loss:squares", "mine_loss:squares", False, model=model, base=tmp_path)
    for call in (
        lambda: task.fits(task.model_predict(model), (x, y)),
        lambda: score_model(model, [(x, y)], loss=task.loss),
        lambda: task.evaluate(task.model_predict(model), [(x, y)]),
    ):
        with pytest.raises(InputError, match=r"does not fit labels|does not go through") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_an_accuracy_at_chance_is_told_where_there_are_enough_examples_to_tell():
    task = make_task("mse", "accuracy", model=classifier())
    even = np.arange(300) % 3
    assert task.at_chance(1 / 3, even) and task.at_chance(0.38, np.eye(3)[even])
    assert not task.at_chance(0.5, even)
    # A perfect model; one class; examples so few that even a perfect model could not be told.
    assert not task.at_chance(1.0, even)
    assert not task.at_chance(1.0, np.zeros(2, int))
    assert not task.at_chance(0.5, np.array([0, 1]))
    assert not make_task("mse", "mae", model=classifier()).at_chance(0.0, even)


def test_anything_beats_nan():
    task = make_task("mse", "accuracy", model=classifier())
    assert task.improves(0.6, 0.5)
    assert task.improves(0.1, float("nan"))
    assert not task.improves(float("nan"), None)
    assert make_task("mse", "mae", model=classifier()).improves(0.1, 0.2)


def test_one_trace_for_any_batch_size():
    traces = []

    class Spy(keras.layers.Layer):
        def call(self, x):
            traces.append(x.shape)
            return x

    model = keras.Sequential([keras.Input((4,)), Spy(), keras.layers.Dense(2)])
    predict = make_task("mse", "mae", model=model).model_predict(model)
    traces.clear()
    for size in (8, 3, 1, 5):
        assert predict(np.zeros((size, 4), np.float32)).shape == (size, 2)
    assert len(traces) == 1


def test_dict_and_tuple_inputs_in_the_models_order():
    left, right = keras.Input((2,), name="b"), keras.Input((3,), name="a")
    model = keras.Model({"b": left, "a": right}, keras.layers.Concatenate()([left, right]))
    predict = make_task("mse", "mae", model=model).model_predict(model)
    order = [t.name for t in model.inputs]
    parts = {"b": np.ones((5, 2), np.float32), "a": np.full((5, 3), 2, np.float32)}
    for x in (parts, tuple(parts[name] for name in order)):
        assert predict(x)[0].tolist() == [1, 1, 2, 2, 2]
