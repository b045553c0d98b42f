"""Files timed in turns, each in a child process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Artifact, Port
from edgeprune.benchmarking.comparing import ROUNDS
from edgeprune.benchmarking.devices import this_device
from edgeprune.errors import InputError, MeasurementError
from edgeprune.files import sha256_file
from edgeprune.measurements import Measurement
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import Runner, engine_of
from edgeprune.targets import Target

LEAST_RUNS = 50
_ENOUGH_NS = 300_000_000
"""Timed nanoseconds a file gets: an inference of microseconds needs more than fifty runs."""
_MOST_RUNS = 10_000
_SEED = 20

__all__ = ["ROUNDS", "bench_files", "unreachable"]


def unreachable(target: Target) -> str | None:
    """Why nothing can be timed on the target; ``None`` where it is this machine."""
    if target.arch == "any":
        return None
    if target.micro:
        return (
            f"target {target.name!r} is a microcontroller, where nothing is timed from here; "
            f"'edgeprune bench FILE --target {target.name}' says whether a file fits"
        )
    emulated = " (--via qemu emulates it)" if target.arch == "aarch64" and target.clusters else ""
    return (
        f"target {target.name!r} ({target.arch}) is not this machine, and this version has no "
        f"connection to boards{emulated}"
    )


def bench_files(
    files: Sequence[Artifact | Path | str],
    target: Target | str = "host",
    *,
    runs: int = LEAST_RUNS,
    warmup: int = 10,
    threads: int | None = None,
    progress: Progress = SILENT,
) -> list[Measurement]:
    """Time files in turns (A B A B …), each in a child process of its own.

    One sample is one inference of one batch, timed inside the child by ``perf_counter_ns``: in
    LiteRT ``invoke`` alone, in ONNX Runtime ``run`` with its copies. The inputs are random floats
    in [0, 1) and zeros for whole numbers, the same for every file with the same inputs.

    Args:
        files: ``.tflite`` or ``.onnx``.
        target: a profile, or its name; it must be this machine.
        runs: timed inferences at least, 50 or more; an inference of microseconds gets more, so
            that the figures are stable. The number is a multiple of :data:`ROUNDS`.
        warmup: uncounted inferences before the first round.
        threads: that the engine gets; the target's own where ``None``.

    Returns:
        One measurement per file, in their order.

    Raises:
        MeasurementError: ``not measured: …`` where the target is not this machine or has no such
            engine; no answer in time.
        InputError: fewer than 50 runs, no file, a negative warm-up, or no thread.
        ArtifactError: a file that its engine refuses, or dies of.
    """
    if isinstance(target, str):
        target = Target.load(target)
    threads = target.threads if threads is None else threads
    _check(files, runs, warmup, threads)
    paths = [file.path if isinstance(file, Artifact) else Path(file) for file in files]
    _check_target(target, paths)
    with contextlib.ExitStack() as stack:
        runners = [stack.enter_context(Runner(path, threads=threads)) for path in paths]
        for runner in runners:
            runner.prepare([_values(port) for port in runner.inputs])
        sizes = [_block(runner, runs, warmup) for runner in runners]
        taken: list[list[int]] = [[] for _ in runners]
        with progress.task(f"bench on {target.name or 'host'}", ROUNDS) as task:
            for _ in range(ROUNDS):
                for runner, size, samples in zip(runners, sizes, taken, strict=True):
                    # The other files emptied the caches meanwhile: a few runs to fill them again.
                    samples += runner.time(size, 1 + size // 10)
                task.advance()
        device = this_device()
        return [
            _measurement(runner, samples, target, threads, device)
            for runner, samples in zip(runners, taken, strict=True)
        ]


def _check(files: Sequence[Any], runs: int, warmup: int, threads: int) -> None:
    if not files:
        raise InputError("no file to time; name at least one")
    if runs < LEAST_RUNS:
        raise InputError(f"runs = {runs}: fewer than {LEAST_RUNS} say too little; ask for more")
    if warmup < 0 or threads < 1:
        raise InputError(f"warmup = {warmup}, threads = {threads}: neither may be less (0 and 1)")


def _check_target(target: Target, paths: Sequence[Path]) -> None:
    reason = unreachable(target)
    if reason:
        raise MeasurementError(f"not measured: {reason}")
    for path in paths:
        engine = engine_of(path)
        if engine.name not in target.runtime:
            raise MeasurementError(
                f"not measured: target {target.name!r} has no {engine.title} for {path.name}"
            )


def _values(port: Port) -> npt.NDArray[Any]:
    shape = tuple(1 if size < 0 else size for size in port.shape)
    if np.dtype(port.dtype).kind == "f":
        return np.random.default_rng(_SEED).random(shape).astype(port.dtype)
    return np.zeros(shape, port.dtype)


def _block(runner: Runner, runs: int, warmup: int) -> int:
    """Runs of one round: as many as were asked for, or as a stable figure needs."""
    trial = float(np.median(runner.time(5, warmup)))
    enough = min(_MOST_RUNS, _ENOUGH_NS / max(trial, 1.0))
    return -(-int(max(runs, enough)) // ROUNDS)


def _measurement(
    runner: Runner, samples: Sequence[int], target: Target, threads: int, device: dict[str, str]
) -> Measurement:
    facts = runner.facts
    return Measurement(
        artifact=sha256_file(runner.path),
        file=runner.path.name,
        target=target.name,
        runtime=runner.engine.name,
        runtime_version=runner.version,
        threads=threads,
        latency_ns=tuple(samples),
        peak_memory_bytes=facts["peak_memory_bytes"],
        baseline_memory_bytes=facts["baseline_memory_bytes"],
        load_ns=facts["load_ns"],
        first_ns=facts["first_ns"],
        device=device,
    )
