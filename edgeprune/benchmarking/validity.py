"""What takes from a measurement: it is kept, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.benchmarking.statistics import step
from edgeprune.measurements import Measurement

WAITED = 0.2
"""Share of the time in which some task waited for a CPU, above which the machine was too busy."""
STOLEN = 0.02
"""Share of the CPUs' time that a hypervisor gave to others."""


def doubts(measurement: Measurement) -> tuple[str, ...]:
    """Why a measurement may not show what the file does, one line a reason; empty: it does."""
    found = []
    if measurement.steady is False:
        found.append("the warm-up did not come to rest within its time")
    moved = step(measurement.round_medians)
    if moved is not None:
        found.append(
            f"the latency changed for good in round {moved.at + 1} of {measurement.rounds}: "
            f"{moved.before / 1e6:.4g} to {moved.after / 1e6:.4g} ms"
        )
    about: Mapping[str, Any] = measurement.conditions
    if about.get("throttled") is True:
        found.append("the machine throttled or lowered its clock meanwhile")
    if _over(about.get("waited"), WAITED):
        found.append(
            f"tasks waited for a CPU {about['waited']:.0%} of the time: others were at work"
        )
    if _over(about.get("stolen"), STOLEN):
        found.append(f"other machines took {about['stolen']:.0%} of this one's CPUs")
    return tuple(found)


def _over(share: Any, most: float) -> bool:
    return isinstance(share, float) and share > most


def validity(measurement: Measurement) -> dict[str, Any]:
    """``valid`` and ``doubts``, as ``--json`` has them."""
    found = doubts(measurement)
    return {"valid": not found, "doubts": list(found)}
