"""``python -m benchmarks.sensitivity``: measure what is not there yet, then write the page."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from collections.abc import Sequence

from benchmarks.sensitivity.cells import Cell
from benchmarks.sensitivity.page import write_page
from benchmarks.sensitivity.tasks import TASKS, quick
from edgeprune.models.engine import set_up


def chosen(arguments: argparse.Namespace) -> list[Cell]:
    """The cells that are asked for, in the order of the tables."""
    cells = [cell for task in TASKS for cell in task.cells()]
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
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, write the page, say which promises hold; 1 where a cell failed."""
    arguments = asked(words)
    cells = chosen(arguments)
    failed = []
    if not arguments.list:
        set_up(threads=2)
    for number, cell in enumerate(cells, 1):
        done = cell.result()
        if arguments.list:
            print(f"{'done' if done else '    '}  {cell.name}")
            continue
        if done and not arguments.again:
            continue
        start = time.perf_counter()
        try:
            figures = cell.run()["figures"]
        except Exception as error:  # the rest of the night goes on
            failed.append(cell.name)
            print(f"{cell.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        shown = ", ".join(
            f"{key} {value:.4g}" for key, value in figures.items() if isinstance(value, float)
        )
        taken = time.perf_counter() - start
        print(f"[{number}/{len(cells)}] {cell.name}: {shown} ({taken:.0f} s)", flush=True)
    if not arguments.list:
        write_page()
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
