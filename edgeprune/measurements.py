"""What a file did when it ran: raw samples and where they came from; differences from its model.

Statistics are computed from the samples, never stored beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeprune.intervals import Interval, median_interval


def unavailable(reason: str) -> dict[str, str]:
    """What ``--json`` has in the place of a figure that is missing: absent is never zero."""
    return {"availability": "unavailable", "reason": reason}


_LATER = (
    "batch", "rounds", "elapsed_ns", "warmup_runs", "steady", "stopped", "conditions", "via",
    "date",
)  # fmt: skip
"""What measurements saved by edgeprune 0.x may not have."""
_RESULTS = (
    "median_ms", "median_interval_ms", "p90_ms", "p95_ms", "p99_ms", "iqr_ms", "throughput_per_s",
)  # fmt: skip
"""What a file that answers wrongly has none of."""


_NO_MODEL = "the file's model was not asked"
_OWN = "it is the engine that others are compared with"


@dataclass(frozen=True)
class Measurement:
    """Latency and memory of one artifact on one target.

    Attributes:
        artifact: sha256 of the file.
        file: its name, for people.
        target: name of the profile.
        runtime: ``"litert"`` or ``"onnxruntime"``.
        runtime_version: of the engine that ran it.
        threads: that the engine was given.
        latency_ns: one entry per timed run, in order; nanoseconds.
        peak_memory_bytes: high-water mark of the child process that ran it.
        baseline_memory_bytes: the same process with the engine loaded and no model.
        load_ns: from file to ready.
        first_ns: the first inference, apart from the timed ones.
        device: facts of the machine (cpu, system); may be empty.
        batch: examples of one inference.
        rounds: parts of equal length that the samples were taken in, other files between them.
        elapsed_ns: from the first to the last inference of each round, added up.
        warmup_runs: uncounted inferences before the first round.
        steady: the warm-up had come to rest; ``None``: nobody looked.
        stopped: why no further runs were made: ``"interval"`` (narrow enough), ``"time"`` (the
            limit), ``"rounds"`` (the most there are); empty: as many as were asked for.
        conditions: clock, governor, heat, throttling, pinning, as far as the machine tells.
        via: the connection.
        date: when, ISO 8601 in UTC.
        outputs_match: this machine's engine answers the same, for the same inputs; ``None``: it is
            that engine.
        difference: the largest, of the largest output; ``None`` where an output is no number.
        model_match: the file's Keras model answers the same; ``None``: it was not asked.
        model_difference: likewise.
    """

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    threads: int
    latency_ns: tuple[int, ...]
    peak_memory_bytes: int
    baseline_memory_bytes: int = 0
    load_ns: int = 0
    first_ns: int = 0
    device: Mapping[str, str] = field(default_factory=dict)
    batch: int = 1
    rounds: int = 10
    elapsed_ns: int = 0
    warmup_runs: int = 0
    steady: bool | None = None
    stopped: str = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    via: str = "local"
    date: str = ""
    outputs_match: bool | None = None
    difference: float | None = None
    model_match: bool | None = None
    model_difference: float | None = None

    @property
    def wrong(self) -> bool:
        """Its outputs are not what they must be: its latency is no result."""
        return self.outputs_match is False or self.model_match is False

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latency; milliseconds."""
        return float(np.percentile(np.asarray(self.latency_ns, np.float64), percent)) / 1e6

    @property
    def median_ms(self) -> float:
        """Median latency; milliseconds."""
        return self.percentile_ms(50)

    @property
    def p95_ms(self) -> float:
        """95th percentile of the latency; milliseconds."""
        return self.percentile_ms(95)

    @property
    def iqr_ms(self) -> float:
        """Inter-quartile range of the latency; milliseconds."""
        return self.percentile_ms(75) - self.percentile_ms(25)

    @property
    def round_medians(self) -> tuple[float, ...]:
        """Median latency of each round; nanoseconds."""
        parts = np.array_split(np.asarray(self.latency_ns, np.float64), self.rounds)
        return tuple(float(np.median(part)) for part in parts if len(part))

    @property
    def interval(self) -> Interval | None:
        """Where the median of the rounds lies at 95 %, nanoseconds: of rounds, since inferences
        that follow each other are not independent; ``None`` for fewer than six."""
        return median_interval(self.round_medians)

    @property
    def throughput_per_s(self) -> float | None:
        """Examples a second, by the clock around the rounds; ``None`` where it was not read."""
        return (
            self.batch * len(self.latency_ns) / self.elapsed_ns * 1e9 if self.elapsed_ns else None
        )

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        per_second, about = self.throughput_per_s, self.interval
        found = {
            "artifact": self.artifact,
            "file": self.file,
            "target": self.target,
            "via": self.via,
            "emulated": False,
            "figures": "measured",
            "date": self.date,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "threads": self.threads,
            "batch": self.batch,
            "rounds": self.rounds,
            "warmup_runs": self.warmup_runs,
            "steady": self.steady,
            "stopped": self.stopped,
            "latency_ns": list(self.latency_ns),
            "median_ms": self.median_ms,
            "median_interval_ms": unavailable("fewer than six rounds")
            if about is None
            else {"low": about.low / 1e6, "high": about.high / 1e6},
            "p90_ms": self.percentile_ms(90),
            "p95_ms": self.p95_ms,
            "p99_ms": self.percentile_ms(99),
            "iqr_ms": self.iqr_ms,
            "elapsed_ns": self.elapsed_ns,
            "throughput_per_s": unavailable("no clock was read around the runs")
            if per_second is None
            else per_second,
            "conditions": dict(self.conditions),
            "load_ms": self.load_ns / 1e6,
            "first_ms": self.first_ns / 1e6,
            "peak_memory_bytes": self.peak_memory_bytes,
            "baseline_memory_bytes": self.baseline_memory_bytes,
            "arena_bytes": unavailable("neither engine tells Python of its arena"),
            "device": dict(self.device),
            **answer_facts(
                self.outputs_match, self.difference, self.model_match, self.model_difference
            ),
        }
        return without_results(found, _RESULTS)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Measurement:
        """Read what :meth:`facts` gave; statistics are computed anew."""
        answers: dict[str, Any] = {
            key: value if isinstance(value := facts.get(key), bool | float) else None
            for key in ("outputs_match", "difference", "model_match", "model_difference")
        }
        return cls(
            artifact=facts["artifact"],
            file=facts["file"],
            target=facts["target"],
            runtime=facts["runtime"],
            runtime_version=facts["runtime_version"],
            threads=facts["threads"],
            latency_ns=tuple(facts["latency_ns"]),
            peak_memory_bytes=facts["peak_memory_bytes"],
            baseline_memory_bytes=facts["baseline_memory_bytes"],
            load_ns=round(facts["load_ms"] * 1e6),
            first_ns=round(facts["first_ms"] * 1e6),
            device=facts["device"],
            **answers,
            **{key: facts[key] for key in _LATER if key in facts},
        )


def wrong_outputs(facts: Mapping[str, Any]) -> str:
    """Of what ``--json`` has of a file: that its outputs are wrong, in a line; else empty."""
    for key, whose in (("outputs_match", "this machine's engine"), ("model_match", "its model")):
        if facts.get(key) is False:
            return f"{facts['file']}: its outputs on {facts['target']} are not those of {whose}"
    return ""


def answer_facts(
    match: bool | None,
    difference: float | None,
    model_match: bool | None,
    model_difference: float | None,
) -> dict[str, Any]:
    """What ``--json`` has of a file's outputs, compared with this machine's engine and the model:
    as a :class:`Measurement` has them."""
    return {
        "outputs_match": _or_why(match, _OWN),
        "difference": _apart(match, difference, _OWN),
        "model_match": _or_why(model_match, _NO_MODEL),
        "model_difference": _apart(model_match, model_difference, _NO_MODEL),
    }


def without_results(facts: dict[str, Any], results: Iterable[str]) -> dict[str, Any]:
    """``facts``, where their outputs are wrong without what would be ``results`` otherwise; the raw
    samples stay."""
    if wrong_outputs(facts):
        raw = "the outputs are wrong: the samples are how long that took"
        facts.update(dict.fromkeys(results, unavailable(raw)))
    return facts


def _or_why(match: bool | None, why: str) -> Any:
    return unavailable(why) if match is None else match


def _apart(match: bool | None, difference: float | None, why: str) -> Any:
    if difference is not None:
        return difference
    return unavailable(why if match is None else "an output is no number")


@dataclass(frozen=True)
class Difference:
    """How far one output of a file is from its model's.

    Attributes:
        output: name of the model's output.
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        scale: largest absolute value of the model's output.
        top1_agreement: share of samples whose argmax over the last axis agrees; ``None`` for
            outputs with a last axis of 1.
        worst_sample: index of the sample with the largest difference.
        worst_value: what the file answered there.
        worst_expected: what the model answers there.
        constant: whether the model's own output is the same for every sample, up to rounding: then
            the comparison says nothing of what the file makes of its inputs.
        rms: root mean square of the difference.
        spread: root mean square of the model's output less its mean over the samples.
        cosine: of all values of file and model as two vectors; 1 where both are 0.
    """

    output: str
    max_abs: float
    mean_abs: float
    scale: float
    top1_agreement: float | None
    worst_sample: int
    worst_value: float
    worst_expected: float
    constant: bool = False
    rms: float = 0.0
    spread: float = 0.0
    cosine: float = 1.0

    @property
    def relative(self) -> float:
        """``max_abs`` over ``scale`` (0 where both are 0)."""
        return _over(self.max_abs, self.scale)

    @property
    def mean_relative(self) -> float:
        """``mean_abs`` over ``scale`` (0 where both are 0)."""
        return _over(self.mean_abs, self.scale)

    @property
    def noise(self) -> float:
        """``rms`` over ``spread``: 1 is as wrong as a file that ignores its input. Over ``scale``
        where the model's own output is constant."""
        return _over(self.rms, self.scale if self.constant else self.spread)

    @property
    def relative_rms(self) -> float:
        """``rms`` over ``scale`` (0 where both are 0)."""
        return _over(self.rms, self.scale)

    def by(self, measure: str) -> float:
        """:attr:`relative`, or for ``"rms"`` :attr:`relative_rms`."""
        return self.relative_rms if measure == "rms" else self.relative

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            **self.__dict__,
            "relative": self.relative,
            "mean_relative": self.mean_relative,
            "relative_rms": self.relative_rms,
            "noise": self.noise,
        }


NOISY = 0.5
"""Share of what an output says that may be rounding before a word is said of it."""


def _over(value: float, scale: float) -> float:
    return value / scale if scale else (0.0 if value == 0 else 1e30)


@dataclass(frozen=True)
class Verification:
    """A file compared with its model: every output within tolerance.

    Attributes:
        artifact: sha256 of the file.
        samples: how many inputs were compared.
        tolerance: what every output kept within, of ``measure``.
        differences: one per output, in the model's order.
        measure: ``"relative"`` or ``"rms"``: :meth:`Difference.by`.
        variant: of the file.
    """

    artifact: str
    samples: int
    tolerance: float
    differences: tuple[Difference, ...]
    measure: str = "relative"
    variant: str = ""

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "artifact": self.artifact,
            "samples": self.samples,
            "variant": self.variant,
            "tolerance": self.tolerance,
            "measure": self.measure,
            "outputs": [difference.facts() for difference in self.differences],
            "warnings": list(self.warnings()),
        }

    def warnings(self) -> tuple[str, ...]:
        """What takes from the comparison, one line an output."""
        constant = tuple(
            f"output {one.output!r} is the same for all {self.samples} examples, in the model too: "
            "the comparison proves nothing of it; give examples that differ, or look at the model"
            for one in self.differences
            if one.constant
        )
        return constant + tuple(
            f"output {one.output!r} changes so little from example to example that rounding makes "
            f"{one.noise:.0%} of it; judge by the metric, or take a wider variant"
            for one in self.differences
            if self.measure == "rms" and one.noise > NOISY and not one.constant
        )
