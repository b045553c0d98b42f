"""A small trained model, its data and a recipe: the mechanics of the road on made-up numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeprune.models.engine import set_up

# Before any test uses TensorFlow: a run needs the threads of its recipe, whichever test came first.
set_up(threads=2)

RECIPE = """\
schema = 1
model = "model.keras"
seed = 3
recover = ["finetune"]

[data]
train = { path = "data.npz", x = "x_train", y = "y_train" }
evaluate = { path = "data.npz", x = "x_test", y = "y_test" }
calibration_examples = 64
validation = 0.2

[task]
loss = "sparse_categorical_crossentropy"
metric = "accuracy"

[prune]
score = "taylor"
sparsity = 0.6
rounds = 2

[finetune]
epochs = 2
learning_rate = 0.003
batch = 32

[export]
formats = ["fp32-sparse", "onnx-fp32"]

[[targets]]
name = "host"

[gates]
max_metric_drop = 0.2
min_sparsity = 0.5
"""


def blobs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in twelve dimensions."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 1, (3, 12))
    y = random.integers(0, 3, count).astype(np.int32)
    x = centres[y] + random.normal(0, 0.8, (count, 12))
    return x.astype(np.float32), y


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.keras``, ``data.npz`` and ``edgeprune.toml``."""
    import keras

    folder = tmp_path_factory.mktemp("trained")
    x, y = blobs(1, 480)
    x_test, y_test = blobs(2, 200)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((12,), name="features"),
            layers.Dense(32, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(16, activation="relu", name="second"),
            layers.Dense(3, activation="softmax", name="class"),
        ],
        name="small",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=12, batch_size=32, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    (folder / "edgeprune.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    """A fresh copy of :func:`trained`."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    return folder
