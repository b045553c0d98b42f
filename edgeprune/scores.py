"""How much each connection and channel matters. Pure data; :mod:`edgeprune.scoring` makes it."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.files import SCHEMA, writing
from edgeprune.npz import write_npz
from edgeprune.schemas import check_schema

Kind = Literal["dense", "convolution", "transposed", "depthwise", "recurrent", "embedding"]
"""Of a kernel; ``"transposed"`` convolutions have their outputs before their inputs."""
FloatArray = npt.NDArray[np.float32]
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)
"""What reading a header or an array raises that is not as we write it."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one model by one formula.

    Attributes:
        method: name of the formula.
        model: digest of the architecture they were made for.
        weights: by name of the weight, float32 in the weight's own shape; kernels only.
        channels: by name of the group, float32 of the group's size; empty without a graph.
        kinds: by name of the weight, which kind of kernel it is (patterns go by it).
        facts: how they were made (loss, examples, micro-batch); JSON values.
    """

    method: str
    model: str
    weights: Mapping[str, FloatArray]
    channels: Mapping[str, FloatArray] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        count = sum(array.size for array in self.weights.values())
        return (
            f"Scores({self.method!r}, {count:,} weights of {len(self.weights)} kernels, "
            f"model {self.model[:8]})"
        )

    def save(self, path: Path | str) -> None:
        """Write an ``.npz``, whole or not at all; its bytes are a function of the scores alone.

        Raises:
            OutputError: the file cannot be written.
        """
        header = {
            "schema": SCHEMA,
            "method": self.method,
            "model": self.model,
            "kinds": dict(self.kinds),
            "facts": dict(self.facts),
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "header": np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8)
        }
        arrays |= {f"weights/{name}": value for name, value in sorted(self.weights.items())}
        arrays |= {f"channels/{name}": value for name, value in sorted(self.channels.items())}
        with writing(path) as temporary, temporary.open("wb") as file:
            write_npz(file, arrays)

    @classmethod
    def load(cls, path: Path | str) -> Scores:
        """Read what :meth:`save` wrote.

        Raises:
            PlanError: no such file, or not a whole scores file.
            VersionError: written by a newer edgeprune.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays.pop("header").tobytes())
        except FileNotFoundError:
            raise PlanError(f"{path}: no such file") from None
        except (*DAMAGED, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise _not_scores(path) from error
        if not isinstance(header, dict):
            raise _not_scores(path)
        check_schema(header, "scores", path)
        try:
            return cls(
                method=_text(header["method"]),
                model=_text(header["model"]),
                weights=_part(arrays, "weights/"),
                channels=_part(arrays, "channels/"),
                kinds=_kinds(header["kinds"]),
                facts=dict(header["facts"]),
            )
        except DAMAGED as error:
            raise _not_scores(path) from error


def _not_scores(path: Path | str) -> PlanError:
    return PlanError(
        f"{path}: not a scores file of edgeprune, or a damaged one; make one with 'edgeprune score'"
    )


def _part(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, FloatArray]:
    found = {}
    for name, value in arrays.items():
        if name.startswith(prefix):
            if value.dtype != np.float32:
                raise TypeError(name)
            found[name.removeprefix(prefix)] = value
    return found


def _kinds(value: Any) -> dict[str, Kind]:
    kinds: dict[str, Kind] = dict(value)
    for kind in kinds.values():
        if kind not in get_args(Kind):
            raise ValueError(kind)
    return kinds


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
