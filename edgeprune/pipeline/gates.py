"""The recipe's promises, judged on every file to be released."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from edgeprune.recipes import Gates, Recipe
from edgeprune.results import Row, Verdict
from edgeprune.targets import Target

ROUNDING = 4 * 2.0**-23
"""Relative: metrics come as float32, and a difference of two carries the rounding of both."""
EXACT = 1e-12
"""Absolute, for shares of whole counts in double precision: 1 - 0.9 is below 0.1."""


def beyond(drop: float, limit: float, scale: float) -> bool:
    """Whether a metric lost more than ``limit``: exactly ``limit`` is not more, whatever the
    rounding of the two metrics whose difference ``drop`` is. NaN is beyond.

    Args:
        drop: how much worse, in the metric's unit.
        limit: in the same unit.
        scale: size of the metrics, for their rounding.
    """
    return not drop <= limit + ROUNDING * abs(scale)


def finite(value: float) -> float | None:
    """``value``, or ``None`` where it is no finite number (JSON has none, and a gate no value)."""
    value = float(value)
    return value if math.isfinite(value) else None


def judge(gates: Gates, row: Row, sparsity: float) -> list[Verdict]:
    """Every gate that the recipe sets, on one file for one target.

    A gate whose value is missing (device not reached, metric not computed) is broken, unless the
    recipe says ``unmeasured = "allow"``; the verdict's note says so either way.
    """
    verdicts = []
    for gate, limit, value, least in _values(gates, row, sparsity):
        if value is None:
            notes = {"max_latency_ms": row.note, "max_instructions": row.uncounted}
            note = notes[gate] if gate in notes else _no_number(row)
            verdicts.append(_unjudged(gates, gate, limit, row.target, row.file, note))
            continue
        if gate == "max_metric_drop":
            broken = beyond(value, limit, abs(row.metric or 0.0) + abs(value))
        else:
            broken = value < limit - EXACT if least else not value <= limit
        verdicts.append(Verdict(gate, row.target, row.file, limit, value, broken))
    return verdicts


def foretold(
    recipe: Recipe, target: Target, unreachable: str | None, uncountable: str | None
) -> list[str]:
    """What is known before anything runs: gates that cannot be judged for a target, or that the
    recipe itself stands against; a line each.

    Args:
        recipe: with its ``[prune]``, ``[export]`` and gates.
        target: one of its targets.
        unreachable: why nothing can be timed there; ``None`` where it can.
        uncountable: why no instructions can be counted for it; ``None`` where they can.
    """
    gates = recipe.gates_for(target.name, target.gates)
    formats, asked = recipe.export.formats, recipe.prune
    if not any(map(target.takes, formats)):
        return [f"{target.name}: {no_file(target, formats)}; nothing will be released for it"]
    outcome = {
        "break": 'it will count as broken (unmeasured = "allow" accepts it)',
        "allow": 'unmeasured = "allow" accepts it',
    }[gates.unmeasured]
    lines = [
        f"{gate} cannot be judged: {reason}; {outcome}"
        for gate, reason in (("max_latency_ms", unreachable), ("max_instructions", uncountable))
        if getattr(gates, gate) is not None and reason is not None
    ]
    # With channels, more leaves than their share tells; with a threshold nothing is known.
    given = asked.sparsity if not asked.cuts else None
    least = gates.min_sparsity
    if least is not None and given is not None and given < least - EXACT:
        lines.append(
            f"{target.name}: min_sparsity = {least:g} can hardly be kept: prune.sparsity = "
            f"{given:g} removes less"
        )
    return lines


def no_file(target: Target, formats: Iterable[str]) -> str:
    """Why a target that takes none of ``formats`` gets nothing."""
    if target.micro:
        return (
            f"none of {', '.join(formats)} runs on a microcontroller, which takes full int8 alone; "
            'add "int8" to [export] formats'
        )
    return f"none of {', '.join(formats)} runs there"


def unjudged(gates: Gates, target: str, reason: str) -> list[Verdict]:
    """The verdicts on a target for which there is no file to judge."""
    none = Row("after", target, "", "", None, None, 0, 0, 0, 0, 0)
    return [
        _unjudged(gates, gate, limit, target, "", reason)
        for gate, limit, _, _ in _values(gates, none, 0.0)
    ]


def _no_number(row: Row) -> str:
    return row.note if row.metric is not None else "the metric is no finite number"


def _unjudged(gates: Gates, gate: str, limit: float, target: str, file: str, note: str) -> Verdict:
    allowed = gates.unmeasured == "allow"
    note = (note or "not measured") + ('; unmeasured = "allow"' if allowed else "")
    return Verdict(gate, target, file, limit, None, not allowed, note)


def _values(
    gates: Gates, row: Row, sparsity: float
) -> Iterator[tuple[str, float, float | None, bool]]:
    if gates.max_metric_drop is not None:
        yield "max_metric_drop", gates.max_metric_drop, row.drop, False
    if gates.max_bytes is not None:
        yield "max_bytes", gates.max_bytes, row.size_bytes, False
    if gates.max_latency_ms is not None:
        yield "max_latency_ms", gates.max_latency_ms, row.median_ms, False
    if gates.max_instructions is not None:
        yield "max_instructions", gates.max_instructions, row.instructions, False
    if gates.min_sparsity is not None:
        yield "min_sparsity", gates.min_sparsity, sparsity, True
