"""What bench found, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeprune.cli.tables import Fitting, hanging


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
