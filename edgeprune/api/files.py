"""Files that are shipped, and recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.api.given import as_model, as_path
from edgeprune.artifacts import Artifact
from edgeprune.errors import VerificationError
from edgeprune.measurements import Measurement, Verification, wrong_outputs
from edgeprune.progress import SILENT, Progress
from edgeprune.results import Result

if TYPE_CHECKING:
    from edgeprune.recipes import Recipe
    from edgeprune.targets import Target


def export(
    model: Any,
    path: Path | str,
    *,
    sparse: bool = False,
    batch: int = 1,
    variant: str | None = None,
    calibration: Any = None,
) -> Artifact:
    """Write ``model`` as ``.tflite`` or ``.onnx``, by the suffix of ``path``, and read it back.

    The file is run in a child process before it is written.

    Args:
        model: a Keras model.
        path: where to.
        sparse: TFLite's own sparse encoding; ONNX sparse initialisers where they are smaller.
        batch: size of the fixed batch.
        variant: a name of :data:`edgeprune.variants.VARIANTS`; floats where absent. With ``sparse``
            the sparse one of it.
        calibration: inputs, without labels, as :func:`verify` takes them: the ranges of whole
            numbers (``int8``, ``int8-float-io``, ``int16x8``) are taken from them.

    Raises:
        InputError: no such variant, or one of another format, or no calibration data for it.
        ExportError: the model cannot become this, or the file does not run or answers something
            else; names the nearest variant that works.
        OutputError: the file cannot be written.
    """
    from edgeprune.exporting import variant_for
    from edgeprune.variants import VARIANTS, variant_of
    from edgeprune.verification import export_tried

    name = variant_for(path, sparse=sparse) if variant is None else variant_of(variant).name
    if sparse and f"{name}-sparse" in VARIANTS:
        name = f"{name}-sparse"
    return export_tried(
        as_model(model), path, name, calibration=calibration, batch=batch, sparse=sparse
    )


def verify(
    artifact: Artifact | Path | str, model: Any, inputs: Any, *, tolerance: float | None = None
) -> Verification:
    """Compare a file with its model, run by its own runtime in a child process.

    Args:
        artifact: the file.
        model: the Keras model that it was exported from.
        inputs: an array, a tuple of arrays, or batches; 32 samples at least.
        tolerance: per output; ``None``: what the file's variant is allowed
            (:mod:`edgeprune.variants`).

    Raises:
        VerificationError: an output is further off; names it, the sample and the values.
    """
    from edgeprune.verification import verify_file

    return verify_file(as_path(artifact), as_model(model), inputs, tolerance=tolerance)


def bench(
    artifact: Artifact | Path | str,
    target: str | Target = "host",
    *,
    runs: int = 50,
    ssh: str | None = None,
) -> Measurement:
    """Time a file on a target, in a child process; batch 1 as exported.

    Args:
        artifact: the file.
        target: this machine, or a board that is reached over ssh.
        runs: timed inferences at least.
        ssh: where the board is, ``user@host``; else ``EDGEPRUNE_SSH`` or the user's list of boards
            says it.

    Raises:
        MeasurementError: the target cannot be reached from here, or the file does not run.
        VerificationError: a board answers otherwise than this machine's engine, or the file
            otherwise than the golden inputs beside it say.
        InputError: ``ssh`` for a target that is no board.
    """
    from edgeprune.benchmarking import bench_files
    from edgeprune.benchmarking.reaching import connection, place_of
    from edgeprune.targets import Target

    profile = target if isinstance(target, Target) else Target.load(target)
    path, (transport, python) = as_path(artifact), connection(profile, ssh, None)
    with place_of(profile, transport, python) as place:
        (found,) = bench_files([path], profile, runs=runs, place=place)
    if found.wrong:
        raise VerificationError(f"{wrong_outputs(found.facts())}; its latency is no result")
    return found


def run(recipe: Path | str | Recipe, *, progress: Progress = SILENT) -> Result:
    """Carry out a recipe: ``edgeprune run``. See :func:`edgeprune.pipeline.run`."""
    from edgeprune.pipeline import run as run_recipe

    return run_recipe(recipe, progress=progress)
