"""What Keras 3 on TensorFlow takes and then does wrong is refused, in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import InputError

X, Y = np.zeros((40, 3), "float32"), np.zeros(40, "int32")


@pytest.fixture
def net() -> Any:
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])


@pytest.fixture
def spread() -> Iterator[None]:
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0"]))
    yield
    keras.distribution.set_distribution(None)


def tuned(net: Any) -> Any:
    loss = "sparse_categorical_crossentropy"
    return edgeprune.fine_tune(net, (X, Y), loss=loss, metric="accuracy", epochs=1)


def test_several_workers(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"worker": ["a:1", "b:1"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(InputError, match=r"several workers \(2 in TF_CONFIG\) fails in Keras 3"):
        tuned(net)


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"cluster": {"worker": ["a:1"]}}'])
def test_one_worker_trains(net: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert tuned(net) is not net


def test_a_distribution_that_would_do_nothing(net: Any, spread: None) -> None:
    with pytest.raises(InputError, match=r"keras.distribution.DataParallel does nothing"):
        tuned(net)


def test_two_devices_train_as_one_does(tmp_path: Path) -> None:
    script = Path(__file__).with_name("mirrored_training.py")
    found = []
    for devices in (1, 2):
        out = tmp_path / f"{devices}.npz"
        subprocess.run([sys.executable, str(script), str(devices), str(out)], check=True)
        with np.load(out, allow_pickle=False) as file:
            found.append(dict(file))
    one, two = found
    assert (int(one["devices"]), int(two["devices"])) == (1, 2)
    assert not two["mirrored"]  # what comes back is a plain model
    for name in (name for name in one if name.startswith("weight-")):
        # Adam makes much of a little: by rounding alone single weights are a step apart.
        way = np.abs(one[name] - one[name.replace("weight", "start")]).mean()
        assert np.abs(two[name] - one[name]).mean() < 0.05 * way, name
    assert not two["weight-0"][0].any()  # zeros are held on both
    assert two["weight-0"][1:].any()
    assert two["zeros"] == pytest.approx(0.5, abs=0.01)
