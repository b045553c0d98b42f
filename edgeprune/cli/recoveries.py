"""One line for each step of recovery, from its facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def recovered_line(facts: Mapping[str, Any]) -> str:
    """What a step did."""
    return _LINES.get(facts["method"], _trained)(facts)


def _trained(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['metric']} {facts['before']:.4f} → {facts['after']:.4f} on "
        f"{facts['validation_examples']:,} examples set aside"
    )


def _batchnorm(facts: Mapping[str, Any]) -> str:
    count = facts["batch_norms"]
    if not count:
        return "nothing to do, this model has no batch norms; written as it was"
    return f"statistics of {count} batch norm{'s' * (count != 1)} taken anew"


_LINES = {"batchnorm": _batchnorm}
