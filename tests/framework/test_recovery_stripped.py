"""``hold()`` after ``strip``: the zeros that are left in the small model stay, whatever trains it
and whatever stands beside."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import edgeprune

L = keras.layers


def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(96, 8, 8, 1)).astype(np.float32), random.integers(0, 3, 96)


@pytest.fixture(scope="module")
def small() -> Any:
    """A hybrid: channels gone for good, single weights zero in what stays."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(8, 3, activation="relu", name="conv"),
            L.BatchNormalization(name="norm"),
            L.Flatten(name="flat"),
            L.Dense(16, activation="relu", name="dense"),
            L.Dense(3, activation="softmax", name="head"),
        ]
    )
    scores = edgeprune.score(model, data(), "magnitude", loss="sparse_categorical_crossentropy")
    plan = edgeprune.plan(scores, edgeprune.trace(model), channels=0.5, sparsity=0.9)
    stripped = edgeprune.strip(edgeprune.zero(model, plan))
    assert stripped.count_params() < 0.5 * model.count_params()
    assert 0.2 < np.mean([(k == 0).mean() for k in kernels(stripped).values()]) < 1
    return stripped


def kernels(model: Any) -> dict[str, np.ndarray]:
    return {
        layer.name: np.asarray(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")
    }


def adam(**more: Any) -> Any:
    return keras.optimizers.Adam(0.01, **more)


def momentum(**more: Any) -> Any:
    return keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, **more)


SETTINGS = {
    "adam": (adam, {}, {}),
    "momentum": (momentum, {}, {}),
    "weight decay": (adam, {"weight_decay": 0.1}, {}),
    "ema": (adam, {"use_ema": True, "ema_momentum": 0.5}, {}),
    "ema, momentum, several steps": (momentum, {"use_ema": True}, {"steps_per_execution": 3}),
    "xla": (momentum, {}, {"jit_compile": True}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_zero_is_still_there(small: Any, name: str) -> None:
    make, more, settings = SETTINGS[name]
    model = keras.models.clone_model(small)
    model.set_weights(small.get_weights())
    zeros = {layer: kernel == 0 for layer, kernel in kernels(model).items()}
    model.compile(make(**more), "sparse_categorical_crossentropy", **settings)
    model.fit(*data(), batch_size=16, epochs=2, verbose=0, callbacks=[edgeprune.hold()])
    for layer, kernel in kernels(model).items():
        assert not kernel[zeros[layer]].any(), layer
        assert (kernel != kernels(small)[layer])[~zeros[layer]].mean() > 0.5


@pytest.mark.parametrize("first", [True, False], ids=["hold first", "hold last"])
def test_beside_checkpoints_and_early_stop(small: Any, tmp_path: Any, first: bool) -> None:
    model = keras.models.clone_model(small)
    model.set_weights(small.get_weights())
    zeros = {layer: kernel == 0 for layer, kernel in kernels(model).items()}
    model.compile(adam(use_ema=True), "sparse_categorical_crossentropy")
    others = [
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", save_best_only=False),
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
    ]
    callbacks = [edgeprune.hold(), *others] if first else [*others, edgeprune.hold()]
    x, y = data()
    model.fit(
        x, y, batch_size=16, epochs=4, verbose=0, callbacks=callbacks,
        validation_data=(x, np.roll(y, 1)),
    )  # fmt: skip
    files = sorted(tmp_path.glob("*.keras"))
    assert files
    for found in (model, *map(keras.models.load_model, files)):
        for layer, kernel in kernels(found).items():
            assert not kernel[zeros[layer]].any(), layer
