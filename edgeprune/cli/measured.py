"""What bench found, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.options import Json
from edgeprune.cli.ranges import NOT_NEGATIVE, option
from edgeprune.cli.tables import Fitting, hanging
from edgeprune.cli.terminal import Session
from edgeprune.errors import InputError

RESULTS = Path("benchmarks/results")
MaxSlowdown = Annotated[
    float | None,
    option(
        "--max-slowdown",
        takes=NOT_NEGATIVE,
        help="Share a file may be slower than before: exit 3 if it is, 4 if none can tell.",
    ),
]
Reports = Annotated[
    list[str] | None,
    typer.Option(
        "--report",
        metavar="FORMAT=FILE",
        help="Write junit, markdown, github-action-benchmark or bencher; repeatable.",
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
    report: Reports = None,
    json: Json = False,
) -> int:
    """Draw saved results over time, a series for each file, device and runtime.

    Example:  edgeprune bench history benchmarks/results --max-slowdown 0.05
    """
    from edgeprune import verbs

    wanted = Outputs(verbs.reports_asked(report or ()), None, False, json)
    facts = verbs.history_of(folder, file=file, plot=plot, max_slowdown=max_slowdown)
    return shown(session, facts, history_parts(facts), wanted)


@dataclass(frozen=True)
class Outputs:
    """Where what was found goes.

    Attributes:
        reports: files by format.
        save: folder of results.
        csv, json: how it is printed.
    """

    reports: Mapping[str, Path]
    save: Path | None
    csv: bool
    json: bool


def outputs(
    artifacts: Sequence[Path],
    report: Sequence[str] | None,
    save: Path | None,
    *,
    csv: bool,
    json: bool,
    timed: bool,
    cold: bool,
    saved: bool,
) -> Outputs:
    """Where bench's findings go, looked at before any work.

    Args:
        timed: files are timed warm: neither counted nor started cold.
        cold: they are started cold.
        saved: the files are results that are compared.

    Raises:
        InputError: an option that is of something else than what is asked for.
        OutputError: a file or folder that cannot be written.
    """
    from edgeprune import verbs

    if csv and (json or saved or not (timed or cold)):
        raise InputError("--csv is of what is timed, and takes the place of --json; give one")
    if report and not timed:
        raise InputError("--report is of what is timed or compared, not of counts or cold starts")
    reports = verbs.reports_asked(report or ())
    if save is not None:
        verbs.keepable(save, artifacts, timed=timed and not saved)
    return Outputs(reports, save, csv, json)


def shown(session: Session, facts: Mapping[str, Any], parts: Iterable[Any], wanted: Outputs) -> int:
    """Write and print what was timed or compared; the exit code of its limits."""
    from edgeprune import verbs

    if not _otherwise(facts):
        verbs.write_reports(dict(facts), wanted.reports)
    if wanted.save is not None and (worth := verbs.keeping(dict(facts))) is not None:
        session.say(f"kept in {verbs.kept(worth, wanted.save)}")
    if wanted.csv:
        session.print(verbs.csv_of(dict(facts)).rstrip("\n"))
    else:
        session.result(facts, parts, json=wanted.json)
    return verbs.gate_code(verbs.outcomes_of(dict(facts)))


def _otherwise(facts: Mapping[str, Any]) -> bool:
    """Whether these are anything but warm latencies, of which reports are."""
    if "comparisons" in facts or "series" in facts:
        return False
    others = ("cold", "sustained", "profile", "emulated")
    each = facts.get("measurements", [facts])
    return not each or any(one.get(key) for one in each for key in others)


def ended(session: Session, facts: Mapping[str, Any], code: int) -> int:
    """Say what went wrong of what bench found; the exit code: 1, else that of a gate, else 3 where
    a file is too big for a microcontroller."""
    from edgeprune.reporting import measured

    lines = measured.failures(facts)
    for line in lines:
        session.fault(line)
    if lines:
        return 1
    big = any(each["verdict"] == "too big" for each in facts.get("footprints", ()))
    return code or (3 if big else 0)


def found_parts(facts: Mapping[str, Any]) -> Iterator[Any]:
    """What bench found, target by target."""
    from edgeprune.cli.tables import count_parts, fit_parts
    from edgeprune.reporting import measured

    for one in measured.by_target(facts):
        if one.get("footprints"):
            yield from fit_parts(one["footprints"])
            continue
        emulated = measured.measurements_of(one)[0]["emulated"]
        yield from count_parts(measured.measurements_of(one)) if emulated else bench_parts(one)


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
    from edgeprune.measurements import wrong_outputs
    from edgeprune.reporting import measured

    found = measured.measurements_of(facts)
    if found[0].get("profile"):
        for each in found:
            if not wrong_outputs(each):
                yield Fitting(measured.profile_table(each))
                yield hanging(f"by {each['by']}")
            for line in measured.measured_lines(each):
                yield hanging(line)
        return
    if found[0].get("cold"):
        yield Fitting(measured.cold_table(found))
    elif found[0].get("sustained"):
        yield Fitting(measured.sustained_table(found))
    else:
        yield Fitting(measured.measured_table(found))
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
