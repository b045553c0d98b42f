"""Files timed in turns, each in a child process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Artifact, Port
from edgeprune.benchmarking.comparing import ROUNDS
from edgeprune.benchmarking.conditions import between
from edgeprune.benchmarking.outputs import Answers, answers_by
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.benchmarking.statistics import steady
from edgeprune.errors import ArtifactError, InputError, MeasurementError
from edgeprune.files import now, sha256_file
from edgeprune.goldens import Golden
from edgeprune.intervals import median_interval
from edgeprune.measurements import Measurement
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import Runner, engine_of
from edgeprune.targets import Target

LEAST_RUNS = 50
WARMUP = 10
SECONDS = 10.0
ENOUGH = 0.02
"""Where the median lies: a way to either end, as a share, that needs no further runs."""
_ENOUGH_NS = 300_000_000
"""Timed nanoseconds a file gets: an inference of microseconds needs more than fifty runs."""
_MOST_RUNS = 10_000
_MOST_ROUNDS = 100
_SEED = 20
_WINDOW_NS = 5_000_000
"""Of a warm-up: what is compared with the one before."""

__all__ = [
    "LEAST_RUNS",
    "ROUNDS",
    "SECONDS",
    "bench_files",
    "check_engines",
    "check_reach",
    "unreachable",
]


def unreachable(target: Target) -> str | None:
    """Why nothing can be timed on the target; ``None`` where it is this machine."""
    if target.arch == "any":
        return None
    if target.micro:
        return (
            f"target {target.name!r} is a microcontroller, where nothing is timed from here; "
            f"'edgeprune bench FILE --target {target.name}' says whether a file fits"
        )
    emulated = "; --via qemu emulates it" if target.arch == "aarch64" and target.clusters else ""
    return (
        f"target {target.name!r} ({target.arch}) is not this machine, and nothing says where its "
        f"board is ('edgeprune bench --ssh user@host' times files there{emulated})"
    )


@dataclass
class _Timed:
    """One file while it is measured."""

    runner: Runner
    size: int = 0
    warmup: int = 0
    steady: bool = False
    taken: list[int] = field(default_factory=list)
    elapsed_ns: int = 0

    def warm(self, least: int, limit_s: float) -> float:
        """Run until five windows stand still, ``least`` inferences at least and ``limit_s`` at
        most; nanoseconds of one inference."""
        begin = perf_counter()
        trial = float(np.median(self.runner.time(5)))
        window = int(min(max(_WINDOW_NS / max(trial, 1.0), 1), _MOST_RUNS))
        medians: list[float] = []
        self.warmup = 6
        while True:
            medians.append(float(np.median(self.runner.time(window))))
            self.warmup += window
            self.steady = steady(medians)
            late = perf_counter() - begin > limit_s
            if self.warmup >= least and (self.steady or late):
                return medians[-1]

    def round(self) -> None:
        """One round more; the other files emptied the caches meanwhile, so a few inferences fill
        them again."""
        before = self.runner.elapsed_ns
        self.taken += self.runner.time(self.size, 1 + self.size // 10)
        self.elapsed_ns += self.runner.elapsed_ns - before

    @property
    def narrow(self) -> bool:
        """The median is known well enough."""
        parts = np.asarray(self.taken, np.float64).reshape(-1, self.size)
        found = median_interval(np.median(parts, axis=1))
        return found is not None and found.half_width <= ENOUGH


def bench_files(
    files: Sequence[Artifact | Path | str],
    target: Target | str = "host",
    *,
    runs: int = LEAST_RUNS,
    warmup: int = WARMUP,
    threads: int | None = None,
    batch: int | None = None,
    seconds: float = SECONDS,
    place: Place = HERE,
    golden: Sequence[Golden | None] = (),
    progress: Progress = SILENT,
) -> list[Measurement]:
    """Time files in turns (A B A B …), each in a child process of its own.

    One sample is one inference of one batch, timed inside the child by ``perf_counter_ns``: in
    LiteRT ``invoke`` alone, in ONNX Runtime ``run`` with its copies. The inputs are random floats
    in [0, 1) and zeros for whole numbers, the same for every file with the same inputs.

    A file is warmed up until it stands still (:func:`~edgeprune.benchmarking.statistics.steady`).
    Then come :data:`ROUNDS` rounds, and more until the interval of every file's median (order
    statistics of the rounds, 95 %) reaches at most 2 % to either side, until the time limit, or
    until a hundred rounds, whichever is first; ``stopped`` says which.

    Args:
        files: ``.tflite`` or ``.onnx``.
        target: a profile, or its name; without a ``place`` it must be this machine.
        runs: timed inferences at least; an inference of microseconds gets more, so that the
            figures are stable. The number is a multiple of :data:`ROUNDS`.
        warmup: uncounted inferences before the first round, at least.
        threads: that the engine gets; the target's own where ``None``.
        batch: examples of one inference; the file's own where ``None``. A file made for another
            one is resized where its engine can, and must answer as before.
        seconds: timed for each file, after which no round is begun that ``runs`` does not ask for.
        place: where; a board answers further inputs at the end, and what it answers is compared
            with this machine's engine.
        golden: of each file, what it is asked instead of seeded inputs; its answers are then
            compared with the model's too. Those beside the files where nothing is given.

    Returns:
        One measurement per file, in their order.

    Raises:
        MeasurementError: ``not measured: …`` where the target is not this machine or has no such
            engine; no answer in time.
        InputError: too few runs, no file, a negative warm-up, or no thread, batch or time.
        ArtifactError: a file that its engine refuses, or dies of; one that takes no such batch.
    """
    if isinstance(target, str):
        target = Target.load(target)
    threads = target.threads if threads is None else threads
    _check(files, runs, warmup, threads, batch, seconds)
    paths = [file.path if isinstance(file, Artifact) else Path(file) for file in files]
    if place is HERE:
        check_reach(target)
    check_engines(target, paths)
    about = golden or [Golden.beside(path) for path in paths]
    with contextlib.ExitStack() as stack:
        timed = [_Timed(stack.enter_context(place.runner(path, threads=threads))) for path in paths]
        sizes = [prepare(each.runner, batch) for each in timed]
        for each in timed:
            trial = each.warm(warmup, seconds / 5)
            enough = min(_MOST_RUNS, min(_ENOUGH_NS, seconds * 1e9) / max(trial, 1.0))
            each.size = -(-int(max(runs, enough)) // ROUNDS)
        before = place.state()
        stopped, rounds = _rounds(timed, seconds, f"bench on {target.name or 'host'}", progress)
        conditions = between(before, place.state(), threads, *place.cpus())
        device, date = place.device(), now()
        found = [
            _measurement(
                each, target, threads, device, via=place.via,
                batch=size, rounds=rounds, stopped=stopped, conditions=conditions, date=date,
            )
            for each, size in zip(timed, sizes, strict=True)
        ]  # fmt: skip
        return [
            _checked(each, answers_by(one.runner, gold, own=place.own))
            for each, one, gold in zip(found, timed, about, strict=True)
        ]


def _checked(measurement: Measurement, found: Answers) -> Measurement:
    """With what became of its outputs; after the timing, whose first inference is a figure too."""
    return replace(
        measurement,
        outputs_match=found.match,
        difference=found.difference,
        model_match=found.model_match,
        model_difference=found.model_difference,
    )


def _rounds(
    timed: Sequence[_Timed], seconds: float, name: str, progress: Progress
) -> tuple[str, int]:
    """Rounds of all files in turns; why they ended, and how many there were."""
    begin, rounds = perf_counter(), 0
    with progress.task(name, ROUNDS) as task:
        while True:
            for each in timed:
                each.round()
            rounds += 1
            task.advance(1 if rounds <= ROUNDS else 0)
            if rounds < ROUNDS:
                continue
            if all(each.narrow for each in timed):
                return "interval", rounds
            if perf_counter() - begin >= seconds * len(timed):
                return "time", rounds
            if rounds >= _MOST_ROUNDS:
                return "rounds", rounds


def prepare(runner: Runner, batch: int | None) -> int:
    """Set a file's inputs and run it once.

    Returns:
        How many examples one inference takes.

    Raises:
        ArtifactError: it takes no such batch, or answers otherwise with it.
    """
    own = max(runner.inputs[0].shape[0], 1) if runner.inputs[0].shape else 1
    if batch is None or batch == own:
        runner.prepare([values_for(port, None) for port in runner.inputs])
        return own
    inputs = [values_for(port, batch) for port in runner.inputs]
    wanted = runner.infer(inputs)
    try:
        found = runner.prepare(inputs)
        same = all(
            one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=_apart(one))
            for one, other in zip(wanted, found, strict=True)
        )
    except ArtifactError:
        same, why = False, f"{runner.engine.title} cannot resize it"
    else:
        why = "its answers are others then"
    if not same:
        raise ArtifactError(
            f"{runner.path}: takes batches of {own}, not of {batch} ({why}); "
            f"export it with --batch {batch}"
        )
    return batch


def _apart(values: npt.NDArray[Any]) -> float:
    return 1e-4 * float(np.abs(values.astype(np.float64)).max(initial=0.0))


def _check(
    files: Sequence[Any], runs: int, warmup: int, threads: int, batch: int | None, seconds: float
) -> None:
    if not files:
        raise InputError("no file to time; name at least one")
    if runs < ROUNDS:
        raise InputError(f"runs = {runs}: fewer than {ROUNDS} say too little; ask for more")
    if warmup < 0 or threads < 1:
        raise InputError(f"warmup = {warmup}, threads = {threads}: neither may be less (0 and 1)")
    if (batch is not None and batch < 1) or not 0 < seconds < float("inf"):
        raise InputError(f"batch = {batch}, seconds = {seconds}: both must be above 0")


def check_reach(target: Target) -> None:
    """Refuse a target that is not this machine.

    Raises:
        MeasurementError: ``not measured: …``.
    """
    reason = unreachable(target)
    if reason:
        raise MeasurementError(f"not measured: {reason}")


def check_engines(target: Target, paths: Sequence[Path]) -> None:
    """Refuse files that the target has no engine for.

    Raises:
        MeasurementError: ``not measured: …``.
        ArtifactError: no engine runs such files.
    """
    for path in paths:
        engine = engine_of(path)
        if engine.name not in target.runtime:
            raise MeasurementError(
                f"not measured: target {target.name!r} has no {engine.title} for {path.name}"
            )


def values_for(port: Port, batch: int | None) -> npt.NDArray[Any]:
    """Inputs that are the same for every file: floats in [0, 1), and zeros for whole numbers."""
    shape = tuple(1 if size < 0 else size for size in port.shape)
    if batch is not None:
        shape = (batch, *shape[1:])
    if np.dtype(port.dtype).kind == "f":
        return np.random.default_rng(_SEED).random(shape).astype(port.dtype)
    return np.zeros(shape, port.dtype)


def _measurement(
    timed: _Timed, target: Target, threads: int, device: dict[str, str], **about: Any
) -> Measurement:
    runner = timed.runner
    facts = runner.facts
    return Measurement(
        artifact=sha256_file(runner.path),
        file=runner.path.name,
        target=target.name,
        runtime=runner.engine.name,
        runtime_version=runner.version,
        threads=threads,
        latency_ns=tuple(timed.taken),
        peak_memory_bytes=facts["peak_memory_bytes"],
        baseline_memory_bytes=facts["baseline_memory_bytes"],
        load_ns=facts["load_ns"],
        first_ns=facts["first_ns"],
        device=device,
        elapsed_ns=timed.elapsed_ns,
        warmup_runs=timed.warmup,
        steady=timed.steady,
        **about,
    )
