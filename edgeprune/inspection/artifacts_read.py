"""Facts of an exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeprune.artifacts import Artifact


def inspect_file(file: Artifact | Path | str) -> dict[str, Any]:
    """What a ``.tflite`` or ``.onnx`` holds, as read back from it; JSON values only.

    Returns:
        Single facts (format, sha256, bytes, bytes after gzip) and lists of records: ``inputs``,
        ``outputs``, ``tensors`` (density is the share of non-zeros; stored is dense, csr, block).

    Raises:
        ArtifactError: no such file, truncated or damaged.
    """
    artifact = file if isinstance(file, Artifact) else _read(Path(file))
    facts = artifact.facts()
    density, stored = facts.pop("density"), facts.pop("stored")
    facts["tensors"] = [
        {"tensor": name, "density": value, "stored": stored.get(name, "dense")}
        for name, value in density.items()
    ]
    return facts


def _read(path: Path) -> Artifact:
    from edgeprune.exporting import read_artifact

    return read_artifact(path)
