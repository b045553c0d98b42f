"""The sensitivity scan: true curves, by silencing, that go on where they were broken off."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import DataError, InputError, PlanError
from edgeprune.executors import Here
from edgeprune.feeding import as_dataset
from edgeprune.models import make_task, values_digest
from edgeprune.pipeline.scanning import Scanning, Sweep
from edgeprune.surgery import zero

L = keras.layers
CENTRES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")


def drawn(seed: int, examples: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    y = random.integers(0, 4, examples)
    return (CENTRES[y] + random.normal(size=(examples, 8, 8, 1)) * 1.5).astype("float32"), y


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(6, 3, activation="relu", name="conv"),
            L.Flatten(),
            L.Dense(12, activation="relu", name="narrow"),
            L.Dense(40, activation="relu", name="idle"),
            L.Dense(4, activation="softmax", name="head"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*drawn(1, 1500), epochs=8, batch_size=64, verbose=0)
    return model


def scanned(model: Any, **settings: Any) -> edgeprune.Scan:
    return edgeprune.scan(model, drawn(2, 600), **{"ratios": (0.25, 0.5, 0.9), **settings})


def test_each_point_is_the_drop_of_the_model_cut_there_alone(model) -> None:
    before = values_digest(model)
    scan = scanned(model)
    assert [curve.name for curve in scan.curves] == ["conv", "narrow", "idle"]
    assert scan.examples == 300 and scan.metric == "accuracy"
    assert set(scan.skipped.values()) >= {"model output"}
    assert values_digest(model) == before
    # The same points by hand: the same halves, scores and cuts, on rebuilt models.
    task = make_task(None, None, None, None, model=model)
    judge = Scanning(model, as_dataset(drawn(2, 600), model), task, "taylor", Sweep())
    scoring, judging = judge._parts()
    scores = edgeprune.score(model, scoring, "taylor")
    graph = edgeprune.trace(model)
    for curve in scan.curves:
        for reading in curve.readings:
            others = [g.name for g in graph if g.fixed is None and g.name != curve.name]
            plan = edgeprune.plan(
                scores, graph, channels=reading.ratio, scope="layer", exclude=others
            )
            silent = zero(model, plan)
            after = task.evaluate(task.model_predict(silent), judging.batches(100))
            assert reading.drop.value == pytest.approx(scan.before - after, abs=1e-6)
            assert reading.gone == sum(cut.drop.size for cut in plan.cuts) / curve.size


def test_places_of_single_weights_and_blocks(model) -> None:
    scan = scanned(model, of="weights", pattern="1x4", method="magnitude", exclude=["conv"])
    assert [curve.name for curve in scan.curves] == ["narrow/kernel", "idle/kernel", "head/kernel"]
    assert scan.examples == 600  # magnitude reads no data: all may judge
    for curve in scan.curves:
        assert curve.size == np.prod(model.get_layer(curve.name.split("/")[0]).kernel.shape)
        for reading in curve.readings:
            assert 0 <= reading.gone - reading.ratio < 4 / curve.size + 1e-9


def test_fewer_examples_are_less_sure(model) -> None:
    few, many = scanned(model, examples=40), scanned(model)
    assert (few.examples, many.examples) == (40, 300)
    for one, other in zip(few.curves, many.curves, strict=True):
        assert one.error > other.error
    assert few == scanned(model, examples=40)


def test_it_goes_on_where_it_was_broken_off(model, tmp_path, monkeypatch) -> None:
    whole = scanned(model)
    made: list[str] = []
    curve = Scanning._curve

    def broken(self: Scanning, name: str, trial: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(name)
        return curve(self, name, trial)

    monkeypatch.setattr(Scanning, "_curve", broken)
    with pytest.raises(KeyboardInterrupt):
        scanned(model, folder=tmp_path)
    assert len(list((tmp_path / "points").iterdir())) == 2
    monkeypatch.setattr(
        Scanning, "_curve", lambda self, name, trial: made.append(name) or curve(self, name, trial)
    )
    assert scanned(model, folder=tmp_path) == whole
    assert made == ["conv", "narrow", "idle"]
    assert scanned(model, folder=tmp_path) == whole and len(made) == 3
    # Another seed, and a file that is damaged, are made anew.
    next((tmp_path / "points").iterdir()).write_text("{")
    assert scanned(model, folder=tmp_path) == whole and len(made) == 4
    scanned(model, folder=tmp_path, seed=1)
    assert len(made) == 7


def test_other_values_make_other_curves(model, tmp_path) -> None:
    scanned(model, folder=tmp_path)
    other = keras.models.clone_model(model)
    other.set_weights([value * 1.01 for value in model.get_weights()])
    other.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    scanned(other, folder=tmp_path)
    assert len(list((tmp_path / "points").iterdir())) == 6


def test_points_may_be_tried_anywhere_and_come_in_any_order(model) -> None:
    def backwards(function: Any, items: Any) -> Any:
        return reversed([*Here().map(function, items)])

    task = make_task(None, None, None, None, model=model)
    data = as_dataset(drawn(2, 600), model)
    for of in ("channels", "weights"):
        sweep = Sweep(of, ratios=(0.25, 0.5, 0.9))
        there = Scanning(model, data, task, "taylor", sweep, apart=backwards).run()
        assert there == scanned(model, of=of)


def test_other_processes_make_the_same_curves_and_a_broken_scan_keeps_its_own(
    model, tmp_path
) -> None:
    assert scanned(model, workers=2, folder=tmp_path) == scanned(model)
    assert len(list((tmp_path / "points").iterdir())) == 3
    with pytest.raises(InputError, match="workers = 0"):
        scanned(model, workers=0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ratios": ()}, "name at least one"),
        ({"ratios": (0.5, 1.0)}, "1.0 is no share"),
        ({"of": "layers"}, "not of 'layers'"),
        ({"examples": 1}, "at least 2"),
        ({"confidence": 0.2}, "confidence = 0.2"),
        ({"pattern": "2:4", "of": "weights"}, "scan blocks"),
        ({"pattern": "1x4"}, "of single weights"),
        ({"exclude": ["conf"]}, "did you mean 'conv"),
        ({"exclude": ["*"]}, "no place of this model can lose channels"),
    ],
)
def test_what_makes_no_sense_is_one_line(model, settings, said) -> None:
    with pytest.raises(PlanError, match=said) as error:
        scanned(model, **settings)
    assert "\n" not in str(error.value)


def test_a_score_of_channels_says_nothing_of_weights(model) -> None:
    with pytest.raises(InputError, match="'gate' is of channels"):
        scanned(model, of="weights", method="gate")
    assert scanned(model, method="gate").method == "gate"
    with pytest.raises(InputError):
        scanned(model, method="tailor")
    with pytest.raises(DataError, match="labels"):
        edgeprune.scan(model, (drawn(2, 50)[0],), method="magnitude")
