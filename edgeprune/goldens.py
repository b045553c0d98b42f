"""Golden inputs: fixed examples for a file, and what its model answers to them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.errors import InputError
from edgeprune.files import writing
from edgeprune.npz import write_npz

Array = npt.NDArray[Any]
NAME = "golden.npz"
"""Beside the files that it is of."""
TOLERANCE = 1e-4
"""Of the largest output, where a file of golden inputs says nothing else."""
MEASURES = ("relative", "rms")


@dataclass(frozen=True)
class Golden:
    """Examples of a file, and the answers of its model.

    Attributes:
        inputs: one array an input, in the file's order, all examples along axis 0.
        expected: one array an output, likewise.
        tolerance: within which the file has to answer so, of the largest of each output.
        measure: of what differs the largest (``"relative"``), or the root mean square (``"rms"``).
    """

    inputs: tuple[Array, ...]
    expected: tuple[Array, ...]
    tolerance: float = TOLERANCE
    measure: str = "relative"

    def save(self, path: Path) -> None:
        """Write ``input_0`` …, ``output_0`` …, ``tolerance`` and ``measure`` as an ``.npz``.

        Raises:
            OutputError: the file cannot be written.
        """
        arrays = {f"input_{number}": each for number, each in enumerate(self.inputs)}
        arrays |= {f"output_{number}": each for number, each in enumerate(self.expected)}
        with writing(path) as temporary:
            about = {"tolerance": np.float64(self.tolerance), "measure": np.str_(self.measure)}
            write_npz(temporary, {**arrays, **about})

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read what :meth:`save` wrote; nothing in it is unpickled.

        Raises:
            InputError: no such file, no input or output, other numbers of examples, or a tolerance
                that is none.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                inputs, expected = (_numbered(held, noun) for noun in ("input", "output"))
                tolerance = float(held["tolerance"]) if "tolerance" in held else TOLERANCE
                measure = str(held["measure"]) if "measure" in held else "relative"
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no file of golden inputs ({error})") from error
        if not inputs or not expected:
            raise InputError(
                f"{path}: holds no input_0 or no output_0; write both, or take it away"
            )
        counts = {len(each) if each.ndim else 0 for each in (*inputs, *expected)}
        if len(counts) != 1 or counts == {0}:
            raise InputError(f"{path}: arrays of {sorted(counts)} examples; give as many of each")
        if not 0 <= tolerance < float("inf"):
            raise InputError(f"{path}: tolerance = {tolerance}; a share of the largest output")
        if measure not in MEASURES:
            raise InputError(f"{path}: measure = {measure!r}; one of {', '.join(MEASURES)}")
        return cls(inputs, expected, tolerance, measure)

    @classmethod
    def beside(cls, artifact: Path) -> Golden | None:
        """Of a file: those that lie in its folder as :data:`NAME`; ``None`` where none do.

        Raises:
            InputError: as :meth:`load`.
        """
        path = artifact.parent / NAME
        return cls.load(path) if path.is_file() else None


def _numbered(held: Any, noun: str) -> tuple[Array, ...]:
    found: list[Array] = []
    while (name := f"{noun}_{len(found)}") in held:
        found.append(held[name])
    return tuple(found)
