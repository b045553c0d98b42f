"""Whether files fit a microcontroller, by the real interpreter or a compiler's estimate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import ArtifactError, InputError, MeasurementError
from edgeprune.files import sha256_file
from edgeprune.footprints import Estimate, Footprint, Use
from edgeprune.formats.tflite import read_tflite
from edgeprune.progress import SILENT, Progress
from edgeprune.targets import EthosU, Limits, Target

if TYPE_CHECKING:
    from edgeprune.runtimes.micro import Tool

KIB = 1024


def fit_files(
    files: Sequence[Path], target: Target, *, progress: Progress = SILENT
) -> list[Footprint]:
    """Flash and RAM that full-int8 files take on a microcontroller, and the verdict.

    Flash is the file's length, RAM the arena that TensorFlow Lite Micro takes for it. With an
    Ethos-U both are of the file that its compiler makes, and the RAM is what that compiler plans:
    an estimate, and marked as one.

    Args:
        files: ``.tflite``.
        target: a profile with ``limits``.

    Returns:
        One footprint per file, in their order.

    Raises:
        ArtifactError: no such file, not full int8, or refused by interpreter or compiler.
        MeasurementError: ``target`` is no microcontroller, or a tool said nothing that is known.
        VersionError: the extra is not installed.
    """
    if target.limits is None:
        raise MeasurementError(f"target {target.name!r} is no microcontroller: it has no [limits]")
    if not files:
        raise InputError("no file to look at; name at least one")
    inputs = [_inputs(path, target) for path in files]
    footprints = []
    with progress.task(f"fit on {target.name}", len(files)) as task:
        for path, count in zip(files, inputs, strict=True):
            if target.ethos_u is not None:
                footprints.append(_compiled(path, target, target.limits, target.ethos_u))
            else:
                footprints.append(_interpreted(path, target, target.limits, count))
            task.advance()
    return footprints


def _inputs(path: Path, target: Target) -> int:
    """How many inputs the file has; refuses what no microcontroller takes."""
    if path.suffix.lower() != ".tflite":
        raise ArtifactError(f"{path}: a microcontroller takes a .tflite file; export to one")
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file")
    contents = read_tflite(path.read_bytes(), str(path))
    if contents.variant not in ("int8", "int8-float-io"):
        raise ArtifactError(
            f"{path}: target {target.name!r} takes full int8 alone, and this file has floats or "
            "sparse tensors inside; export it with --format int8"
        )
    return len(contents.inputs)


def _named(path: Path, target: Target, tool: Tool) -> dict[str, Any]:
    """Which file, for which target, by which tool."""
    return {
        "artifact": sha256_file(path),
        "file": path.name,
        "target": target.name,
        "runtime": tool.distribution,
        "runtime_version": tool.version,
    }


def _interpreted(path: Path, target: Target, limits: Limits, inputs: int) -> Footprint:
    from edgeprune.runtimes.micro import TFLITE_MICRO
    from edgeprune.runtimes.tflite_micro import arena_of

    arena = arena_of(path, inputs)
    return Footprint(
        **_named(path, target, TFLITE_MICRO),
        flash=Use(path.stat().st_size, limits.flash_kib * KIB, limits.tight, "measured"),
        ram=Use(arena.total, limits.ram_kib * KIB, limits.tight, "measured"),
        arena={"total_bytes": arena.total, "head_bytes": arena.head, "tail_bytes": arena.tail},
    )


def _compiled(path: Path, target: Target, limits: Limits, about: EthosU) -> Footprint:
    from edgeprune.runtimes.micro import VELA
    from edgeprune.runtimes.vela import compiled

    made = compiled(path, about.accelerator, about.memory_mode, about.system)
    return Footprint(
        **_named(path, target, VELA),
        flash=Use(made.size_bytes, limits.flash_kib * KIB, limits.tight, "measured"),
        ram=Use(made.sram_bytes, limits.ram_kib * KIB, limits.tight, "estimated"),
        estimate=Estimate(
            by=f"ethos-u-vela {VELA.version}",
            inference_ms=made.inference_ms,
            inferences_per_s=made.inferences_per_s,
            cycles=made.cycles,
            macs=made.macs,
            npu_operators=made.npu_operators,
            cpu_operators=made.cpu_operators,
        ),
    )
