"""Random state that depends on a seed alone, never on what ran before in the process."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator

from edgeprune.seeds import derived_seed


def reseed(model: Any, seed: int) -> None:
    """Set every random state that training ``model`` reads: Python's, numpy's, TensorFlow's,
    Keras', and the model's own generators (dropout, augmentation)."""
    keras.utils.set_random_seed(seed)
    global_seed_generator().state.assign([derived_seed(seed, "global"), 0])
    for place, state in enumerate(generator_states(model)):
        state.assign([derived_seed(seed, "generator", place), 0])


def generator_states(model: Any) -> list[Any]:
    """The states of the model's own random generators, in the model's order."""
    weights = {id(weight) for weight in model.weights}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and tuple(variable.shape) == (2,) and "seed" in variable.name
    ]


@contextlib.contextmanager
def callers_state_kept() -> Iterator[None]:
    """Give Python's and numpy's random states back to the caller as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
