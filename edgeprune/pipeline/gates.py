"""The recipe's promises, judged on every file to be released."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.recipes import Gates
from edgeprune.results import Row, Verdict


def judge(gates: Gates, row: Row, sparsity: float) -> list[Verdict]:
    """Every gate that the recipe sets, on one file for one target.

    A gate whose value is missing (device not reached, metric not computed) is broken, unless the
    recipe says ``unmeasured = "allow"``; the verdict's note says so either way.
    """
    verdicts = []
    for gate, limit, value, least in _values(gates, row, sparsity):
        if value is None:
            allowed = gates.unmeasured == "allow"
            note = row.note or "not measured"
            if allowed:
                note += '; unmeasured = "allow"'
            verdicts.append(Verdict(gate, row.target, row.file, limit, None, not allowed, note))
            continue
        broken = value < limit if least else not value <= limit
        verdicts.append(Verdict(gate, row.target, row.file, limit, value, broken))
    return verdicts


def _values(
    gates: Gates, row: Row, sparsity: float
) -> Iterator[tuple[str, float, float | None, bool]]:
    if gates.max_metric_drop is not None:
        yield "max_metric_drop", gates.max_metric_drop, row.drop, False
    if gates.max_bytes is not None:
        yield "max_bytes", gates.max_bytes, row.size_bytes, False
    if gates.max_latency_ms is not None:
        yield "max_latency_ms", gates.max_latency_ms, row.median_ms, False
    if gates.min_sparsity is not None:
        yield "min_sparsity", gates.min_sparsity, sparsity, True
