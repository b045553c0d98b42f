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

CALIBRATED = 256
"""Examples that the ranges of whole numbers are taken from."""
REPORTS = (".html", ".htm", ".md")


def export_file(
    source: Source,
    out: Path,
    *,
    variant: str,
    sparse: bool = False,
    batch: int = 1,
    examples: int = CALIBRATED,
) -> Facts:
    """Write a ``.tflite`` or ``.onnx``, once it was run, and say what is in it.

    ``sparse`` stores the zeros of an ONNX file as ``sparse_initializer`` where that is smaller; of
    TFLite it is a variant of its own. The first ``examples`` of the data calibrate whole numbers.
    """
    from edgeprune.variants import variant_of

    form = variant_of(variant)
    if sparse and form.suffix != ".onnx":
        raise InputError(
            f"--sparse is for ONNX; for a sparse TFLite file: --format {form.dense}-sparse"
        )
    if out.suffix != form.suffix:
        raise InputError(f"{out}: variant {variant} is written to a {form.suffix} file")
    if form.calibrated and source.data is None:
        raise InputError(
            f"variant {variant} needs calibration data; name it with --data FILE, or take dynamic, "
            "which needs none"
        )
    check_file(out)
    source.found()
    from edgeprune.verification import export_tried

    model = source.opened()
    calibration = None
    if form.calibrated:
        data = source.fed("inputs", model)
        calibration = next(iter(data.batches(min(examples, data.examples))))[0]
    artifact = export_tried(
        model, out, variant, calibration=calibration, batch=batch, sparse=sparse
    )
    return dict(artifact.facts())


def verify_file(
    source: Source,
    artifact: Path,
    *,
    tolerance: float | None = None,
    variant: str | None = None,
    examples: int = 256,
) -> Facts:
    """Compare a file with its model on the first ``examples`` of the data.

    Raises:
        VerificationError: it differs beyond ``tolerance``; ``None``: that of its variant, which is
            read from its bytes where none is given.
    """
    there(artifact, ArtifactError)
    source.found()
    from edgeprune import verification

    model = source.opened()
    data = source.fed("inputs", model)
    inputs = next(iter(data.batches(min(examples, data.examples))))[0]
    found = verification.verify_file(artifact, model, inputs, tolerance=tolerance, variant=variant)
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
