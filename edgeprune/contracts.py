"""What ``bench --json`` prints, as models: programs read it, so its keys are published as JSON
Schema and are a promise for as long as ``schema`` stays what it is.

A figure that is missing is an :class:`Unavailable` with its reason, never zero.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeprune.files import SCHEMA

Version = Annotated[int, Field(ge=1, le=SCHEMA)]
Positive = Annotated[int, Field(ge=1)]
Figure = Annotated[float, Field(ge=0)]


class _Facts(BaseModel):
    """An object of the output: no other keys, no other types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Unavailable(_Facts):
    """A figure that is missing."""

    availability: Literal["unavailable"]
    reason: str


class Pair(_Facts):
    """Of the machine, around a measurement."""

    before: float
    after: float


class Interval(_Facts):
    """At 95 %."""

    low: float
    high: float


class Conditions(_Facts):
    """The machine's state, as far as it tells."""

    governor: str | Unavailable
    clock_mhz: Pair | Unavailable
    temperature_c: Pair | Unavailable = Field(description="Of the hottest zone.")
    throttled: bool | Unavailable
    load: Pair | Unavailable
    waited: float | Unavailable = Field(description="Share of the time some task waited.")
    stolen: float | Unavailable = Field(description="Share that a hypervisor gave to others.")
    threads: Positive
    cpus: list[int] = Field(description="That could be used.")
    pinned: bool


class Source(_Facts):
    """What made it."""

    edgeprune: str
    python: str
    commit: str | Unavailable = Field(description="Of the working directory.")
    dirty: bool | Unavailable = Field(description="Tracked files differ from it.")


class _File(_Facts):
    """A file, where it ran, and in which engine."""

    schema_: Version | None = Field(
        default=None, alias="schema", description="Of the layout; in a list the outer object's."
    )
    file: str = Field(description="Its name.")
    artifact: str = Field(description="Its sha256.")
    target: str = Field(description="Name of the profile.")
    runtime: str
    runtime_version: str
    threads: Positive


class _Answers(_Facts):
    """Whether its outputs are right; differences are of the largest output."""

    outputs_match: bool | Unavailable = Field(description="With this machine's engine.")
    difference: Figure | Unavailable
    model_match: bool | Unavailable = Field(description="With the file's Keras model.")
    model_difference: Figure | Unavailable


class _Ran(_File, _Answers):
    """A file that ran on a machine."""

    via: Literal["local", "ssh", "adb", "fake"]
    emulated: Literal[False]
    figures: Literal["measured"]
    source: Source | None = Field(default=None, description="Of the verb alone.")


class _Around(_Ran):
    """With the machine around it."""

    batch: Positive = Field(description="Examples of one inference.")
    date: str
    device: dict[str, str]
    conditions: Conditions


class Measured(_Around):
    """A file timed warm; where its outputs are wrong without figures, and with its samples."""

    rounds: Positive
    warmup_runs: int
    steady: bool | None
    stopped: Literal["interval", "time", "rounds", ""]
    latency_ns: list[int] = Field(description="Every sample, in order.")
    median_ms: Figure | Unavailable
    median_interval_ms: Interval | Unavailable
    p90_ms: Figure | Unavailable
    p95_ms: Figure | Unavailable
    p99_ms: Figure | Unavailable
    iqr_ms: Figure | Unavailable
    elapsed_ns: int
    throughput_per_s: Figure | Unavailable = Field(description="Examples, by the clock around.")
    load_ms: Figure
    first_ms: Figure
    peak_memory_bytes: int
    baseline_memory_bytes: int
    arena_bytes: int | Unavailable
    valid: bool | None = None
    doubts: list[str] = []


class Cold(_Around):
    """A file started again and again, ``bench --cold``."""

    cold: Literal[True]
    load_ns: list[int]
    first_ns: list[int]
    load_ms: Figure | Unavailable
    first_ms: Figure | Unavailable
    load_first_ms: Figure | Unavailable
    peak_memory_bytes: int
    cache_dropped: Literal[True] | Unavailable


class Point(_Facts):
    """A stretch of a curve."""

    at_s: float
    runs: Positive
    median_ms: Figure
    median_ns: Figure
    p95_ns: Figure
    clock_mhz: float | None = None
    temperature_c: float | None = None


class Start(_Facts):
    """The gate before a file runs for minutes."""

    temperature_c: float
    wanted: float | None
    waited_s: float


class Sustained(_Around):
    """A file that ran for minutes, ``bench --sustained``."""

    sustained: Literal[True]
    seconds: float
    start: Start | Unavailable
    curve: list[Point]
    part_s: float
    first_part_ms: Figure | Unavailable
    last_part_ms: Figure | Unavailable
    slowdown: Figure | Unavailable


class Node(_Facts):
    """Of a profile."""

    name: str
    op: str
    us: Figure
    share: Figure


class Profiled(_Ran):
    """Where the time of a file goes, ``bench --profile``."""

    profile: Literal[True]
    by: str
    runs: Positive
    nodes: list[Node]


class Counted(_File):
    """A file in the emulated ARM, ``bench --via qemu``: no time, since emulated time is none."""

    via: Literal["qemu"]
    emulated: Literal[True]
    figures: Literal["counted"]
    core: str
    emulator: str
    instructions: int | Unavailable = Field(description="Of one inference.")
    kernels: dict[str, int] | Unavailable = Field(description="Instructions by function.")
    outputs_match: bool
    difference: Figure | Unavailable


class Use(_Facts):
    """Of one memory."""

    used_bytes: int
    limit_bytes: int
    margin_bytes: int
    margin: float
    verdict: Literal["fits", "tight", "too big"]
    source: Literal["measured", "estimated"]


class Footprint(_Facts):
    """A file on a microcontroller."""

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    verdict: Literal["fits", "tight", "too big"]
    flash: Use
    ram: Use
    arena: dict[str, int]
    estimate: dict[str, Any] | None
    latency: Unavailable


class Side(_Facts):
    """Of a comparison."""

    file: str
    artifact: str
    target: str
    runtime: str
    runtime_version: str
    date: str
    median_ms: Figure


class Comparison(_Facts):
    """One file beside another: how many times as long it takes, at 95 %."""

    before: Side
    after: Side
    ratio: float
    low: float
    high: float
    paired: bool = Field(description="Timed in turns.")
    verdict: Literal["faster", "slower", "cannot tell"]
    notes: list[str]
    max_slowdown: float | None = None
    outcome: Literal["holds", "broken", "cannot tell"] | None = None


class Failed(_Facts):
    """One of several targets that gave nothing."""

    target: str
    error: str


Result = Measured | Cold | Sustained | Profiled | Counted


class Several(_Facts):
    """Several files, or several targets."""

    schema_: Version = Field(alias="schema")
    target: str | None = Field(default=None, description="Where there is one.")
    targets: list[str] | None = Field(default=None, description="Where there are several.")
    via: str | None = None
    emulated: bool | None = None
    measurements: list[Result] = []
    footprints: list[Footprint] = []
    comparisons: list[Comparison] = []
    failed: list[Failed] = []


BENCH: TypeAdapter[Any] = TypeAdapter(Several | Result)
COUNT: TypeAdapter[Any] = TypeAdapter(Counted)


def bench_schema() -> dict[str, Any]:
    """JSON Schema of what ``bench --json`` prints, and ``bench --save`` keeps."""
    return _published(BENCH, "edgeprune bench")


def count_schema() -> dict[str, Any]:
    """JSON Schema of what ``bench FILE --via qemu --json`` prints of one file."""
    return _published(COUNT, "edgeprune bench --via qemu")


def _published(contract: TypeAdapter[Any], title: str) -> dict[str, Any]:
    draft = "https://json-schema.org/draft/2020-12/schema"
    told = f"{title} --json, schema {SCHEMA}"
    return {"$schema": draft, **contract.json_schema(by_alias=True), "title": told}
