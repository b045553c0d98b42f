"""Results over time: a table and a line of blocks for the terminal, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.reporting import numbers
from edgeprune.reporting.measured import blocks
from edgeprune.reporting.plots import COLOURS, WIDE_IN, blank, drawn, plain, standalone
from edgeprune.reporting.tables import Table

Facts = Mapping[str, Any]

_ROW_IN = 1.9
SHOWN = 20
"""Results of a series in its table, the newest; ``--json`` and the plot have all."""


def history_table(series: Facts) -> Table:
    """The newest results of a series; «ratio» is against the first of all."""
    entries, rows = series["entries"], []
    for each in entries[-SHOWN:]:
        low, high = each["low_ms"], each["high_ms"]
        known = "" if low is None else f"{numbers.latency(low)} to {numbers.latency(high)}"
        rows.append(
            (
                each["date"][:16].replace("T", " "),
                commit_of(each),
                numbers.latency(each["median_ms"]),
                known,
                f"{each['median_ms'] / entries[0]['median_ms']:.3f}",
                "" if each["valid"] else "in doubt",
            )
        )
    columns = ("date", "commit", "median", "95 %", "ratio", "")
    return Table(series_title(series), columns, tuple(rows), ("",) * len(rows), words=2)


def series_title(series: Facts) -> str:
    """What the results are of."""
    batch = f", batch {series['batch']}" if series["batch"] > 1 else ""
    return (
        f"{series['file']} on {series['target']} ({series['device'].get('cpu', 'unknown CPU')}), "
        f"{series['runtime']} {series['runtime_version']}, {series['threads']} thread(s){batch}"
    )


def history_lines(series: Facts) -> list[str]:
    """The course of a series, where it stepped, and what a limit on slowdown says."""
    medians = [each["median_ms"] for each in series["entries"]]
    lines = [
        f"{blocks(medians)} {numbers.latency(min(medians))} to {numbers.latency(max(medians))}"
    ]
    moved = series["step"]
    if moved is not None:
        lines.append(
            f"the latency changed with {commit_of(moved)} ({moved['date'][:10]}): "
            f"{numbers.latency(moved['before'])} to {numbers.latency(moved['after'])}"
        )
    if "outcome" in series:
        lines.append(judged_line(series))
    return lines


def judged_line(series: Facts) -> str:
    """What a limit on slowdown says of the newest result."""
    ratio = series["ratio"]
    told = f"at most {series['max_slowdown']:.1%} slower than before: {series['outcome']}"
    if ratio is not None:
        told += f" ({ratio['value']:.3f}, {ratio['low']:.3f} to {ratio['high']:.3f})"
    return f"{told}: {series['why']}" if series["why"] else told


def commit_of(entry: Facts) -> str:
    """The commit's first digits, with a star where the working directory had changes."""
    commit = entry["commit"]
    if not isinstance(commit, str):
        return "no commit"
    return commit[:8] + ("*" if entry["dirty"] is True else "")


def history_plot(series: Sequence[Facts]) -> str:
    """A panel for each series: medians with their intervals, hollow where they are in doubt, a line
    where the level changed."""
    figure = blank(0.5 + _ROW_IN * len(series), WIDE_IN)
    for place, each in enumerate(series):
        axes = figure.add_subplot(len(series), 1, place + 1)
        entries = each["entries"]
        medians = [entry["median_ms"] for entry in entries]
        lows = [entry["low_ms"] or entry["median_ms"] for entry in entries]
        highs = [entry["high_ms"] or entry["median_ms"] for entry in entries]
        at = list(range(len(entries)))
        axes.vlines(at, lows, highs, color=COLOURS["before"], lw=3, alpha=0.5)
        axes.plot(at, medians, color=COLOURS["after"], lw=1.4)
        for sound, face in ((True, COLOURS["after"]), (False, "none")):
            some = [number for number in at if entries[number]["valid"] is sound]
            axes.plot(
                some, [medians[number] for number in some],
                ls="none", marker="o", ms=5, mfc=face, mec=COLOURS["after"],
            )  # fmt: skip
        if each["step"] is not None:
            axes.axvline(each["step"]["at"] - 0.5, color=COLOURS["mark"], lw=1.2)
        axes.set_ylim(0, max(highs) * 1.15)
        axes.set_yticks([0, medians[-1]], ["0", numbers.latency(medians[-1])])
        axes.set_xticks([0, at[-1]], [commit_of(entries[0]), commit_of(entries[-1])])
        axes.set_title(series_title(each), color=COLOURS["ink"], loc="left")
        plain(axes)
        axes.tick_params(colors=COLOURS["muted"], length=0)
    figure.tight_layout(pad=0.5)
    return standalone(drawn(figure, "history", "median latency of each file over its results"))
