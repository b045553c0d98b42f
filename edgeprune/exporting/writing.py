"""One door for every format: convert, write whole or not at all, read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from edgeprune.artifacts import Artifact
from edgeprune.errors import InputError
from edgeprune.exporting.reading import read_artifact
from edgeprune.exporting.tracing import Forms
from edgeprune.files import write_bytes
from edgeprune.variants import variant_of

SUFFIXES = (".tflite", ".onnx")


def export_model(
    model: Any, path: Path | str, *, sparse: bool = False, batch: int | None = 1
) -> Artifact:
    """Write ``model`` in the format that ``path`` ends in, and read the file back.

    The same model gives the same bytes, in any process. The model is not changed, and the file not
    run: :func:`edgeprune.verification.export_tried` does that too.

    Args:
        model: a Functional or Sequential Keras model.
        path: ends in ``.tflite`` or ``.onnx``.
        sparse: store mostly-zero weights sparse: TFLite's own encoding; for ONNX a
            ``sparse_initializer`` wherever that is smaller.
        batch: examples per inference; ``None`` leaves it free.

    Raises:
        InputError: another suffix.
        ExportError: a model that cannot become that format.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    data = Forms(model, batch=batch).file(variant_for(path, sparse=sparse), sparse=sparse)
    write_bytes(path, data)
    return read_artifact(path)


def export_variant(
    model: Any,
    path: Path | str,
    variant: str,
    *,
    batch: int | None = 1,
    calibration: Sequence[npt.NDArray[Any]] | None = None,
) -> Artifact:
    """:func:`export_model` by the name of a variant.

    Args:
        calibration: for whole numbers, one array an input, in the model's order.

    Raises:
        InputError: as :func:`check_variant`, or no calibration data where the variant needs it.
        ExportError: a model that cannot become that format.
        OutputError: the file cannot be written.
    """
    check_variant(variant, path)
    write_bytes(path, Forms(model, batch=batch).file(variant, calibration))
    return read_artifact(path)


def variant_for(path: Path | str, *, sparse: bool = False) -> str:
    """The variant of a file that only its suffix tells of: floats.

    Raises:
        InputError: another suffix.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: end the name in {' or '.join(SUFFIXES)}")
    if suffix == ".onnx":
        return "onnx-fp32"
    return "fp32-sparse" if sparse else "fp32"


def check_variant(variant: str, path: Path | str) -> None:
    """Refuse a name for a file of a variant; needs no model.

    Raises:
        InputError: no such variant, or ``path`` has another suffix than its format.
    """
    suffix = variant_of(variant).suffix
    if Path(path).suffix != suffix:
        raise InputError(f"{path}: variant {variant} is written to a {suffix} file")
