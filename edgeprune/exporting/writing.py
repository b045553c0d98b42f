"""One door for every format: convert, write whole or not at all, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeprune.artifacts import Artifact
from edgeprune.errors import InputError
from edgeprune.exporting.reading import read_artifact
from edgeprune.files import nearest, write_bytes


@dataclass(frozen=True)
class Variant:
    """A form that a model is exported in: suffix of its file, and whether zeros are left out."""

    suffix: str
    sparse: bool


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "fp32": Variant(".tflite", False),
        "fp32-sparse": Variant(".tflite", True),
        "onnx-fp32": Variant(".onnx", False),
    }
)
SUFFIXES = (".tflite", ".onnx")


def export_model(
    model: Any, path: Path | str, *, sparse: bool = False, batch: int | None = 1
) -> Artifact:
    """Write ``model`` in the format that ``path`` ends in, and read the file back.

    The same model gives the same bytes, in any process. The model is not changed.

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
    if path.suffix == ".tflite":
        from edgeprune.exporting.to_tflite import tflite_bytes

        data = tflite_bytes(model, sparse=sparse, batch=batch)
    elif path.suffix == ".onnx":
        from edgeprune.exporting.to_onnx import onnx_bytes

        data = onnx_bytes(model, sparse=sparse, batch=batch)
    else:
        raise InputError(f"{path}: end the name in {' or '.join(SUFFIXES)}")
    write_bytes(path, data)
    return read_artifact(path)


def export_variant(
    model: Any, path: Path | str, variant: str, *, batch: int | None = 1
) -> Artifact:
    """:func:`export_model` by the name of a variant.

    Raises:
        InputError: as :func:`check_variant`.
        ExportError: a model that cannot become that format.
        OutputError: the file cannot be written.
    """
    check_variant(variant, path)
    return export_model(model, path, sparse=VARIANTS[variant].sparse, batch=batch)


def check_variant(variant: str, path: Path | str) -> None:
    """Refuse a name for a file of a variant; needs no model.

    Raises:
        InputError: no such variant, or ``path`` has another suffix than its format.
    """
    if variant not in VARIANTS:
        near = nearest(variant, VARIANTS)
        hint = f"did you mean {near!r}?" if near else "known: " + ", ".join(VARIANTS)
        raise InputError(f"no variant {variant!r}; {hint}")
    suffix = VARIANTS[variant].suffix
    if Path(path).suffix != suffix:
        raise InputError(f"{path}: variant {variant} is written to a {suffix} file")
