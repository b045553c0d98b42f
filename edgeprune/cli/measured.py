"""What bench found, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.options import Json
from edgeprune.cli.ranges import NOT_NEGATIVE, option
from edgeprune.cli.tables import Fitting, hanging
from edgeprune.cli.terminal import Session

RESULTS = Path("benchmarks/results")
MaxSlowdown = Annotated[
    float | None,
    option(
        "--max-slowdown",
        takes=NOT_NEGATIVE,
        help="Share a file may be slower than before: exit 3 if it is, 4 if none can tell.",
    ),
]


def add(app: typer.Typer) -> None:
    """Put ``bench history`` on ``app``."""
    verb(app, "bench history")(history)


def history(
    session: Session,
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Of results, of bench --save.")
    ] = RESULTS,
    file: Annotated[
        str | None, typer.Option("--file", metavar="NAME", help="Of this file alone.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it, as .svg.")
    ] = None,
    max_slowdown: MaxSlowdown = None,
    json: Json = False,
) -> int:
    """Draw saved results over time, a series for each file, device and runtime.

    Example:  edgeprune bench history benchmarks/results --max-slowdown 0.05
    """
    from edgeprune import verbs

    facts = verbs.history_of(folder, file=file, plot=plot, max_slowdown=max_slowdown)
    session.result(facts, history_parts(facts), json=json)
    return verbs.gate_code(verbs.outcomes_of(facts))


def history_parts(facts: Mapping[str, Any]) -> Iterator[Any]:
    """A table for each series, and its course."""
    from edgeprune.reporting import histories

    for series in facts["series"]:
        yield Fitting(histories.history_table(series))
        for line in histories.history_lines(series):
            yield hanging(line)
    if "plot" in facts:
        yield hanging(f"drawn in {facts['plot']}")


def bench_parts(facts: Mapping[str, Any]) -> Iterator[Any]:
    """Files that were timed together, how well their figures are known, and the machine's state."""
    from edgeprune.reporting import measured

    found = measured.measurements_of(facts)
    cold = bool(found[0].get("cold"))
    yield Fitting((measured.cold_table if cold else measured.measured_table)(found))
    for each in found:
        for line in measured.measured_lines(each):
            yield hanging(line)
    for each in facts.get("comparisons", ()):
        yield hanging(measured.comparison_line(each))
    yield hanging(measured.conditions_line(found[0]["conditions"]))


def compare_parts(facts: Mapping[str, Any]) -> Iterator[Any]:
    """Saved results beside each other."""
    from edgeprune.reporting import measured

    yield Fitting(measured.compared_table(facts["comparisons"]))
    for each in facts["comparisons"]:
        for line in measured.comparison_notes(each):
            yield hanging(line)
