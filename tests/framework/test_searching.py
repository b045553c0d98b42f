"""The largest share within a budget: found by cross-validation, and kept on data it never saw."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import DataError, InputError, PlanError
from edgeprune.feeding import as_dataset
from edgeprune.models import make_task, values_digest
from edgeprune.models.marks import Judge
from edgeprune.progress import SILENT
from edgeprune.surgery import Trial, trace, zero

L = keras.layers
CENTRES = np.random.default_rng(0).normal(size=(4, 12)).astype("float32") * 1.5


def drawn(seed: int, examples: int) -> tuple[Any, Any]:
    """Four clouds that overlap a little."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, examples)
    return (CENTRES[y] + random.normal(size=(examples, 12))).astype("float32"), y


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    x, y = drawn(1, 2000)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            L.Dense(24, activation="relu", name="a"),
            L.Dense(16, activation="relu", name="b"),
            L.Dense(4, activation="softmax", name="c"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=15, batch_size=64, verbose=0)
    return model


def accuracy(model: Any, x: Any, y: Any) -> float:
    return float((np.asarray(model(x)).argmax(axis=1) == y).mean())


@pytest.fixture(scope="module")
def found(model: Any) -> edgeprune.Search:
    return edgeprune.search(model, drawn(2, 1500), max_drop=0.03)


def test_the_drop_is_within_the_budget_on_data_that_it_never_saw(model, found) -> None:
    x, y = drawn(3, 4000)
    assert found.share > 0.2
    lost = accuracy(model, x, y) - accuracy(edgeprune.zero(model, found.plan), x, y)
    assert lost <= 0.03
    # Not for want of trying: the next share that was tried might lose more.
    beyond = [point for point in found.points if point.share > found.share]
    assert beyond and min(point.most for point in beyond) > 0.03
    assert min(point.share for point in beyond) < 1 - (1 - found.share) / 1.03


def test_it_tells_points_folds_and_spread(found) -> None:
    facts = found.facts()
    assert found.point.most <= 0.03 and found.point.drop.examples == 1500
    assert len(found.folds) == 5 and facts["spread"] == pytest.approx(np.std(found.folds))
    assert all(fold > 0 for fold in found.folds)
    shares = [point["share"] for point in facts["points"]]
    assert shares == sorted(shares) and facts["evaluations"] >= 5 * len(shares)
    assert found.plan.why["search"] == facts
    assert found.plan.why["asked"] == {"sparsity": found.share}


def test_it_is_a_function_of_its_arguments_and_leaves_the_model_alone(model, found) -> None:
    before = values_digest(model)
    again = edgeprune.search(model, drawn(2, 1500), max_drop=0.03)
    assert again.facts() == found.facts() and again.plan.digest() == found.plan.digest()
    assert values_digest(model) == before
    assert edgeprune.search(model, drawn(2, 1500), max_drop=0.03, seed=1).facts() != found.facts()


def test_a_grid_takes_the_largest_before_the_first_that_fails(model) -> None:
    grid = (0.9, 0.1, 0.3)
    found = edgeprune.search(model, drawn(2, 1500), max_drop=0.03, grid=grid)
    assert [point.share for point in found.points] == [0.1, 0.3, 0.9]
    assert found.share == 0.3 and found.point.most <= 0.03 < found.points[-1].most
    assert set(found.folds) <= {0.0, 0.1, 0.3, 0.9}


def test_channels_and_a_score_that_reads_no_data(model) -> None:
    found = edgeprune.search(
        model, drawn(2, 1500), max_drop=0.05, of="channels", method="magnitude", folds=3
    )
    assert found.of == "channels" and found.plan.cuts and not found.plan.masks
    assert len(found.folds) == 3


def test_steps_that_do_not_train_are_done_after_each_plan() -> None:
    keras.utils.set_random_seed(0)
    x, y = drawn(1, 2000)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            L.Dense(24, name="a"),
            L.BatchNormalization(name="norm"),
            L.ReLU(),
            L.Dense(4, activation="softmax", name="c"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=10, batch_size=64, verbose=0)
    settings: dict[str, Any] = {"max_drop": 0.05, "grid": (0.6,), "folds": 2}
    bare = edgeprune.search(model, drawn(2, 1000), **settings | {"max_drop": 1})
    found = edgeprune.search(
        model, drawn(2, 1000), recover=("batchnorm",), **settings | {"max_drop": 1}
    )
    # The drop is that of the model with statistics taken anew on what did not judge it.
    assert found.plan.digest() == bare.plan.digest()
    assert found.point.drop.value < bare.point.drop.value
    with pytest.raises(PlanError, match="'finetune' trains after each"):
        edgeprune.search(model, drawn(2, 1000), recover=("finetune",), **settings)
    with pytest.raises(InputError, match="did you mean 'batchnorm'"):
        edgeprune.search(model, drawn(2, 1000), recover=("batchnrm",), **settings)


def test_no_fold_is_judged_by_scores_that_saw_it(model, monkeypatch) -> None:
    from edgeprune.pipeline import searching

    seen: list[Any] = []
    score = searching.score_model

    def listening(model: Any, batches: Any, **settings: Any) -> Any:
        seen.append(np.concatenate([batch[0][:, 0] for batch in batches]))
        return score(model, batches, **settings)

    monkeypatch.setattr(searching, "score_model", listening)
    x, y = drawn(2, 400)
    edgeprune.search(model, (x, y), max_drop=0.1, folds=4)
    *folds, whole = seen
    assert [len(each) for each in folds] == [300] * 4 and len(whole) == 400
    left = [set(x[:, 0].tolist()) - set(each.tolist()) for each in folds]
    assert set().union(*left) == set(x[:, 0].tolist()) and sum(map(len, left)) == 400


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_drop": -1.0}, "max_drop = -1.0"),
        ({"max_drop": float("nan")}, "max_drop = nan"),
        ({"max_drop": 0.1, "folds": 1}, "at least 2"),
        ({"max_drop": 0.1, "grid": [0.5, 1.0]}, "1.0 is no share"),
        ({"max_drop": 0.1, "confidence": 1.0}, "confidence = 1.0"),
        ({"max_drop": 0.1, "of": "weights"}, "not of 'weights'"),
        ({"max_drop": 1e-6}, "give more examples"),
        ({"max_drop": 0.01, "grid": [0.99]}, "allow more"),
        ({"max_drop": 0.1, "folds": 300}, "two a fold"),
        ({"max_drop": 0.1, "exclude": ["*"]}, "nothing but what is excluded|at most 0"),
    ],
)
def test_what_cannot_be_is_one_line(model, settings, said) -> None:
    with pytest.raises(PlanError, match=said) as error:
        edgeprune.search(model, drawn(2, 400), **settings)
    assert "\n" not in str(error.value)


def test_data_without_labels_is_refused(model) -> None:
    with pytest.raises(DataError, match="labels"):
        edgeprune.search(model, (drawn(2, 100)[0],), max_drop=0.1)


RUN = ["prune.rounds=1", "finetune.epochs=1", 'export.formats=["fp32"]', "gates.unmeasured='allow'"]


def test_a_run_searches_before_its_rounds_and_never_in_the_evaluation_set(project) -> None:
    from edgeprune.pipeline import dry_run, run

    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace("sparsity = 0.6", 'search = "sparsity"\nmax_drop = 0.2')
    recipe.write_text(text)
    result = run(recipe, sets=RUN)
    (file,) = (project / ".edgeprune" / "stages" / "search").glob("*/search.json")
    search = json.loads(file.read_text())
    assert search["examples"] == 96 and len(search["folds"]) == 5 and search["most"] <= 0.2
    assert 0 <= result.sparsity - search["share"] < 0.05
    assert search["line"] in result.notes
    # Labels that are all wrong: nothing before the evaluation may notice.
    with np.load(project / "data.npz") as arrays:
        spoilt = dict(arrays) | {"y_test": np.zeros_like(arrays["y_test"])}
    np.savez(project / "data.npz", **spoilt)
    sets = [*RUN, "gates.max_metric_drop=1"]
    again = run(recipe, sets=sets)
    files = (project / ".edgeprune" / "stages" / "search").glob("*/search.json")
    assert [json.loads(each.read_text()) for each in files] == [search, search]
    assert again.plan == result.plan and again.rows[0].metric != result.rows[0].metric
    # Fewer folds are another search; a quick run has no budget and takes a half.
    fewer = dry_run(recipe, sets=[*sets, "prune.folds=3"])
    waiting = {state.stage for state in fewer if not state.done}
    assert {"search", "round-1"} <= waiting and "check" not in waiting
    assert 0.5 <= run(recipe, sets=RUN, quick=True).sparsity < 0.6


def test_prune_searches_first_and_goes_to_the_share_that_it_found(model) -> None:
    told: list[str] = []

    class Told:
        def task(self, name: str, total: int | None) -> Any:
            return SILENT.task(name, total)

        def say(self, line: str) -> None:
            told.append(line)

    small, plan = edgeprune.prune(
        model, drawn(2, 1500), search="sparsity", max_drop=0.15, epochs=1, progress=Told()
    )
    (line,) = [line for line in told if "folds by themselves" in line]
    assert f"{plan.why['asked']['sparsity']:.2%}" in line
    assert small.count_params() <= model.count_params()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"search": "sparsity"}, "no max_drop"),
        ({"search": "weights", "max_drop": 0.1}, "not of 'weights'"),
        ({"search": "sparsity", "max_drop": 0.1, "sparsity": 0.5}, "given: sparsity and search"),
        (
            {"search": "sparsity", "max_drop": 0.1, "method": ["taylor", "snip"]},
            "several scores; name one",
        ),
        ({"sparsity": 0.5, "grid": [0.5]}, "has grid and no search"),
    ],
)
def test_a_search_in_prune_that_lacks_something_is_one_line(model, settings, said) -> None:
    with pytest.raises(PlanError, match=said):
        edgeprune.prune(model, drawn(2, 200), **settings)


def test_a_trial_answers_as_the_zeroed_model_whatever_came_before(model) -> None:
    graph = trace(model)
    scores = edgeprune.score(model, None, "magnitude")
    trial = Trial(model, graph)
    x, _ = drawn(4, 64)
    plans = [
        edgeprune.plan(scores, sparsity=0.8),
        edgeprune.plan(scores, graph, channels=0.4),
        edgeprune.Plan.cut(graph, {"b": [0, 3]}),
        edgeprune.plan(scores, sparsity=0.1, exclude=["a"]),
    ]
    for plan in [*plans, *reversed(plans)]:
        trial.silence(plan)
        assert np.array_equal(trial.predict(x), np.asarray(Trial_of(zero(model, plan))(x)))
    with pytest.raises(PlanError, match="made for the model"):
        trial.silence(edgeprune.Plan("0" * 64))


def Trial_of(model: Any) -> Any:  # noqa: N802
    """Compiled in the same way, so that the bits are the same."""
    from edgeprune.models.forward import predictor

    return predictor(model)


@pytest.mark.parametrize("metric", ["accuracy", "loss", "sparse_categorical_crossentropy"])
def test_marks_are_the_metric_example_by_example(model, metric) -> None:
    task = make_task(None, metric, None, None, model=model)
    data = as_dataset(drawn(5, 300), model)
    judge = Judge(task, data, model)
    assert judge.before.each is not None
    assert judge.before.each.mean() == pytest.approx(judge.metric, rel=1e-5)
    small = zero(model, edgeprune.plan(edgeprune.score(model, None, "magnitude"), sparsity=0.7))
    drop = judge.drop(judge.marks(task.model_predict(small)))
    exact = task.drop(judge.metric, task.evaluate(task.model_predict(small), data.batches(50)))
    assert drop.value == pytest.approx(exact, rel=1e-4, abs=1e-7)
    assert judge.drop(judge.before).value == 0


def test_a_metric_that_is_no_mean_is_compared_by_bootstrap() -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 5)).astype("float32")
    y = (x[:, 0] + random.normal(size=300) > 0).astype("int64")
    model = keras.Sequential([keras.Input((5,)), L.Dense(8, "relu"), L.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC()])
    model.fit(x, y, epochs=20, verbose=0)
    task = make_task(None, None, None, None, model=model)
    judge = Judge(task, as_dataset((x, y), model), model)
    assert judge.before.each is None
    small = zero(model, edgeprune.plan(edgeprune.score(model, None, "magnitude"), sparsity=0.8))
    index = np.arange(0, 300, 2)
    drop = judge.drop(judge.marks(task.model_predict(small), index), index)
    half = as_dataset((x[index], y[index]), model)
    exact = task.drop(
        *(task.evaluate(task.model_predict(each), half.batches(64)) for each in (model, small))
    )
    assert drop.value == pytest.approx(exact, abs=1e-5) and 0 < drop.error < 0.2
    assert judge.lost(judge.marks(task.model_predict(small), index), index) == drop.value
    found = edgeprune.search(model, (x, y), max_drop=0.2, folds=2, grid=(0.3,))
    assert found.metric == "auc" and 0 < found.point.most <= 0.2


def test_a_squared_error_that_does_not_change_is_no_accuracy() -> None:
    """Half of the units are dead, so that their loss changes nothing at all: an interval made for
    accuracies is as wide as 1.9 / examples whatever the metric's unit."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((8,)), L.Dense(32, "relu"), L.Dense(1)])
    first, last = net.layers
    for kernel, dead in ((first.kernel, np.s_[:, 16:]), (last.kernel, np.s_[16:])):
        values = np.array(kernel)
        values[dead] = 0
        kernel.assign(values)
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 8)).astype("float32")
    y = np.asarray(net(x)) + 1e-2 * random.normal(size=(400, 1)).astype("float32")
    task = make_task("mse", "mse", model=net)
    judge = Judge(task, as_dataset((x, y), net), net)
    same = judge.drop(judge.before)
    assert (same.value, same.error, same.centre) == (0, 0, 0)
    found = edgeprune.search(
        net, (x, y), max_drop=1e-3, method="magnitude", loss="mse", metric="mse", grid=[0.3, 0.45]
    )
    assert found.share == 0.45
