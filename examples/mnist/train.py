"""Train the dense model of the demo: an MLP 784-512-512-10 on the 60,000 MNIST digits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
EPOCHS = 5
SEED = 0


def train(
    path: Path,
    epochs: int = EPOCHS,
    told: Callable[[str], None] = lambda note: None,
    data: Path = HERE / "mnist.npz",
) -> None:
    """Train on all 60,000 images of ``data``, seeded, and save the compiled model to ``path``.

    ``told`` gets a note after each epoch.
    """
    import keras
    import numpy as np

    from edgeprune.files import writing
    from edgeprune.models.engine import set_up

    set_up(threads=2)
    keras.utils.set_random_seed(SEED)
    with np.load(data, allow_pickle=False) as file:
        x = file["x_train"].astype("float32") / 255
        y = file["y_train"].astype("int32")
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28), name="image"),
            layers.Flatten(name="flatten"),
            layers.Dense(512, activation="relu", name="hidden_1"),
            layers.Dense(512, activation="relu", name="hidden_2"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="mlp",
    )
    steps = epochs * -(-len(x) // 128)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    said = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: told(f"loss {logs['loss']:.4f}")
    )
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0, callbacks=[said])
    with writing(path) as temporary:
        model.save(temporary)


if __name__ == "__main__":
    train(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "mlp.keras", told=print)
