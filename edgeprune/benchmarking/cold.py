"""The first inference after a start: every sample a fresh process, the file out of the cache."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.benchmarking.conditions import between, state
from edgeprune.benchmarking.devices import this_device
from edgeprune.benchmarking.places import HERE
from edgeprune.benchmarking.rounds import check_engines, check_reach, prepare
from edgeprune.errors import InputError
from edgeprune.files import now, sha256_file
from edgeprune.measurements import unavailable
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import Runner
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

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints; times are medians in milliseconds beside the raw samples."""
        load, first = np.asarray(self.load_ns), np.asarray(self.first_ns)
        about = {key: value for key, value in self.__dict__.items() if key != "cached"}
        return {
            **about,
            "load_ns": list(self.load_ns),
            "first_ns": list(self.first_ns),
            "via": "local",
            "emulated": False,
            "figures": "measured",
            "cold": True,
            "load_ms": float(np.median(load)) / 1e6,
            "first_ms": float(np.median(first)) / 1e6,
            "load_first_ms": float(np.median(load + first)) / 1e6,
            "cache_dropped": unavailable(self.cached) if self.cached else True,
        }


def bench_cold(
    files: Sequence[Path],
    target: Target,
    *,
    runs: int = RUNS,
    threads: int | None = None,
    batch: int | None = None,
    progress: Progress = SILENT,
) -> list[ColdStart]:
    """Start a fresh process for every sample, files in turns; load the file and run it once.

    Before each start the file's pages are dropped from the system's cache where that is allowed.

    Raises:
        InputError: fewer than five runs, or no file.
        MeasurementError, ArtifactError: as :func:`~edgeprune.benchmarking.rounds.bench_files`.
    """
    if not files:
        raise InputError("no file to time; name at least one")
    if runs < LEAST:
        raise InputError(f"runs = {runs}: fewer than {LEAST} starts say too little; ask for more")
    threads = target.threads if threads is None else threads
    check_reach(target)
    check_engines(target, files)
    found: list[list[Mapping[str, int]]] = [[] for _ in files]
    kept = ["" for _ in files]
    about: list[dict[str, Any]] = [{} for _ in files]
    before = state()
    with progress.task(f"cold starts on {target.name}", runs * len(files)) as task:
        for _ in range(runs):
            for number, path in enumerate(files):
                kept[number] = drop_cached(path) or kept[number]
                with Runner(path, threads=threads) as runner:
                    about[number] = {
                        "batch": prepare(runner, batch),
                        "runtime": runner.engine.name,
                        "runtime_version": runner.version,
                    }
                    found[number].append(runner.facts)
                task.advance()
    conditions, device, date = between(before, state(), threads, *HERE.cpus()), this_device(), now()
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
            **told,
        )
        for path, samples, why, told in zip(files, found, kept, about, strict=True)
    ]


def drop_cached(path: Path) -> str:
    """Take a file's pages out of the system's cache.

    Returns:
        Why it is still in there; empty where it is not.
    """
    if not hasattr(os, "posix_fadvise"):
        return "the system has no call to drop a file from its cache"
    with path.open("rb") as file:
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())  # a page that is not written yet cannot go
        try:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            return f"the system does not drop it: {error.strerror}"
        resident = _resident(file.fileno())
    if resident is None:
        return "the system does not tell whether the file left its cache"
    if resident:
        return f"{resident} pages of the file stay in the system's cache (its file system keeps it)"
    return ""


def _resident(number: int) -> int | None:
    """Pages of an open file in the system's cache, by ``mincore``; ``None``: it does not tell."""
    size = os.fstat(number).st_size
    if size == 0:
        return 0
    try:
        told = ctypes.CDLL(None, use_errno=True).mincore
    except (AttributeError, OSError):
        return None
    # A private mapping is writable to ctypes, which asks for its address, and never written.
    with mmap.mmap(number, size, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
        place = ctypes.c_char.from_buffer(mapped)
        failed = told(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(size), pages)
        del place
    return None if failed else sum(page & 1 for page in pages)
