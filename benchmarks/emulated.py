"""Instructions of an inference, by where the zeros are and what the weights are stored as.

    make bench-emulated        # python -m benchmarks.emulated

Every file is written by TensorFlow's own converter, run in the ARM build of LiteRT as a Cortex-A72
and as a Cortex-A76, compared with the host's outputs, and counted. The counts are held, within one
in a hundred, to those of 2026-11-24, which were made with another program. Random weights: a kernel
asks where the zeros are, not what the others are worth. Instructions compare files on one core and
do not rank cores. The figures go to ``benchmarks/results/emulated.json``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.counted import SUBJECTS, Subject, write
from edgeprune.benchmarking import count_files
from edgeprune.counts import Count
from edgeprune.emulation import Land
from edgeprune.errors import EmulationError
from edgeprune.files import write_json
from edgeprune.targets import Target

NEAR = 0.01
"""Share by which a count may differ from the earlier one."""
RUNTIME_VERSION = "2.3.0"
"""Of LiteRT, that the earlier counts are of: another has other kernels."""
BOARDS = {"raspberry-pi-4": "A72", "raspberry-pi-5": "A76"}
RESULTS = Path(__file__).resolve().parent / "results" / "emulated.json"


def rows() -> Iterator[dict[str, Any]]:
    """Each file's counts, as they come."""
    land = Land.required()
    targets = {core: Target.load(board) for board, core in BOARDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.tflite"
        for subject in SUBJECTS:
            write(subject, path)
            counts = {
                core: count_files([path], target, land)[0] for core, target in targets.items()
            }
            yield _row(subject, path.stat().st_size, counts)


def _row(subject: Subject, size: int, counts: dict[str, Count]) -> dict[str, Any]:
    facts: dict[str, Any] = {"title": subject.title, **asdict(subject), "bytes": size}
    earlier = {"A72": facts.pop("a72"), "A76": facts.pop("a76")}
    facts["cores"] = {
        core: {
            "instructions": count.instructions,
            "earlier": earlier[core] * 1e6,
            "outputs_match": count.outputs_match,
            "most_in": next(iter(count.kernels), None),
            "runtime_version": count.runtime_version,
            "emulator": count.emulator,
        }
        for core, count in counts.items()
    }
    return facts


def wrong(row: dict[str, Any]) -> list[str]:
    """What is not as it was counted before, one line for each core."""
    found = []
    for core, facts in row["cores"].items():
        where = f"{row['title']}, as an {core}"
        if not facts["outputs_match"]:
            found.append(f"{where}: the outputs are not the host's")
        if facts["instructions"] is None:
            found.append(f"{where}: not counted, there is no C compiler")
        elif abs(facts["instructions"] / facts["earlier"] - 1) > NEAR:
            found.append(
                f"{where}: {facts['instructions']:,} instructions, {facts['earlier']:,.0f} earlier"
            )
    return found


def main() -> int:
    """Count, print, and judge."""
    done: list[dict[str, Any]] = []
    try:
        for row in rows():
            done.append(row)
            cores = row["cores"].values()
            shown = "  ".join(f"{(facts['instructions'] or 0) / 1e6:8.4f}" for facts in cores)
            print(f"{row['title']:<44} {row['bytes']:>10,} B  {shown} M", flush=True)
    except EmulationError as error:
        print(error)
        return error.exit_code
    versions = {facts["runtime_version"] for row in done for facts in row["cores"].values()}
    if versions != {RUNTIME_VERSION}:
        print(f"LiteRT {', '.join(sorted(versions))}; the earlier counts are {RUNTIME_VERSION}'s")
        return 1
    faults = [line for row in done for line in wrong(row)]
    print("\n".join(faults))
    if not faults:
        write_json(RESULTS, {"rows": done})
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
