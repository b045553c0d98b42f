"""The verbs on files that leave the house: export, verify, and the report of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeprune.errors import (
    ArtifactError,
    InputError,
)
from edgeprune.files import check_file
from edgeprune.verbs.sources import Facts, Source, placed, there

REPORTS = (".html", ".htm", ".md")


def export_file(
    source: Source, out: Path, *, variant: str, sparse: bool = False, batch: int = 1
) -> Facts:
    """Write a ``.tflite`` or ``.onnx`` and say what is in it.

    ``sparse`` stores the zeros of an ONNX file as ``sparse_initializer`` where that is smaller; of
    TFLite it is a variant of its own.
    """
    from edgeprune.exporting import check_variant, export_model, export_variant

    if sparse and not variant.startswith("onnx"):
        raise InputError("--sparse is for ONNX; for a sparse TFLite file: --format fp32-sparse")
    check_variant(variant, out)
    check_file(out)
    source.found()
    if not sparse:
        return dict(export_variant(source.opened(), out, variant, batch=batch).facts())
    return dict(export_model(source.opened(), out, sparse=True, batch=batch).facts())


def verify_file(
    source: Source, artifact: Path, *, tolerance: float = 1e-4, examples: int = 256
) -> Facts:
    """Compare a file with its model on the first ``examples`` of the data.

    Raises:
        VerificationError: it differs beyond ``tolerance`` of the largest output.
    """
    there(artifact, ArtifactError)
    source.found()
    from edgeprune import verification

    model = source.opened()
    data = source.fed("inputs", model)
    inputs = next(iter(data.batches(min(examples, data.examples))))[0]
    found = verification.verify_file(artifact, model, inputs, tolerance=tolerance)
    return {"file": str(artifact), **found.facts()}


def report_file(result: Path, out: Path | None) -> tuple[Any, Facts]:
    """Read a result; write it as ``.html`` or ``.md`` where ``out`` is given."""
    if out is not None:
        placed(out, *REPORTS)
    there(result, InputError)
    import json

    from edgeprune.files import write_bytes
    from edgeprune.results import Result

    try:
        content = json.loads(result.read_bytes())
    except (ValueError, IsADirectoryError) as error:
        raise InputError(f"{result}: not a result of 'edgeprune run' (JSON)") from error
    if not isinstance(content, dict):
        raise InputError(f"{result}: not a result of 'edgeprune run' (JSON object)")
    found = Result.from_json(content, result)
    if out is None:
        return found, found.to_json()
    from edgeprune import reporting

    make = reporting.markdown if out.suffix == ".md" else reporting.html
    write_bytes(out, make(found).encode())
    return found, {"file": str(out)}
