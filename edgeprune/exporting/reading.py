"""The facts of a file, read back from its bytes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

from edgeprune.artifacts import Artifact
from edgeprune.errors import ArtifactError
from edgeprune.formats.tflite import read_tflite


def read_artifact(path: Path | str) -> Artifact:
    """What a ``.tflite`` or ``.onnx`` is: size, density of every weight, inputs, outputs.

    Nothing in the file is trusted or run.

    Raises:
        ArtifactError: no such file, another suffix, truncated or damaged.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror})") from error
    form = form_of(path)
    if form == "tflite":
        found = read_tflite(data, str(path))
    else:
        from edgeprune.formats.onnx import read_onnx

        found = read_onnx(data, str(path))
    return Artifact(
        path=path,
        format=form,
        variant=found.variant,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        gzip_bytes=len(gzip.compress(data, 9, mtime=0)),
        density=found.density,
        stored=found.stored,
        inputs=found.inputs,
        outputs=found.outputs,
        shifted=found.shifted,
    )


def form_of(path: Path) -> str:
    """``"tflite"`` or ``"onnx"``, by the suffix.

    Raises:
        ArtifactError: another suffix.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in ("tflite", "onnx"):
        raise ArtifactError(f"{path}: an artifact's name ends in .tflite or .onnx")
    return form
