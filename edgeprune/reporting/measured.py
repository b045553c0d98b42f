"""Measurements as tables and lines of text, and as CSV: one content for terminal and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgeprune.measurements import wrong_outputs
from edgeprune.reporting import numbers
from edgeprune.reporting.tables import Table

Facts = Mapping[str, Any]

MOST_NODES = 20
_BLOCKS = "▁▂▃▄▅▆▇█"

CSV = (
    "file", "artifact", "target", "via", "runtime", "runtime_version", "threads", "batch", "runs",
    "median_ms", "low_ms", "high_ms", "p90_ms", "p95_ms", "p99_ms", "iqr_ms", "throughput_per_s",
    "load_ms", "first_ms", "peak_memory_bytes", "valid",
)  # fmt: skip


def measurements_of(facts: Facts) -> list[Facts]:
    """The files of what ``bench --json`` prints, be it one or several."""
    return list(facts["measurements"]) if "measurements" in facts else [facts]


def by_target(facts: Facts) -> list[Facts]:
    """What ``bench --json`` prints, apart for each target; of one target as it is."""
    if "targets" not in facts:
        return [facts]
    apart: list[Facts] = []
    for name in facts["targets"]:
        one = {
            key: [each for each in facts.get(key, ()) if each["target"] == name]
            for key in ("measurements", "footprints")
        }
        # Only files of one target are compared.
        compared = [e for e in facts.get("comparisons", ()) if e["after"]["target"] == name]
        if one["measurements"] or one["footprints"]:
            apart.append({"target": name, **one, "comparisons": compared})
    return apart


def failures(facts: Facts) -> list[str]:
    """A line for each of several targets that gave nothing, and for each file of which a target's
    outputs are wrong."""
    lines = [f"{each['target']}: {each['error']}" for each in facts.get("failed", ())]
    lines += [line for each in measurements_of(facts) if (line := wrong_outputs(each))]
    return lines


def measured_table(measurements: Sequence[Facts]) -> Table:
    """Files timed together; «speed» is against the first. What answers wrongly has no figure."""
    first = _known(measurements[0]["median_ms"])
    rows = [
        (
            each["file"],
            f"{each['runtime']} {each['runtime_version']}",
            str(each["threads"]),
            str(len(each["latency_ns"])),
            *(numbers.latency(_known(each[key])) for key in ("median_ms", "p95_ms", "iqr_ms")),
            numbers.size(each["peak_memory_bytes"]),
            numbers.ratio(first, _known(each["median_ms"])),
        )
        for each in measurements
    ]
    columns = ("file", "runtime", "threads", "runs", "median", "p95", "IQR", "memory", "speed")
    marks = _marks(measurements)
    return Table(_titled("Measured", measurements[0]), columns, tuple(rows), marks, words=2)


def _titled(what: str, about: Facts) -> str:
    """With where it was, if that is not plainly this machine."""
    if about["via"] != "local":
        return f"{what} on {about['target']}"
    return what if about["target"] == "host" else f"{what} here, as {about['target']}"


def _known(figure: Any) -> float | None:
    """``None`` where it says why it is missing."""
    return None if isinstance(figure, Mapping) else figure


def cold_table(starts: Sequence[Facts]) -> Table:
    """Files started again and again."""
    rows = [
        (
            each["file"],
            f"{each['runtime']} {each['runtime_version']}",
            str(each["threads"]),
            str(len(each["load_ns"])),
            *(
                numbers.latency(_known(each[key]))
                for key in ("load_ms", "first_ms", "load_first_ms")
            ),
            numbers.size(each["peak_memory_bytes"]),
        )
        for each in starts
    ]
    columns = ("file", "runtime", "threads", "starts", "load", "first", "together", "memory")
    return Table(_titled("Cold starts", starts[0]), columns, tuple(rows), _marks(starts), words=2)


def _marks(found: Sequence[Facts]) -> tuple[str, ...]:
    return tuple("broken" if wrong_outputs(each) else "" for each in found)


def sustained_table(runs: Sequence[Facts]) -> Table:
    """Files that ran for minutes: their first minute beside their last."""
    rows = []
    for each in runs:
        hot = [point["temperature_c"] for point in each["curve"] if "temperature_c" in point]
        rows.append(
            (
                each["file"],
                f"{each['runtime']} {each['runtime_version']}",
                str(each["threads"]),
                f"{each['curve'][-1]['at_s']:.0f} s",
                numbers.latency(_known(each["first_part_ms"])),
                numbers.latency(_known(each["last_part_ms"])),
                numbers.ABSENT if wrong_outputs(each) else f"{each['slowdown']:.3f}",
                f"{max(hot):.0f} °C" if hot else "not told",
            )
        )
    part = runs[0]["part_s"]
    columns = (
        "file", "runtime", "threads", "for", f"first {part:.0f} s", f"last {part:.0f} s", "ratio",
        "hottest",
    )  # fmt: skip
    return Table(_titled("Sustained", runs[0]), columns, tuple(rows), _marks(runs), words=2)


def profile_table(profile: Facts) -> Table:
    """Where the time of an inference goes: the longest nodes first."""
    rows = [
        (each["name"], each["op"], numbers.latency(each["us"] / 1000), f"{each['share']:.1%}")
        for each in profile["nodes"][:MOST_NODES]
    ]
    more = len(profile["nodes"]) - MOST_NODES
    notes = (f"{more} more: --json has all",) if more > 0 else ()
    title = f"Where the time of {profile['file']} goes"
    columns = ("node", "op", "time", "share")
    return Table(title, columns, tuple(rows), ("",) * len(rows), notes, words=2)


def _sustained_lines(facts: Facts) -> Iterator[str]:
    medians = [point["median_ms"] for point in facts["curve"]]
    low, high = numbers.latency(min(medians)), numbers.latency(max(medians))
    yield f"{facts['file']}: {blocks(medians)} {low} to {high}"
    start = facts["start"]
    if "reason" in start:
        yield f"{facts['file']}: started at a temperature that is not told ({start['reason']})"
    else:
        yield f"{facts['file']}: started at {start['temperature_c']:.0f} °C"


def blocks(values: Sequence[float]) -> str:
    """A line of blocks, the lowest value the lowest block."""
    low, high = min(values), max(values)
    if high == low:
        return _BLOCKS[0] * len(values)
    most = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(most * (value - low) / (high - low))] for value in values)


def measured_lines(facts: Facts) -> Iterator[str]:
    """How a measurement was made, and what takes from it."""
    name = facts["file"]
    if wrong_outputs(facts):
        yield f"{name}: its outputs are wrong, so its latency is kept (--json) and not shown"
        return
    if facts.get("sustained"):
        yield from _sustained_lines(facts)
    elif facts.get("cold"):
        kept = facts["cache_dropped"]
        if isinstance(kept, Mapping):
            yield f"{name}: not from a cold cache: {kept['reason']}"
    elif not facts.get("profile"):
        yield from _timed_lines(facts)
    if facts.get("outputs_match") is True:
        yield f"{name}: outputs as this machine's, within {facts['difference']:.1e} of the largest"
    for doubt in facts.get("doubts", ()):
        yield f"{name}: warning: {doubt}"


def _timed_lines(facts: Facts) -> Iterator[str]:
    name, about = facts["file"], facts["median_interval_ms"]
    known = "the median's interval is unknown"
    if "low" in about:
        middle = facts["median_ms"]
        away = max(about["high"] - middle, middle - about["low"]) / middle
        known = f"median within ±{away:.1%} (95 %)"
    why = {"time": ", at the time limit", "rounds": ", after the most rounds"}
    yield f"{name}: {known} by {facts['rounds']} rounds{why.get(facts['stopped'], '')}"
    batch = f" in batches of {facts['batch']}" if facts["batch"] > 1 else ""
    rate = facts["throughput_per_s"]
    per_second = "" if isinstance(rate, Mapping) else f"{rate:,.0f} examples a second{batch}; "
    yield (
        f"{name}: {per_second}loads in {numbers.latency(facts['load_ms'])}, "
        f"first inference {numbers.latency(facts['first_ms'])}"
    )


def compared_table(comparisons: Sequence[Facts]) -> Table:
    """Before and after by file, with the ratio of their times and the verdict."""
    rows = [
        (
            each["after"]["file"],
            numbers.latency(each["before"]["median_ms"]),
            numbers.latency(each["after"]["median_ms"]),
            f"{each['ratio']:.3f}",
            f"{each['low']:.3f} to {each['high']:.3f}",
            each["verdict"] + (f", {each['outcome']}" if "outcome" in each else ""),
        )
        for each in comparisons
    ]
    marks = tuple("broken" if each.get("outcome") == "broken" else "" for each in comparisons)
    columns = ("file", "before", "after", "ratio", "95 %", "verdict")
    return Table("Compared", columns, tuple(rows), marks, words=1)


def comparison_line(each: Facts) -> str:
    """One file beside the first, timed in turns."""
    told = (
        f"{each['after']['file']}: {each['verdict']}: takes {each['ratio']:.3f} times as long as "
        f"{each['before']['file']} ({each['low']:.3f} to {each['high']:.3f})"
    )
    if "outcome" in each:
        told += f"; at most {each['max_slowdown']:.1%} slower: {each['outcome']}"
    return told


def comparison_notes(each: Facts) -> Iterator[str]:
    """What takes from a comparison of saved results."""
    file = each["after"]["file"]
    if not each["paired"]:
        yield (
            f"{file}: of two runs; how the machine drifted between them is in no interval: for a "
            "close call time both files in one call"
        )
    for note in each["notes"]:
        yield f"warning: {note}"


def conditions_line(conditions: Facts) -> str:
    """The machine's state, as far as it tells."""
    told = []
    for key, word, unit in (("clock_mhz", "clock", "MHz"), ("temperature_c", "temperature", "°C")):
        pair = conditions.get(key, {})
        if "before" in pair:
            told.append(f"{word} {pair['before']:.0f} {unit} before, {pair['after']:.0f} after")
    if isinstance(conditions.get("governor"), str):
        told.append(f"governor {conditions['governor']}")
    words = {True: "throttled", False: "not throttled"}
    throttled = conditions.get("throttled")
    told.append(words[throttled] if isinstance(throttled, bool) else "throttling not told")
    if "cpus" in conditions:
        cpus = ", ".join(map(str, conditions["cpus"]))
        told.append(f"CPUs {cpus}" + (" (pinned)" if conditions.get("pinned") else ""))
    return "; ".join(told)


def csv_text(measurements: Sequence[Facts]) -> str:
    """One line a file, milliseconds; what is missing is empty."""
    text = io.StringIO()
    rows = csv.DictWriter(text, CSV, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for each in measurements:
        about = each.get("median_interval_ms", {})
        plain = {key: value for key, value in each.items() if not isinstance(value, Mapping)}
        runs = len(each.get("latency_ns", each.get("load_ns", ())))
        rows.writerow(
            {**plain, "runs": runs, "low_ms": about.get("low"), "high_ms": about.get("high")}
        )
    return text.getvalue()
