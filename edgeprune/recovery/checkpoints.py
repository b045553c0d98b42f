"""The state of a fine-tuning after an epoch, in one file that is whole or absent."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.files import writing
from edgeprune.npz import write_npz

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class State:
    """Everything that the next epoch needs.

    Attributes:
        facts: JSON values (epochs done, history).
        variables: values of the model's and the optimiser's variables, in their order.
        best: values of the model's variables after the best epoch so far.
    """

    facts: Mapping[str, Any]
    variables: Sequence[Array]
    best: Sequence[Array]


class Checkpoint:
    """A folder with the last finished epoch of one fine-tuning.

    ``key`` is the digest of everything the fine-tuning depends on: the state of another one is
    ignored, and so is a file that cannot be read.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._path = Path(folder) / "epoch.npz"
        self._key = key

    def save(self, state: State) -> None:
        """Replace the last state in one rename.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        header = json.dumps({"key": self._key, "facts": state.facts}).encode()
        arrays = {"header": np.frombuffer(header, np.uint8)}
        arrays |= {f"variable/{n:06d}": value for n, value in enumerate(state.variables)}
        arrays |= {f"best/{n:06d}": value for n, value in enumerate(state.best)}
        with writing(self._path) as temporary, temporary.open("wb") as file:
            write_npz(file, arrays)

    def load(self) -> State | None:
        """The last state, or ``None`` where there is none of this fine-tuning."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in sorted(file.files)}
            header = json.loads(arrays.pop("header").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        if header.get("key") != self._key:
            return None
        variables = [v for name, v in arrays.items() if name.startswith("variable/")]
        best = [v for name, v in arrays.items() if name.startswith("best/")]
        return State(header["facts"], variables, best)


def values(variables: Sequence[Any]) -> list[Array]:
    """The values of Keras variables, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], to: Sequence[Array]) -> None:
    """Set Keras variables to values in the same order."""
    for variable, value in zip(variables, to, strict=True):
        variable.assign(value)
