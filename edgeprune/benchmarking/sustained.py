"""A file that runs without a pause for minutes: what is left of its speed on a hot machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.benchmarking.conditions import State, between, state
from edgeprune.benchmarking.outputs import UNASKED, Answers, answers_at
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.benchmarking.rounds import check_engines, check_reach, prepare
from edgeprune.errors import InputError, MeasurementError
from edgeprune.files import now, sha256_file
from edgeprune.measurements import unavailable, without_results
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import Runner
from edgeprune.targets import Target

LEAST_S = 2.0
MINUTE_S = 60.0
POINTS = 60
"""Points of a curve, about; each is a second long at least."""
GATE_S = 300.0
"""How long a machine may take to cool down before the start."""
_PAUSE_S = 2.0
_MOST_RUNS = 100_000

Look = Callable[[], State]


@dataclass(frozen=True)
class Point:
    """A stretch of the curve.

    Attributes:
        at_s: its end, from the start; seconds.
        runs: inferences in it.
        median_ns, p95_ns: of their latencies.
        clock_mhz, temperature_c: at its end; ``None``: not told.
    """

    at_s: float
    runs: int
    median_ns: float
    p95_ns: float
    clock_mhz: float | None = None
    temperature_c: float | None = None


@dataclass(frozen=True)
class Endurance:
    """One file over minutes.

    Attributes:
        artifact, file, target, runtime, runtime_version, threads, batch, device, conditions, date:
            as of a :class:`~edgeprune.measurements.Measurement`.
        seconds: that were asked for.
        points: the curve, in order of time; the raw latencies of minutes are not kept.
        start: the gate: ``temperature_c`` at the start, the ``wanted`` one, ``waited_s`` for it, or
            why there was none.
    """

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    threads: int
    batch: int
    seconds: float
    points: tuple[Point, ...]
    start: Mapping[str, Any]
    device: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    via: str = "local"
    answers: Answers = UNASKED

    def median_ms(self, low_s: float, high_s: float) -> float:
        """Of the points that end after ``low_s`` and up to ``high_s``, weighed by their length in
        time, since each is of about the same; milliseconds."""
        some = [each.median_ns for each in self.points if low_s < each.at_s <= high_s]
        return float(np.median(some or [self.points[-1].median_ns])) / 1e6

    @property
    def first_ms(self) -> float:
        """Median latency of the first minute, or of the first third of less than three."""
        return self.median_ms(0.0, self._part)

    @property
    def last_ms(self) -> float:
        """Median latency of the last minute, or of the last third."""
        end = self.points[-1].at_s
        return self.median_ms(end - self._part, end)

    @property
    def _part(self) -> float:
        return min(MINUTE_S, self.points[-1].at_s / 3)

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        about = {k: v for k, v in self.__dict__.items() if k not in ("points", "answers")}
        points = [each.__dict__ | {"median_ms": each.median_ns / 1e6} for each in self.points]
        found = {
            **about,
            "emulated": False,
            "figures": "measured",
            "sustained": True,
            "part_s": self._part,
            "first_part_ms": self.first_ms,
            "last_part_ms": self.last_ms,
            "slowdown": self.last_ms / self.first_ms,
            "curve": [{k: v for k, v in each.items() if v is not None} for each in points],
            **self.answers.facts(),
        }
        return without_results(found, ("first_part_ms", "last_part_ms", "slowdown"))


def sustain(
    path: Path,
    target: Target,
    seconds: float,
    *,
    threads: int | None = None,
    batch: int | None = None,
    start_below: float | None = None,
    place: Place = HERE,
    look: Look | None = None,
    progress: Progress = SILENT,
) -> Endurance:
    """Run a file without a pause.

    Args:
        seconds: for how long; two at least.
        start_below: °C that the hottest zone must have come down to first; waited for up to five
            minutes.
        place: where; a board answers at the end, and is compared with this machine's engine.
        look: at the machine; as the place has it where ``None``.

    Raises:
        InputError: too short.
        MeasurementError: the machine does not cool down, or tells no temperature though one is
            asked for; else as :func:`~edgeprune.benchmarking.rounds.bench_files`.
        ArtifactError: likewise.
    """
    check_seconds(seconds)
    threads = target.threads if threads is None else threads
    if place is HERE:
        check_reach(target)
    check_engines(target, [path])
    look = place.state if look is None else look
    start = cooled(start_below, look)
    stretch = max(1.0, seconds / POINTS)
    points: list[Point] = []
    with place.runner(path, threads=threads) as runner:
        size = prepare(runner, batch)
        trial = max(float(np.median(runner.time(5))), 1.0)
        before, begin = look(), monotonic()
        with progress.task(f"sustained on {target.name}", round(seconds)) as task:
            while (passed := monotonic() - begin) < seconds:
                runs = int(min(max(stretch * 1e9 / trial, 1), _MOST_RUNS))
                points.append(_point(runner, runs, stretch, begin, look))
                trial = max(points[-1].median_ns, 1.0)
                task.advance(min(round(points[-1].at_s - passed), round(seconds)))
        return Endurance(
            artifact=sha256_file(path),
            file=path.name,
            target=target.name,
            runtime=runner.engine.name,
            runtime_version=runner.version,
            threads=threads,
            batch=size,
            seconds=seconds,
            points=tuple(points),
            start=start,
            conditions=between(before, look(), threads, *place.cpus()),
            device=place.device(),
            date=now(),
            via=place.via,
            answers=answers_at(place, runner),
        )


def check_seconds(seconds: float) -> None:
    """Refuse a run that is too short for a curve, or endless.

    Raises:
        InputError: it is.
    """
    if not LEAST_S <= seconds < float("inf"):
        raise InputError(f"sustained for {seconds:g} s: {LEAST_S:g} s are the least")


def _point(runner: Runner, runs: int, stretch: float, begin: float, look: Look) -> Point:
    """Inferences for about ``stretch`` seconds, in calls of a limited number."""
    since = monotonic()
    taken: list[npt.NDArray[np.float64]] = []
    while not taken or monotonic() - since < stretch / 2:
        taken.append(np.asarray(runner.time(runs), np.float64))
    samples, seen = np.concatenate(taken), look()
    return Point(
        at_s=monotonic() - begin,
        runs=len(samples),
        median_ns=float(np.median(samples)),
        p95_ns=float(np.percentile(samples, 95)),
        clock_mhz=seen.clock_mhz,
        temperature_c=seen.temperature_c,
    )


def cooled(wanted: float | None, look: Look = state, pause: Callable[[float], None] = sleep) -> Any:
    """Wait until the machine is as cool as is wanted.

    Returns:
        ``temperature_c`` at the start, ``wanted`` and ``waited_s``; or that the machine does not
        tell, where nothing is wanted.

    Raises:
        MeasurementError: it is too warm after five minutes, or does not tell.
    """
    found = look().temperature_c
    if found is None:
        if wanted is not None:
            raise MeasurementError(
                "not measured: the system tells no temperature; leave out --start-below"
            )
        return unavailable("the system has no thermal zone")
    waited = 0.0
    while wanted is not None and found > wanted:
        if waited >= GATE_S:
            raise MeasurementError(
                f"not measured: {found:.0f} °C after {GATE_S:.0f} s, and {wanted:.0f} were wanted; "
                "let it cool down, or raise --start-below"
            )
        pause(_PAUSE_S)
        waited += _PAUSE_S
        found = look().temperature_c or found
    return {"temperature_c": found, "wanted": wanted, "waited_s": waited}
