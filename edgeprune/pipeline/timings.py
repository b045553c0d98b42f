"""How long stages took, for the estimates of ``--dry-run``.

A stage that trains has a fixed part (loading, scoring, building the graph) and one that grows with
examples and epochs. The second is told from the first by the clock of the steps themselves.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeprune.files import write_json
from edgeprune.pipeline.steps import Step
from edgeprune.progress import Progress, Task, bare

TRAINING_KINDS = ("rehearse", "round", "recover")
"""Kinds whose work grows with examples and epochs."""
TRAINED = "fine-tune"
"""The task of :mod:`edgeprune.recovery` whose steps are counted."""


class Clock:
    """A :class:`~edgeprune.progress.Progress` that passes everything on to another and times the
    steps of training.

    Attributes:
        seconds: that the steps went on for, the first of each training left out (it builds the
            graph).
        steps: that these seconds are of.
        total: that all trainings had before them.
    """

    def __init__(self, shown: Progress, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.steps, self.total = 0.0, 0, 0
        self._shown = shown
        self._now = now

    def say(self, line: str) -> None:
        self._shown.say(line)

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        with self._shown.task(name, total) as task:
            if bare(name) != TRAINED:
                yield task
                return
            self.total += total or 0
            yield _Timed(self, task, self._now)

    @property
    def growing(self) -> float | None:
        """Seconds that all steps take, by the pace of those timed; ``None`` where none was."""
        return self.seconds / self.steps * self.total if self.steps else None


class _Timed:
    def __init__(self, clock: Clock, task: Task, now: Callable[[], float]) -> None:
        self._clock, self._task, self._now = clock, task, now
        self._last: float | None = None

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._task.advance(steps, note)
        now = self._now()
        # The first to be counted may be many at once, of the run that this one goes on with.
        if self._last is not None and steps:
            self._clock.seconds += now - self._last
            self._clock.steps += steps
        self._last = now if steps else self._last


class Timings:
    """Seconds by stage.

    Args:
        file: of the runs of one kind (``--quick`` or not).
        other: of the other kind: what an estimate is made of where ``file`` has none.
        examples: tells how many the training role has.
    """

    def __init__(self, file: Path, other: Path, examples: Callable[[], int]) -> None:
        self._file = file
        self._other = other
        self._examples = examples

    def remember(self, step: Step, seconds: float, clock: Clock) -> None:
        """Keep how long ``step`` took, and how much of it grows with the work."""
        growing = clock.growing
        known = _read(self._file)
        known[step.name] = {
            "fixed": round(max(seconds - clock.seconds, 0.0), 3),
            "growing": None if growing is None else round(growing, 3),
            "work": self._work(step),
        }
        write_json(self._file, known)

    def estimate(self, step: Step) -> float | None:
        """Seconds that ``step`` is likely to take: 0 where it is done, ``None`` where neither it
        nor, for a round, another round ever ran, or the pace of its training is not known."""
        if step.stage.done:
            return 0.0
        for file in (self._file, self._other):
            known = _read(file)
            names = [step.name]
            if step.kind == "round":
                rounds = [name for name in known if name.startswith("round-")]
                names += sorted(rounds, key=lambda name: (-len(name), name))
            for name in names:
                seconds = self._scaled(step, known.get(name))
                if seconds is not None:
                    return seconds
        return None

    def _scaled(self, step: Step, entry: Any) -> float | None:
        try:
            fixed, growing, before = entry["fixed"], entry["growing"], entry["work"]
            now = self._work(step)
            if now == before:
                return float(fixed + (growing or 0.0))
            return None if growing is None else float(fixed + growing * now / before)
        except (KeyError, TypeError, ArithmeticError):
            return None  # none, or of another version

    def _work(self, step: Step) -> int:
        """Epochs times examples; 0 for what does not train."""
        if step.kind not in TRAINING_KINDS or not step.units:
            return 0
        return step.units * max(self._examples(), 1)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
