"""The check of the original: what it refuses before any export, and what it notes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edgeprune import pipeline
from edgeprune.errors import DataError
from edgeprune.feeding import from_arrays
from edgeprune.models import make_task
from edgeprune.pipeline.original import tried

L = keras.layers


def rewritten(project: Path, change: object) -> None:
    with np.load(project / "data.npz") as file:
        arrays = dict(file)
    np.savez(project / "data.npz", **change(arrays))  # type: ignore[operator]


def stages(project: Path) -> list[str]:
    return sorted(path.name for path in (project / ".edgeprune" / "stages").glob("*"))


@pytest.mark.parametrize(
    ("change", "sets", "said"),
    [
        (
            lambda a: a | {"y_train": np.eye(3)[a["y_train"]], "y_test": np.eye(3)[a["y_test"]]},
            (),
            "labels are one-hot; loss 'sparse_categorical_crossentropy' wants class numbers",
        ),
        (lambda a: a, ("task.loss=mse",), "does not fit class-number labels and 3 outputs"),
        (lambda a: a, ("task.metric=mse",), "metric 'mse' does not fit class-number labels"),
        (
            lambda a: a | {"x_train": a["x_train"][:20], "y_train": a["y_train"][:20]},
            (),
            r"calibrate has 15 examples \(of train\).*32 at least: give train more",
        ),
        (lambda a: a, ("data.calibration_examples=16",), "calibration_examples = 16 is too few"),
    ],
)
def test_what_cannot_go_on_ends_in_the_check(
    project: Path, change: object, sets: tuple[str, ...], said: str
) -> None:
    rewritten(project, change)
    with pytest.raises(DataError, match=said) as caught:
        pipeline.run(project / "edgeprune.toml", sets=sets)
    assert "\n" not in str(caught.value)
    assert not any("export" in name for name in stages(project))


def on_pixels(scaled_model: bool) -> tuple:
    """A model of two classes that tells dark from light, of 0 … 1 or of 0 … 255."""
    model = keras.Sequential([keras.Input((4,)), L.Dense(2, activation="softmax")])
    most = 1.0 if scaled_model else 255.0
    kernel = np.stack([np.full(4, -40 / most), np.full(4, 40 / most)], axis=1)
    model.layers[-1].set_weights([kernel, np.array([80.0, -80.0])])
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 200)
    x = (random.integers(0, 100, (200, 4)) + 150 * y[:, None]).astype(np.uint8)
    task = make_task("sparse_categorical_crossentropy", "accuracy", model=model)
    return task, model, from_arrays(x, y)


def test_pixels_that_nobody_scaled_are_noted_with_both_figures() -> None:
    task, model, data = on_pixels(scaled_model=True)
    found = tried(task, model, data, scaled=False)
    (note,) = [note for note in found.notes if "1/255" in note]
    assert "accuracy 1 with 1/255" in note and f"{found.metric:.4g} with 1" in note
    assert f"scale = {1 / 255}" in note
    assert not any("1/255" in note for note in tried(task, model, data, scaled=True).notes)


def test_pixels_that_the_model_takes_as_they_are_are_not_noted() -> None:
    found = tried(*on_pixels(scaled_model=False), scaled=False)
    assert found.metric == 1 and not found.notes


def test_a_perfect_model_on_two_examples_is_not_at_chance() -> None:
    task, model, data = on_pixels(scaled_model=False)
    few = data.subset(np.flatnonzero(data.targets()[0] == 1)[:2])
    assert tried(task, model, few, scaled=False).notes == ()
