"""What bench found, in the formats of other people's tools.

* JUnit: the XML of Ant and Jenkins (``junit-10.xsd`` of Jenkins' xUnit plugin).
* ``customSmallerIsBetter`` of github-action-benchmark: a list of ``name``, ``unit``, ``value``, and
  optionally ``range`` and ``extra`` (its README, "Examples: Custom").
* Bencher Metric Format: by benchmark, by measure, ``value`` and optionally ``lower_value`` and
  ``upper_value``; ``latency`` is in nanoseconds, ``throughput`` in operations a second
  (bencher.dev/docs/reference/bencher-metric-format).
* Markdown, as in a summary of a CI job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from edgeprune.measurements import wrong_outputs
from edgeprune.reporting import histories, measured
from edgeprune.reporting.text import drawn_table, escaped

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One latency: milliseconds, with the ends of its interval where there is one."""

    name: str
    target: str
    median_ms: float
    low_ms: float | None
    high_ms: float | None
    throughput_per_s: float | None
    extra: str


def rows_of(facts: Facts) -> Iterator[Row]:
    """The latencies: of what was timed, of what is compared its second half, of a history the
    newest."""
    if "series" in facts:
        for series in facts["series"]:
            newest = series["entries"][-1]
            yield _row({**series, **newest}, newest, f"commit {histories.commit_of(newest)}")
    elif _timed(facts):
        for each in measured.measurements_of(facts):
            if wrong_outputs(each):
                continue  # its latency is no result
            yield _row(each, _ends(each), f"{len(each['latency_ns'])} runs")
    else:
        for each in facts["comparisons"]:
            about = f"{each['ratio']:.3f} times {each['before']['file']}, {each['verdict']}"
            yield _row(each["after"], {}, about)


def action_benchmark(facts: Facts) -> str:
    """The JSON of github-action-benchmark's ``customSmallerIsBetter``."""
    found: list[dict[str, Any]] = []
    for row in rows_of(facts):
        one = {"name": row.name, "unit": "ms", "value": row.median_ms, "extra": row.extra}
        if row.low_ms is not None and row.high_ms is not None:
            away = max(row.high_ms - row.median_ms, row.median_ms - row.low_ms)
            one["range"] = f"± {away:.4g}"
        found.append(one)
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def bencher(facts: Facts) -> str:
    """Bencher Metric Format."""
    found: dict[str, Any] = {}
    for row in rows_of(facts):
        latency = {"value": row.median_ms * 1e6}
        if row.low_ms is not None and row.high_ms is not None:
            latency |= {"lower_value": row.low_ms * 1e6, "upper_value": row.high_ms * 1e6}
        found[row.name] = {"latency": latency}
        if row.throughput_per_s is not None:
            found[row.name]["throughput"] = {"value": row.throughput_per_s}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def junit(facts: Facts) -> str:
    """A test case for each latency, and for each limit on slowdown one that fails where it is
    broken and is skipped where it cannot be told; times in seconds."""
    cases, failures, skipped = [], 0, 0
    for row in rows_of(facts):
        where = f"classname={quoteattr(row.target)} name={quoteattr(row.name)}"
        cases.append(f'    <testcase {where} time="{row.median_ms / 1000:.9f}"/>')
    for name, target, outcome, told in _limits(facts):
        tag = {"broken": "failure", "cannot tell": "skipped"}.get(outcome)
        failures, skipped = failures + (tag == "failure"), skipped + (tag == "skipped")
        where = f"classname={quoteattr(target)} name={quoteattr(name)}"
        if tag is None:
            cases.append(f'    <testcase {where} time="0"/>')
            continue
        cases.append(
            f'    <testcase {where} time="0">\n'
            f"      <{tag} message={quoteattr(told)}>{escape(told)}</{tag}>\n"
            "    </testcase>"
        )
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    suite = f'  <testsuite name="edgeprune bench" {counts} time="0">'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", suite]
    return "\n".join([*lines, *cases, "  </testsuite>", "</testsuites>"]) + "\n"


def markdown(facts: Facts) -> str:
    """Tables, and what should be known of them."""
    parts, lines = ["## edgeprune bench"], []
    if "series" in facts:
        for series in facts["series"]:
            parts += drawn_table(histories.history_table(series))
            parts += [f"- {escaped(line)}" for line in histories.history_lines(series)]
    elif _timed(facts):
        for one in measured.by_target(facts):
            found = measured.measurements_of(one)
            parts += drawn_table(measured.measured_table(found))
            told = [line for each in found for line in measured.measured_lines(each)]
            told += [measured.comparison_line(each) for each in one.get("comparisons", ())]
            told.append(measured.conditions_line(found[0]["conditions"]))
            parts.append(_listed(told))
        lines += [f"{each['target']}: {each['error']}" for each in facts.get("failed", ())]
    else:
        parts += drawn_table(measured.compared_table(facts["comparisons"]))
        lines += [line for each in facts["comparisons"] for line in measured.comparison_notes(each)]
    if lines:
        parts.append(_listed(lines))
    return "\n\n".join(parts) + "\n"


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


FORMATS: Mapping[str, Callable[[Facts], str]] = MappingProxyType(
    {
        "junit": junit,
        "markdown": markdown,
        "github-action-benchmark": action_benchmark,
        "bencher": bencher,
    }
)


def _timed(facts: Facts) -> bool:
    return "latency_ns" in facts or "measurements" in facts


def _row(each: Facts, ends: Facts, extra: str) -> Row:
    rate = each.get("throughput_per_s")
    settings = f", {each['threads']} threads" if each.get("threads", 1) > 1 else ""
    settings += f", batch {each['batch']}" if each.get("batch", 1) > 1 else ""
    return Row(
        name=f"{each['file']} on {each['target']}{settings}",
        target=each["target"],
        median_ms=each["median_ms"],
        low_ms=ends.get("low_ms"),
        high_ms=ends.get("high_ms"),
        throughput_per_s=rate if isinstance(rate, float) else None,
        extra=f"{each['runtime']} {each['runtime_version']}, {extra}",
    )


def _ends(each: Facts) -> Facts:
    about = each["median_interval_ms"]
    return {"low_ms": about.get("low"), "high_ms": about.get("high")}


def _limits(facts: Facts) -> Iterator[tuple[str, str, str, str]]:
    """What can be broken: name, target, outcome, and a line of it."""
    for each in measured.measurements_of(facts) if _timed(facts) else ():
        if told := wrong_outputs(each):
            yield f"{each['file']}: outputs", each["target"], "broken", told
    for each in facts.get("failed", ()):
        yield f"{each['target']}: measured", each["target"], "broken", each["error"]
    for each in facts.get("comparisons", ()):
        if "outcome" in each:
            after = each["after"]
            told = measured.comparison_line(each)
            yield f"{after['file']}: slowdown", after["target"], each["outcome"], told
    for each in facts.get("series", ()):
        if "outcome" in each:
            told = histories.judged_line(each)
            yield f"{each['file']}: slowdown", each["target"], each["outcome"], told
