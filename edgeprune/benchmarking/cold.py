"""The first inference after a start: every sample a fresh process, the file out of the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.benchmarking.conditions import between
from edgeprune.benchmarking.outputs import UNASKED, Answers, answers_of
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.benchmarking.rounds import check_engines, check_reach, prepare
from edgeprune.errors import InputError
from edgeprune.files import now, sha256_file
from edgeprune.measurements import unavailable, without_results
from edgeprune.progress import SILENT, Progress
from edgeprune.targets import Target

LEAST = 5
RUNS = 10


@dataclass(frozen=True)
class ColdStart:
    """One file, started again and again.

    Attributes:
        artifact, file, target, runtime, runtime_version, threads, batch, device, conditions, date:
            as of a :class:`~edgeprune.measurements.Measurement`.
        load_ns: from file to ready, one entry a process.
        first_ns: the first inference of each.
        peak_memory_bytes: the largest of the processes' high-water marks.
        cached: why the file was not taken out of the system's cache before each start; empty
            where it was. The engine's own libraries stay in it.
    """

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    threads: int
    batch: int
    load_ns: tuple[int, ...]
    first_ns: tuple[int, ...]
    peak_memory_bytes: int
    cached: str = ""
    device: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    via: str = "local"
    answers: Answers = UNASKED

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints; times are medians in milliseconds beside the raw samples."""
        load, first = np.asarray(self.load_ns), np.asarray(self.first_ns)
        about = {k: v for k, v in self.__dict__.items() if k not in ("cached", "answers")}
        found = {
            **about,
            "load_ns": list(self.load_ns),
            "first_ns": list(self.first_ns),
            "emulated": False,
            "figures": "measured",
            "cold": True,
            "load_ms": float(np.median(load)) / 1e6,
            "first_ms": float(np.median(first)) / 1e6,
            "load_first_ms": float(np.median(load + first)) / 1e6,
            "cache_dropped": unavailable(self.cached) if self.cached else True,
            **self.answers.facts(),
        }
        return without_results(found, ("load_ms", "first_ms", "load_first_ms"))


def bench_cold(
    files: Sequence[Path],
    target: Target,
    *,
    runs: int = RUNS,
    threads: int | None = None,
    batch: int | None = None,
    place: Place = HERE,
    progress: Progress = SILENT,
) -> list[ColdStart]:
    """Start a fresh process for every sample, files in turns; load the file and run it once.

    Before each start the file's pages are dropped from the system's cache where that is allowed. At
    the end a board's answers are compared with this machine's engine.

    Raises:
        InputError: fewer than five runs, or no file.
        MeasurementError, ArtifactError: as :func:`~edgeprune.benchmarking.rounds.bench_files`.
    """
    if not files:
        raise InputError("no file to time; name at least one")
    if runs < LEAST:
        raise InputError(f"runs = {runs}: fewer than {LEAST} starts say too little; ask for more")
    threads = target.threads if threads is None else threads
    if place is HERE:
        check_reach(target)
    check_engines(target, files)
    found: list[list[Mapping[str, int]]] = [[] for _ in files]
    kept = ["" for _ in files]
    about: list[dict[str, Any]] = [{} for _ in files]
    before = place.state()
    with progress.task(f"cold starts on {target.name}", runs * len(files)) as task:
        for _ in range(runs):
            for number, path in enumerate(files):
                kept[number] = place.drop(path) or kept[number]
                with place.runner(path, threads=threads) as runner:
                    about[number] = {
                        "batch": prepare(runner, batch),
                        "runtime": runner.engine.name,
                        "runtime_version": runner.version,
                    }
                    found[number].append(runner.facts)
                task.advance()
    conditions = between(before, place.state(), threads, *place.cpus())
    device, date = place.device(), now()
    answers = [answers_of(place, path, threads) for path in files]
    return [
        ColdStart(
            artifact=sha256_file(path),
            file=path.name,
            target=target.name,
            threads=threads,
            load_ns=tuple(each["load_ns"] for each in samples),
            first_ns=tuple(each["first_ns"] for each in samples),
            peak_memory_bytes=max(each["peak_memory_bytes"] for each in samples),
            cached=why,
            device=device,
            conditions=conditions,
            date=date,
            via=place.via,
            answers=given,
            **told,
        )
        for path, samples, why, told, given in zip(files, found, kept, about, answers, strict=True)
    ]
