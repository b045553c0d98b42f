"""Measurements made up, for tests of what is made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.measurements import Measurement

QUIET = {"throttled": False, "waited": 0.01}


def measured(
    file: str, medians_us: Sequence[float], *, conditions: Any = QUIET, **about: Any
) -> Measurement:
    """A measurement with these medians of rounds, five samples each."""
    plain: dict[str, Any] = {
        "artifact": file, "file": file, "target": "host", "runtime": "litert",
        "runtime_version": "2.3.0", "threads": 1, "peak_memory_bytes": 1, "steady": True,
        "latency_ns": tuple(round(1000 * m) + k for m in medians_us for k in (-2, -1, 0, 1, 2)),
        "rounds": len(medians_us), "conditions": conditions, "device": {"cpu": "X"},
        "date": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    return Measurement(**plain | about)


def around(level_us: float, spread: float = 0.005, seed: int = 1, rounds: int = 12) -> list[float]:
    return list(level_us * np.random.default_rng(seed).lognormal(0, spread, rounds))


def save(path: Path, *measurements: Measurement, **about: Any) -> str:
    facts = [each.facts() for each in measurements]
    content = facts[0] if len(facts) == 1 else {"measurements": facts}
    path.write_text(json.dumps({"schema": 1, **content, **about}))
    return str(path)
