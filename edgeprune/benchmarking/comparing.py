"""Two measurements compared: round by round where they took turns, and with doubt where not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgeprune.benchmarking.statistics import Verdict, ratio_interval, verdict
from edgeprune.benchmarking.validity import doubts
from edgeprune.errors import MeasurementError
from edgeprune.intervals import Interval
from edgeprune.measurements import Measurement

ROUNDS = 10
"""Rounds of a measurement at least: every file is timed once in each, so the k-th of one file
and the k-th of another stood beside each other in time."""
SAME = 0.02
"""Two processes that run one file differ by as much, by where their memory lies, and no interval of
one process each knows of it: in 28 runs of one file against itself (LiteRT, ONNX Runtime, x86-64)
the interval of the ratio was beyond 1 in 16, beyond 1 % in 4, and beyond 2 % in none."""

Outcome = Literal["holds", "broken", "cannot tell"]


@dataclass(frozen=True)
class Comparison:
    """One file beside another.

    Attributes:
        before, after: what is compared.
        ratio: how many times as long ``after`` takes, with its interval at 95 %.
        paired: both were measured in turns, in one run.
        notes: what takes from it.
    """

    before: Measurement
    after: Measurement
    ratio: Interval
    paired: bool
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """*Cannot tell* too where files of two runs were measured under doubtful conditions."""
        if self.notes and not self.paired:
            return "cannot tell"
        return verdict(self.ratio, SAME)

    def gate(self, most: float) -> Outcome:
        """Whether ``after`` is at most ``most`` (a share) slower, see :func:`outcome`."""
        if self.notes and not self.paired:
            return "cannot tell"
        return outcome(self.ratio, most, SAME)

    def facts(self, max_slowdown: float | None = None) -> dict[str, Any]:
        """What ``--json`` prints."""
        gate = {}
        if max_slowdown is not None:
            gate = {"max_slowdown": max_slowdown, "outcome": self.gate(max_slowdown)}
        return {
            "before": _who(self.before),
            "after": _who(self.after),
            "ratio": self.ratio.value,
            "low": self.ratio.low,
            "high": self.ratio.high,
            "paired": self.paired,
            "verdict": self.verdict,
            "notes": list(self.notes),
            **gate,
        }


def outcome(ratio: Interval, most: float, margin: float = 0.0) -> Outcome:
    """Whether a slowdown stays within ``most``: *holds* where all of the interval does, *broken*
    where none of it does, each with ``margin`` to spare."""
    if ratio.low > (1 + most) * (1 + margin):
        return "broken"
    return "holds" if ratio.high * (1 + margin) <= 1 + most else "cannot tell"


def compare(before: Measurement, after: Measurement, *, paired: bool) -> Comparison:
    """Compare two measurements; ``paired`` where they come from one call of
    :func:`~edgeprune.benchmarking.rounds.bench_files`."""
    ratio = ratio_interval(before.round_medians, after.round_medians, paired=paired)
    notes = tuple(f"{each.file}: {line}" for each in (before, after) for line in doubts(each))
    return Comparison(before, after, ratio, paired, notes)


def differences(before: Measurement, after: Measurement) -> list[str]:
    """What stands between two measurements beside the files: ``"threads (1, 4)"``."""
    keys = ("target", "via", "device", "runtime", "runtime_version", "threads", "batch")
    found = []
    for key in keys:
        one, other = getattr(before, key), getattr(after, key)
        if key == "device":
            found += [
                f"{name} ({one.get(name, 'unknown')}, {other.get(name, 'unknown')})"
                for name in sorted({*one, *other})
                if one.get(name) != other.get(name)
            ]
        elif one != other:
            found.append(f"{key.replace('_', ' ')} ({one}, {other})")
    return found


def matched(
    before: Sequence[Measurement], after: Sequence[Measurement]
) -> list[tuple[Measurement, Measurement]]:
    """The files of two results that belong together: those of one name (and target, where a result
    has several), or the only one of each."""
    if len(before) == len(after) == 1:
        return [(before[0], after[0])]
    several = any(len({each.target for each in some}) > 1 for some in (before, after))

    def name(each: Measurement) -> tuple[str, str]:
        return each.file, each.target if several else ""

    named = {name(each): each for each in before}
    return [(named[name(each)], each) for each in after if name(each) in named]


def ratio(slow: Measurement, fast: Measurement) -> float:
    """How many times as fast ``fast`` is: the median over the rounds of the quotient of the
    rounds' medians. Both must come from one call of :func:`bench_files`, since machines drift.

    Raises:
        MeasurementError: measured on other targets, devices or numbers of threads.
    """
    for what in ("target", "threads", "device"):
        one, other = getattr(slow, what), getattr(fast, what)
        if one != other:
            raise MeasurementError(
                f"{slow.file} and {fast.file} were measured with another {what} "
                f"({one}, {other}); bench them in one call"
            )
    pairs = zip(slow.round_medians, fast.round_medians, strict=True)
    return float(np.median([one / other for one, other in pairs]))


def _who(measurement: Measurement) -> dict[str, Any]:
    keys = ("file", "artifact", "target", "runtime", "runtime_version", "date", "median_ms")
    return {key: getattr(measurement, key) for key in keys}
