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
        scale: of whole numbers that stand for real ones, (number - ``zero_point``) · ``scale``;
            ``None`` where they stand for themselves.
        zero_point: the number that stands for zero.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints; scale and zero point only where there are some."""
        found: dict[str, Any] = {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}
        if self.scale is not None:
            found |= {"scale": self.scale, "zero_point": self.zero_point}
        return found


@dataclass(frozen=True)
class Artifact:
    """An exported file.

    Attributes:
        path: where it lies.
        format: ``"tflite"`` or ``"onnx"``.
        variant: as its bytes say, a name of :data:`edgeprune.variants.VARIANTS`; ``"unknown"`` for
            files of others.
        sha256: hex digest of its bytes.
        size_bytes: its length.
        gzip_bytes: its length after gzip -9 (what a download costs).
        density: by name of the tensor, share of non-zero values, as read back from the file.
        stored: by name of the tensor, ``"dense"``, ``"csr"`` or ``"block"`` (ONNX: ``"coo"``), as
            read back.
        inputs: in the file's order, which is the model's.
        outputs: in the file's order, which is the model's.
        shifted: constants in which another number than 0 stands for zero (no kernel is one).
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
    shifted: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints and a manifest holds: no path but the file's name."""
        facts = asdict(self)
        facts["file"] = self.path.name
        del facts["path"]
        facts["inputs"] = [port.facts() for port in self.inputs]
        facts["outputs"] = [port.facts() for port in self.outputs]
        facts["density"] = {name: round(value, 6) for name, value in self.density.items()}
        return facts
