"""A recipe of a net that trains in a second, for the tests of targets that are not here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_RECIPE = """\
schema = 1
model = "model.keras"
recover = ["finetune"]
data.train = { path = "data.npz", x = "x", y = "y" }
data.evaluate = { path = "data.npz", x = "x_test", y = "y" }
task = { loss = "sparse_categorical_crossentropy", metric = "accuracy" }
prune = { score = "magnitude", sparsity = 0.5, rounds = 1 }
finetune = { epochs = 1 }
export.formats = ["fp32"]
"""
_MAKE = """
import sys
import keras, numpy as np
x = np.random.default_rng(0).random((64, 12), np.float32)
np.savez(f"{sys.argv[1]}/data.npz", x=x, x_test=1 - x, y=np.arange(64) % 3)
keras.Sequential([
    keras.Input((12,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(3, "softmax"),
]).save(f"{sys.argv[1]}/model.keras")
"""


def small_project(folder: Path, rest: str) -> Path:
    """Model, data and recipe in ``folder``, ``rest`` behind the recipe; the recipe's path."""
    recipe = folder / "edgeprune.toml"
    recipe.write_text(_RECIPE + rest)
    subprocess.run([sys.executable, "-c", _MAKE, str(folder)], capture_output=True, check=True)
    return recipe
