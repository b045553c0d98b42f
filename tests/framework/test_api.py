"""The Python API refuses what is no model, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeprune
from edgeprune.errors import ModelError
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
