"""How long stages took, for the estimates of ``--dry-run``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeprune.files import write_json
from edgeprune.pipeline.steps import Step

SCALING = ("rehearse", "round", "recover")
"""Kinds whose work grows with examples and epochs."""


class Timings:
    """Seconds by stage, kept in ``file``; ``examples`` tells how many the training role has."""

    def __init__(self, file: Path, examples: Callable[[], int]) -> None:
        self._file = file
        self._examples = examples

    def remember(self, step: Step, seconds: float) -> None:
        """Keep how long ``step`` took, with the work that it was."""
        known = self._read()
        known[step.name] = {"seconds": round(seconds, 3), "work": self._work(step)}
        write_json(self._file, known)

    def estimate(self, step: Step) -> float | None:
        """Seconds that ``step`` will take if it scales as it did before: 0 where it is done,
        ``None`` where it never ran."""
        if step.stage.done:
            return 0.0
        known = self._read().get(step.name)
        if known is None:
            return None
        return float(known["seconds"]) * self._work(step) / known["work"]

    def _work(self, step: Step) -> int:
        return step.units * max(self._examples(), 1) if step.kind in SCALING else 1

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
