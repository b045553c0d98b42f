"""An exported file and the facts read back. Pure data; :mod:`edgeprune.exporting` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Port:
    """An input or an output of an artifact.

    Attributes:
        name: as the runtime knows it.
        shape: with the batch; -1 where it is free.
        dtype: numpy's name.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Artifact:
    """An exported file.

    Attributes:
        path: where it lies.
        format: ``"tflite"`` or ``"onnx"``.
        variant: ``"fp32"``, ``"fp32-sparse"``, ``"onnx-fp32"``; ``"int8"`` and ``"unknown"`` for
            files of others.
        sha256: hex digest of its bytes.
        size_bytes: its length.
        gzip_bytes: its length after gzip -9 (what a download costs).
        density: by name of the tensor, share of non-zero values, as read back from the file.
        stored: by name of the tensor, ``"dense"``, ``"csr"`` or ``"block"`` (ONNX: ``"coo"``), as
            read back.
        inputs: in the file's order, which is the model's.
        outputs: in the file's order, which is the model's.
    """

    path: Path
    format: str
    variant: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    density: Mapping[str, float] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints and a manifest holds: no path but the file's name."""
        facts = asdict(self)
        facts["file"] = self.path.name
        del facts["path"]
        facts["density"] = {name: round(value, 6) for name, value in self.density.items()}
        return facts
