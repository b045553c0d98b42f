"""The Python API refuses what is no model, no plan or no graph, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import DataError, EdgepruneError, InputError, ModelError, PlanError
from edgeprune.plans import Plan

DATA = (np.zeros((8, 4), np.float32), np.zeros(8, int))
CALLS: dict[str, Callable[[Any, Path], Any]] = {
    "trace": lambda model, _: edgeprune.trace(model),
    "score": lambda model, _: edgeprune.score(model, DATA),
    "zero": lambda model, _: edgeprune.zero(model, Plan("0")),
    "strip": lambda model, _: edgeprune.strip(model),
    "prune": lambda model, _: edgeprune.prune(model, DATA, sparsity=0.5),
    "export": lambda model, folder: edgeprune.export(model, folder / "m.tflite"),
    "verify": lambda model, folder: edgeprune.verify(folder / "m.tflite", model, DATA[0]),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("model.keras", "model is a string, 'model.keras'; load it with edgeprune.load"),
        (Path("model.keras"), "model is a path, 'model.keras'; load it with edgeprune.load"),
        ({"a": 1}, "model is of class dict; give a keras.Model"),
    ],
)
def test_a_path_is_no_model(name: str, model: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        CALLS[name](model, tmp_path)
    assert str(caught.value) == said
    assert not any(tmp_path.iterdir())


DATA = (np.zeros((40, 4), np.float32), np.zeros((40, 2), np.float32))


def halved(model: Any) -> Any:
    scores = edgeprune.score(model, None, "magnitude")
    return edgeprune.zero(model, edgeprune.plan(scores, sparsity=0.5))


SLIPS: dict[str, tuple[Callable[[Any, Path], Any], type[EdgepruneError], str]] = {
    "a plan's path": (
        lambda model, _: edgeprune.zero(model, "plan.json"),  # type: ignore[arg-type]
        PlanError,
        "load it with edgeprune.Plan.load",
    ),
    "no plan": (
        lambda model, _: edgeprune.cut(model, {"a": [0]}),  # type: ignore[arg-type]
        PlanError,
        "plan is of class dict",
    ),
    "a model for a graph": (
        lambda model, _: Plan.cut(model, {"a": [0]}),
        PlanError,
        "edgeprune.trace gives it",
    ),
    "a number for a path": (
        lambda model, _: edgeprune.load(3),  # type: ignore[arg-type]
        ModelError,
        "loaded from a path, not from a int",
    ),
    "a glob that matches nothing": (
        lambda model, _: edgeprune.plan(
            edgeprune.score(model, None, "magnitude"), sparsity=0.5, exclude="nowhere"
        ),
        PlanError,
        "'nowhere' matches no",
    ),
    "two goals for prune": (
        lambda model, _: edgeprune.prune(model, DATA, loss="mse", sparsity=0.5, threshold=0.1),
        PlanError,
        "given: sparsity and threshold",
    ),
    "three goals for prune": (
        lambda model, _: edgeprune.prune(
            model, DATA, loss="mse", sparsity=0.5, channels=0.5, threshold=0.1
        ),
        PlanError,
        "given: sparsity and threshold and channels",
    ),
    "a share for N:M": (
        lambda model, _: edgeprune.prune(model, DATA, loss="mse", sparsity=0.9, pattern="2:4"),
        PlanError,
        "asks for sparsity too",
    ),
    "a share that is a text": (
        lambda model, _: edgeprune.plan(
            edgeprune.score(model, None, "magnitude"),
            sparsity="0.5",  # type: ignore[arg-type]
        ),
        PlanError,
        "sparsity = '0.5': a number is needed",
    ),
    "a share that is a text, for prune": (
        lambda model, _: edgeprune.prune(
            model,
            DATA,
            loss="mse",
            metric="loss",
            sparsity="0.5",  # type: ignore[arg-type]
        ),
        PlanError,
        "sparsity = '0.5': a number is needed",
    ),
    "labels before inputs": (
        lambda model, _: edgeprune.score(model, (DATA[1], DATA[0]), loss="mse"),
        DataError,
        "array 'x' is (n, 2), input",
    ),
    "scores to hold": (
        lambda model, _: edgeprune.hold(
            edgeprune.score(model, None, "magnitude")  # type: ignore[arg-type]
        ),
        PlanError,
        "plan is of class Scores",
    ),
    "no epoch": (
        lambda model, _: edgeprune.fine_tune(model, DATA, loss="mse", metric="loss", epochs=0),
        InputError,
        "epochs = 0: at least 1 is needed",
    ),
    "no epoch of a teacher": (
        lambda model, _: edgeprune.distill(model, model, DATA[0], epochs=0),
        InputError,
        "epochs = 0: at least 1 is needed",
    ),
    "statistics of one example": (
        lambda _, folder: edgeprune.reestimate_batchnorm(
            keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()]), DATA[0][:1]
        ),
        DataError,
        "one example has no spread; give at least two",
    ),
    "the dense model first": (
        lambda model, _: edgeprune.reconstruct(model, halved(model), DATA[0]),
        ModelError,
        "swapped? the pruned model comes first",
    ),
    "inputs of another shape": (
        lambda model, folder: edgeprune.verify(
            edgeprune.export(model, folder / "m.tflite"), model, np.zeros((40, 5))
        ),
        DataError,
        "takes examples of shape (4,); those given have (5,)",
    ),
    "labels too": (
        lambda model, folder: edgeprune.verify(
            edgeprune.export(model, folder / "m.tflite"), model, (np.zeros((40, 4)), np.zeros(40))
        ),
        DataError,
        "give the inputs alone, without labels",
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_likely_slips_are_one_line(name: str, tmp_path: Path) -> None:
    call, error, said = SLIPS[name]
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), keras.layers.Dense(2)])
    with pytest.raises(error) as caught:
        call(model, tmp_path)
    assert said in str(caught.value) and "\n" not in str(caught.value)
