"""Losses and metrics of one name that are not the same: nothing that is kept may mix them up."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.models import make_task, settings_digest
from edgeprune.models.identities import identity_of

L = keras.layers
K = keras.losses


def square(factor: float = 1.0) -> Callable[[Any, Any], Any]:
    def loss(y: Any, p: Any) -> Any:
        return factor * helped(keras.ops.square(y - p))

    return loss


def absolute() -> Callable[[Any, Any], Any]:
    def loss(y: Any, p: Any) -> Any:
        return keras.ops.abs(y - p)

    return loss


def helped(value: Any) -> Any:
    return keras.ops.mean(value, axis=-1)


class Own(keras.losses.Loss):
    """Its argument is in no config."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def call(self, y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y - p) ** self.power, axis=-1)


def wider(function: Any, share: float) -> Any:
    return functools.partial(function, share=share)


APART: list[tuple[Any, Any]] = [
    (K.Huber(delta=1.0), K.Huber(delta=0.05)),
    (square(), absolute()),
    (square(1.0), square(2.0)),
    (Own(1.0), Own(2.0)),
    (K.MeanSquaredError(), K.MeanSquaredError(reduction="sum")),
    (wider(square, 0.1), wider(square, 0.2)),
    (lambda y, p: p - y, lambda y, p: y - p),
    (keras.metrics.TopKCategoricalAccuracy(k=2), keras.metrics.TopKCategoricalAccuracy(k=3)),
    (
        keras.metrics.MeanMetricWrapper(square(), name="m"),
        keras.metrics.MeanMetricWrapper(absolute(), name="m"),
    ),
    (np.minimum, np.maximum),
    (square(np.ones(2)), square(np.zeros(2))),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_what_differs_has_another_identity(one: Any, other: Any) -> None:
    assert identity_of(one) != identity_of(other)
    assert identity_of([one, other]) != identity_of([other, one])


def test_what_is_made_again_is_the_same() -> None:
    for make in (
        lambda: K.Huber(delta=0.3),
        lambda: Own(2.0),
        lambda: keras.metrics.AUC(num_thresholds=7),
        lambda: square(2.0),
        lambda: keras.metrics.MeanMetricWrapper(square()),
    ):
        assert identity_of(make()) == identity_of(make())
    metric = keras.metrics.MeanMetricWrapper(square())
    before = identity_of(metric)
    metric.update_state(np.zeros((3, 1)), np.ones((3, 1)))
    assert identity_of(metric) == before, "what a metric has counted is no setting of it"


def test_a_helper_in_the_module_counts_and_where_a_function_stands_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "def _scaled(v):\n    return {factor} * v\n\ndef loss(y, p):\n    return _scaled(y - p)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number, text in enumerate(
        [body.format(factor=1), "# moved\n\n" + body.format(factor=1), body.format(factor=2)]
    ):
        (tmp_path / f"losses{number}.py").write_text(text)
        found.append(identity_of(__import__(f"losses{number}").loss))
    assert found[0] == found[1] != found[2]


def test_another_process_has_the_same_identity(tmp_path: Path) -> None:
    text = (
        "import keras\nfrom edgeprune.models.identities import identity_of\n"
        "NAMES = {'a', 'b', 'c'}\n"
        "def loss(y, p):\n    return keras.ops.abs(y - p) if 'a' in NAMES else p\n"
        "print(identity_of([loss, lambda y: y in {'d', 'e', 'f'}, keras.losses.Huber(delta=.1)]))\n"
    )
    (tmp_path / "script.py").write_text(text)
    said = {
        subprocess.run(
            [sys.executable, str(tmp_path / "script.py")],
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1 and len(said.pop().strip()) == 64


def net() -> Any:
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8,)), L.Dense(6, "relu", name="a"), L.Dense(1, name="b")])


def data() -> Any:
    random = np.random.default_rng(0)
    return (
        random.normal(size=(80, 8)).astype("float32"),
        3 * random.normal(size=(80, 1)).astype("float32"),
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [(K.Huber(delta=1.0), K.Huber(delta=0.05)), (square(), absolute())],
)
def test_a_scan_resumes_no_curve_of_another_loss_or_metric(
    tmp_path: Path, one: Any, other: Any
) -> None:
    model = net()
    one_task, other_task = (make_task(loss, "loss", model=model) for loss in (one, other))
    assert one_task.loss.name == other_task.loss.name
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    settings: dict[str, Any] = {"metric": "loss", "ratios": (0.5,), "method": "taylor"}
    edgeprune.scan(model, data(), loss=one, folder=kept, **settings)
    again = edgeprune.scan(model, data(), loss=other, folder=kept, **settings)
    anew = edgeprune.scan(model, data(), loss=other, folder=fresh, **settings)
    assert again.curves == anew.curves
    assert len(list(kept.rglob("*.json"))) == 2 * len(list(fresh.rglob("*.json"))) > 0
    edgeprune.scan(model, data(), loss=one, folder=kept, **settings)
    assert len(list(kept.rglob("*.json"))) == 2 * len(list(fresh.rglob("*.json"))), "it was kept"


def test_a_fine_tuning_goes_on_at_no_checkpoint_of_another_loss(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"metric": "mse", "epochs": 1, "validation": 0.2}
    run = functools.partial(edgeprune.fine_tune, net(), data(), **settings)
    run(loss=square(1.0), checkpoint=tmp_path)
    again, anew = run(loss=absolute(), checkpoint=tmp_path), run(loss=absolute())
    for one, two in zip(again.weights, anew.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_compiled_loss_of_ones_own_counts_among_the_settings_by_its_code() -> None:
    found = []
    for loss in (square(), square(), absolute(), "mse"):
        model = net()
        model.compile("sgd", loss)
        found.append(settings_digest(model))
    assert found[0] == found[1] and len(set(found)) == 3
