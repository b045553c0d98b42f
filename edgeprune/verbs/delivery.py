"""The verbs on files that leave the house: export, verify, bench, and the report of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import (
    ArtifactError,
    InputError,
)
from edgeprune.files import check_file
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.sources import Facts, Source, placed, there

if TYPE_CHECKING:
    from edgeprune.targets import Target

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


def bench_paths(
    artifacts: Sequence[Path],
    *,
    target: str = "host",
    threads: int | None = None,
    via: str | None = None,
    ssh: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
    progress: Progress = SILENT,
    **timing: Any,
) -> Facts:
    """Time files, interleaved, on a target; of a microcontroller, say whether they fit. ``timing``
    is what :func:`~edgeprune.verbs.measuring.timed_facts` takes further.

    Via ``"ssh"`` they run on the target's board, and so they do where ``ssh``, the environment or
    the user's list of boards says where it is; via ``"local"`` on this machine, as the target.
    Outputs are compared with this machine's engine.

    Via ``"qemu"`` they run in the emulated ARM as the target's core: one file gives one
    :class:`~edgeprune.counts.Count`, several give them under ``measurements``. Where that is not
    set up it is, and ``announce`` is told what will be downloaded.
    """
    from edgeprune.benchmarking import fit_files
    from edgeprune.targets import Target
    from edgeprune.verbs.boards import connection
    from edgeprune.verbs.measuring import timed_facts

    profile = Target.load(target)
    for artifact in artifacts:
        there(artifact, ArtifactError)
    if via == "qemu":
        for name in (
            "batch",
            "seconds",
            "runs",
            "cold",
            "max_slowdown",
            "sustained",
            "profile_nodes",
        ):
            if timing.get(name):
                name = name.removesuffix("_nodes").replace("_", "-")
                raise InputError(f"--{name} is of timed runs; --via qemu times nothing")
        if ssh is not None:
            raise InputError("--ssh names a board, and --via qemu emulates one; give one")
        return _emulated(artifacts, profile, threads, announce, progress)
    transport, python = connection(profile, ssh, via)
    if profile.micro:
        fits = fit_files(artifacts, profile, progress=progress)
        return {
            "target": target,
            "measurements": [],
            "footprints": [each.facts() for each in fits],
        }
    return timed_facts(
        artifacts,
        profile,
        threads=threads,
        transport=transport,
        python=python,
        progress=progress,
        **timing,
    )


def _emulated(
    artifacts: Sequence[Path],
    profile: Target,
    threads: int | None,
    announce: Callable[[str], None],
    progress: Progress,
) -> Facts:
    from edgeprune.benchmarking import count_files
    from edgeprune.emulation import Land, qemu_cpu
    from edgeprune.errors import EmulationError
    from edgeprune.verbs.emulating import emulate

    qemu_cpu(profile)
    if Land.found() is None:
        try:
            emulate(setup=True, announce=announce, progress=progress)
        except EmulationError as error:
            raise EmulationError(
                f"the emulated ARM is not set up ({error}); run: edgeprune targets emulate --setup"
            ) from error
    found = [
        each.facts()
        for each in count_files(
            artifacts, profile, Land.required(), threads=threads, progress=progress
        )
    ]
    if len(found) == 1:
        return found[0]
    return {"target": profile.name, "via": "qemu", "emulated": True, "measurements": found}


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
