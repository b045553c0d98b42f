"""Results over time: saved in a folder, read back as series, the newest judged by those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.benchmarking.comparing import Outcome, outcome
from edgeprune.benchmarking.saved import Saved, read_saved
from edgeprune.benchmarking.statistics import Step, new_among, step
from edgeprune.benchmarking.validity import doubts
from edgeprune.errors import InputError
from edgeprune.files import digest_of, now, write_json
from edgeprune.intervals import Interval

LEAST = 3
"""Results before the newest that tell how much they differ from run to run."""
_PREFIX = "bench-"


@dataclass(frozen=True)
class Judgement:
    """The newest result of a series beside those before it.

    Attributes:
        ratio: how many times as long it takes, with the interval that the spread of the history
            gives; ``None`` where there is none.
        outcome: of a limit on slowdown.
        why: where it cannot be told, the reason.
    """

    ratio: Interval | None
    outcome: Outcome
    why: str = ""

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "ratio": None if self.ratio is None else self.ratio.facts(),
            "outcome": self.outcome,
            "why": self.why,
        }


@dataclass(frozen=True)
class Series:
    """Results that may be compared: one file, one device, one runtime and its version, one setting.

    Attributes:
        entries: in order of time.
    """

    entries: tuple[Saved, ...]

    @property
    def key(self) -> dict[str, Any]:
        """What its results have in common."""
        return _key(self.entries[0])

    @property
    def medians_ms(self) -> list[float]:
        """Of each entry."""
        return [each.measurement.median_ms for each in self.entries]

    @property
    def step(self) -> Step | None:
        """Where the latency changed its level for good; of eight entries at least."""
        return step(self.medians_ms)

    def judged(self, most: float) -> Judgement:
        """Whether the newest is at most ``most`` slower than those before, by how much these differ
        among themselves. Results in doubt are no yardstick, and are not judged."""
        *before, newest = self.entries
        takes = doubts(newest.measurement)
        if takes:
            return Judgement(None, "cannot tell", f"the newest result is in doubt: {takes[0]}")
        sound = [each.measurement.median_ms for each in before if not doubts(each.measurement)]
        ratio = new_among(sound, newest.measurement.median_ms)
        if ratio is None:
            few = f"{len(sound)} sound results before it, {LEAST} say how much they differ"
            return Judgement(None, "cannot tell", few)
        found = outcome(ratio, most)
        why = f"the history spreads too far for a limit of {most:.1%}"
        return Judgement(ratio, found, why if found == "cannot tell" else "")

    def facts(self, max_slowdown: float | None = None) -> dict[str, Any]:
        """What ``--json`` prints."""
        moved = self.step
        judged = {}
        if max_slowdown is not None:
            judged = {"max_slowdown": max_slowdown, **self.judged(max_slowdown).facts()}
        return {
            **self.key,
            "entries": [_entry(each) for each in self.entries],
            "step": None if moved is None else {**moved.facts(), **_entry(self.entries[moved.at])},
            **judged,
        }


def save_result(facts: Mapping[str, Any], folder: Path) -> Path:
    """Keep what ``bench --json`` prints in a folder, under the time and the commit.

    Raises:
        OutputError: it cannot be written.
    """
    first = facts["measurements"][0] if "measurements" in facts else facts
    commit = first["source"]["commit"]
    stamp = (first["date"] or now())[:19].replace("-", "").replace(":", "")
    name = f"{_PREFIX}{stamp}Z-{commit[:8] if isinstance(commit, str) else 'uncommitted'}"
    path, number = folder / f"{name}.json", 2
    while path.exists():
        path, number = folder / f"{name}_{number}.json", number + 1
    write_json(path, dict(facts))
    return path


def read_history(folder: Path) -> list[Series]:
    """The series of a folder, by name of file and device.

    Raises:
        InputError: no such folder, nothing saved in it, or a file that is no result.
    """
    hint = f"edgeprune bench FILE --save {folder}"
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {hint} makes it")
    files = sorted(folder.glob(f"{_PREFIX}*.json"))
    if not files:
        raise InputError(f"{folder}: no result in it; {hint} adds one")
    found: dict[str, list[Saved]] = {}
    for each in (saved for path in files for saved in read_saved(path)):
        found.setdefault(digest_of(_key(each)), []).append(each)
    ordered = [
        Series(tuple(sorted(some, key=lambda saved: saved.measurement.date)))
        for some in found.values()
    ]
    return sorted(ordered, key=lambda series: [str(value) for value in series.key.values()])


def newest(series: Sequence[Series]) -> list[Series]:
    """The series that the newest results belong to: those of the newest entry's commit, or, where
    it has none, of its file. Older ones (of another runtime's version, of a file that is no longer
    made) have had their judgement."""
    last = max((each.entries[-1] for each in series), key=lambda saved: saved.measurement.date)
    commit = last.source.get("commit")
    if not isinstance(commit, str):
        return [each for each in series if each.entries[-1].path == last.path]
    return [each for each in series if each.entries[-1].source.get("commit") == commit]


def _key(saved: Saved) -> dict[str, Any]:
    names = ("file", "target", "via", "runtime", "runtime_version", "threads", "batch")
    about = {name: getattr(saved.measurement, name) for name in names}
    return {**about, "device": dict(saved.measurement.device)}


def _entry(saved: Saved) -> dict[str, Any]:
    found, about = saved.measurement, saved.measurement.interval
    return {
        "date": found.date,
        "commit": saved.source.get("commit"),
        "dirty": saved.source.get("dirty"),
        "artifact": found.artifact,
        "median_ms": found.median_ms,
        "low_ms": None if about is None else about.low / 1e6,
        "high_ms": None if about is None else about.high / 1e6,
        "valid": not doubts(found),
        "saved": str(saved.path),
    }
