"""``python -m benchmarks.sensitivity``: measure what is not there yet, then write the page."""

from __future__ import annotations

import argparse
import fnmatch
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from filelock import Timeout

from benchmarks.sensitivity.cells import Cell
from benchmarks.sensitivity.page import write_page
from benchmarks.sensitivity.tasks import TASKS, quick
from edgeprune.models.engine import set_up


def chosen(arguments: argparse.Namespace) -> list[Cell]:
    """The cells that are asked for, in the order of the tables."""
    cells = list({cell.name: cell for task in TASKS for cell in task.cells()}.values())
    if arguments.quick:
        cells = [cell for cell in cells if quick(cell)]
    return [cell for cell in cells if fnmatch.fnmatch(cell.name, arguments.only)]


def asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensitivity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, the small nets")
    parser.add_argument("--only", default="*", metavar="GLOB", help="cells of these names")
    parser.add_argument("--list", action="store_true", help="name the cells, run none")
    parser.add_argument("--again", action="store_true", help="measure what is there too")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each"
    )
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and write the page; 1 where a cell failed."""
    arguments = asked(words)
    if arguments.jobs == 1 and not arguments.list:
        set_up(threads=1)  # before the first net is built
    cells = chosen(arguments)
    if arguments.list:
        for cell in cells:
            print(f"{'done' if cell.result() else '    '}  {cell.name}")
        return 0
    if arguments.again:
        for cell in cells:
            cell.path.unlink(missing_ok=True)
    if arguments.jobs > 1:
        failed = shared(arguments)
        write_page()
    else:
        failed = sum(not measured(cell, f"{n}/{len(cells)}") for n, cell in enumerate(cells, 1))
    return int(failed > 0)


def shared(arguments: argparse.Namespace) -> int:
    """How many of several processes failed; each takes the next cell that none has."""
    words = ["--jobs", "1", "--only", arguments.only, *(["--quick"] if arguments.quick else [])]
    command = [sys.executable, "-m", "benchmarks.sensitivity", *words]
    processes = [subprocess.Popen(command) for _ in range(arguments.jobs)]
    return sum(process.wait() != 0 for process in processes)


def measured(cell: Cell, place: str) -> bool:
    """Measure a cell that nobody measured or measures; False where it failed."""
    try:
        with cell.claimed():
            if cell.result():
                return True
            start = time.perf_counter()
            figures = cell.run()["figures"]
    except Timeout:
        return True
    except Exception as error:  # the rest of the night goes on
        print(f"{cell.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    shown = ", ".join(
        f"{key} {value:.4g}" for key, value in figures.items() if isinstance(value, float)
    )
    taken = time.perf_counter() - start
    print(f"[{place}] {cell.name}: {shown} ({taken:.0f} s)", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
