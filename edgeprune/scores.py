"""How much each connection and channel matters. Pure data; :mod:`edgeprune.scoring` makes it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.files import SCHEMA, writing
from edgeprune.schemas import check_schema

Kind = Literal["dense", "convolution", "depthwise", "recurrent", "embedding"]
FloatArray = npt.NDArray[np.float32]


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
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Scores:
        """Read what :meth:`save` wrote.

        Raises:
            PlanError: no such file, or not a scores file.
            VersionError: written by a newer edgeprune.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            header = json.loads(arrays.pop("header").tobytes())
        except FileNotFoundError:
            raise PlanError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise PlanError(
                f"{path}: not a scores file of edgeprune; make one with 'edgeprune score'"
            ) from error
        check_schema(header, "scores", path)

        def part(prefix: str) -> dict[str, FloatArray]:
            return {
                name.removeprefix(prefix): value
                for name, value in arrays.items()
                if name.startswith(prefix)
            }

        return cls(
            method=header["method"],
            model=header["model"],
            weights=part("weights/"),
            channels=part("channels/"),
            kinds=header["kinds"],
            facts=header["facts"],
        )
