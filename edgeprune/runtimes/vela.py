"""What Arm's compiler for the Ethos-U foretells of a file: an estimate, measured nowhere."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.errors import MeasurementError
from edgeprune.runtimes.micro import VELA, told

SYSTEM = "edgeprune"
"""The name of the profile's section in the compiler's configuration."""
_SHIPPED = "Arm/vela.ini"
"""The compiler's own configuration, for the memory modes."""
_OPERATORS = re.compile(r"^(CPU|NPU) operators = (\d+)", re.M)


@dataclass(frozen=True)
class Compiled:
    """A file as the compiler left it, and what it says of it.

    Attributes:
        size_bytes: of the compiled file, which goes to the flash.
        sram_bytes: of RAM that it plans to use.
        inference_ms: milliseconds of one inference.
        inferences_per_s: the other way round.
        cycles: of the accelerator.
        macs: multiply-accumulates.
        npu_operators, cpu_operators: where the operators run.
    """

    size_bytes: int
    sram_bytes: int
    inference_ms: float
    inferences_per_s: float
    cycles: int
    macs: int
    npu_operators: int
    cpu_operators: int


def compiled(
    path: Path, accelerator: str, memory_mode: str, system: Mapping[str, str | int | float]
) -> Compiled:
    """Compile a file, and read what the compiler says of it.

    Args:
        path: a full-int8 ``.tflite``.
        accelerator: as ``--accelerator-config`` has it: ``ethos-u55-256``.
        memory_mode: as ``--memory-mode`` has it.
        system: a section ``System_Config`` of its configuration.

    Raises:
        ArtifactError: it refuses the file.
        MeasurementError: it did not say what is read here.
        VersionError: it is not installed.
    """
    version = VELA.version
    with tempfile.TemporaryDirectory(prefix="edgeprune-vela-") as made:
        folder = Path(made)
        config = folder / "system.ini"
        lines = [f"[System_Config.{SYSTEM}]", *(f"{key}={item}" for key, item in system.items())]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments = [
            *("--accelerator-config", accelerator, "--memory-mode", memory_mode),
            *("--config", _SHIPPED, "--config", str(config), "--system-config", SYSTEM),
            *("--output-dir", str(folder / "out"), str(path.resolve())),
        ]
        said = told(VELA, "ethosu.vela", arguments, path, "compiling it")
        return _read(folder / "out", said, f"{path}: ethos-u-vela {version}")


def _read(folder: Path, said: str, who: str) -> Compiled:
    files, tables = list(folder.glob("*_vela.tflite")), list(folder.glob("*_summary_*.csv"))
    operators = {place: int(count) for place, count in _OPERATORS.findall(said)}
    if len(files) != 1 or len(tables) != 1 or set(operators) != {"CPU", "NPU"}:
        raise MeasurementError(f"{who} left no summary that is known here; install another version")
    with tables[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return _figures(rows[-1], files[0].stat().st_size, operators)
    except (IndexError, KeyError, ValueError) as error:
        raise MeasurementError(
            f"{who} left a summary without {error}; install another version"
        ) from error


def _figures(row: Mapping[str, Any], size: int, operators: Mapping[str, int]) -> Compiled:
    return Compiled(
        size_bytes=size,
        sram_bytes=round(float(row["sram_memory_used"]) * 1024),
        inference_ms=float(row["inference_time"]) * 1000,
        inferences_per_s=float(row["inferences_per_second"]),
        cycles=round(float(row["cycles_total"])),
        macs=round(float(row["nn_macs"])),
        npu_operators=operators["NPU"],
        cpu_operators=operators["CPU"],
    )
