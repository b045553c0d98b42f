"""A profile: its keys, how it is read, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr

from edgeprune.documents import OneOrMore, Strict, schema_of, validate
from edgeprune.errors import RecipeError
from edgeprune.files import SCHEMA
from edgeprune.gates import Gates
from edgeprune.targets.checking import MICROCONTROLLERS, misfits, without_private
from edgeprune.targets.finding import HERE, NAME, found, unknown
from edgeprune.targets.inheriting import Chain
from edgeprune.targets.sections import (
    Caches,
    Cluster,
    Connection,
    EthosU,
    Extension,
    Format,
    LatencyTable,
    Limits,
    Peaks,
    Precision,
    Ram,
    RuntimeSection,
    Sparse,
    System,
)
from edgeprune.targets.units import Mebibytes
from edgeprune.variants import NAMES

MEASURES = ("arch", "cpu", "cores", "memory", "runtime", "threads", "formats")
"""Keys that decide what is timed, and how."""


class Target(Strict):
    """A device profile; attributes are the keys of its file (``schema`` is ``schema_``).

    ``name`` is the file's name without ``.toml``; ``path`` is the file, ``chain`` this and those
    that it extends.
    """

    schema_: int = Field(default=SCHEMA, alias="schema", ge=0, description="Of the layout.")
    name_: str | None = Field(
        default=None, alias="name", description="The file's name without .toml; may be left out."
    )
    extends: str | None = Field(
        default=None, min_length=1, description="A profile whose keys hold where this says none."
    )
    description: str = Field(min_length=1, description="One line for the list of targets.")
    arch: Literal["any", "x86_64", "aarch64", "armv7l", "riscv64", "armv7e-m", "armv8.1-m"] = Field(
        description='As "uname -m" says it, or of a microcontroller; "any" is the machine that '
        "runs edgeprune."
    )
    isa: str | None = Field(
        default=None, min_length=1, description="Version of the instruction set: armv8.2-a."
    )
    extensions: Annotated[tuple[Extension, ...], Field(strict=False)] | None = Field(
        default=None, description="Of the instruction set, that all cores have."
    )
    soc: str | None = Field(default=None, min_length=1, description="The chip.")
    cpu: str | None = Field(default=None, description="Core type, such as cortex-a72.")
    cores: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Of the CPU; absent: the machine's own."
    )
    memory: Mebibytes | None = Field(
        default=None, description="RAM in MiB; absent: the machine's own."
    )
    runtime: OneOrMore = Field(
        default=("litert", "onnxruntime"),
        description="Engines it runs: litert (.tflite), onnxruntime (.onnx), tflite-micro "
        "(int8 .tflite on a microcontroller).",
        json_schema_extra={"examples": [["litert", "onnxruntime"]]},
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Threads an engine gets when it is timed."
    )
    formats: Annotated[tuple[Format, ...], Field(strict=False, min_length=1)] = Field(
        default=NAMES, description="Variants it can run."
    )
    precisions: Annotated[tuple[Precision, ...], Field(strict=False)] | None = Field(
        default=None, description="That the cores compute natively, without widening first."
    )
    channel_multiple: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="Widths that its kernels run at full speed are multiples of this; what "
        "[prune] channels leaves of a group is rounded to it.",
    )
    connection: Connection = Field(
        default="none", description="How the device is reached where nothing else is said."
    )
    note: str = Field(default="", description="What a person should know of it.")
    os: System | None = Field(default=None, description="The system it runs.")
    clusters: Annotated[tuple[Cluster, ...], Field(strict=False)] = Field(
        default=(), description="Cores by kind, the fastest first."
    )
    caches: Caches | None = Field(default=None, description="That all clusters share.")
    ram: Ram | None = Field(default=None, description="The main memory.")
    runtimes: Annotated[tuple[RuntimeSection, ...], Field(strict=False)] = Field(
        default=(), description="Engines with version and formats."
    )
    sparse: Sparse = Field(default=Sparse(), description="Where zeros make a file faster.")
    peaks: Peaks = Field(default=Peaks(), description="What it can do at most.")
    gates: Gates = Field(
        default=Gates(),
        description="Promises where neither the recipe nor its target makes them.",
    )
    limits: Limits | None = Field(
        default=None, description="Of a microcontroller: what there is for a model."
    )
    ethos_u: EthosU | None = Field(default=None, description="The accelerator beside the core.")
    latency: LatencyTable | None = Field(
        default=None,
        description="For [prune] max_latency_ms; its groups are those of one architecture.",
    )

    _name: str = PrivateAttr(default="")
    _chain: tuple[Path, ...] = PrivateAttr(default=(HERE,))

    @property
    def name(self) -> str:
        """Of the profile."""
        return self._name

    @property
    def path(self) -> Path:
        """The file it was read from, absolute."""
        return self._chain[0]

    @property
    def chain(self) -> tuple[Path, ...]:
        """The files it was read from, absolute, its own first."""
        return self._chain

    @property
    def micro(self) -> bool:
        """Whether it is a microcontroller: no system, nothing is timed there."""
        return self.arch in MICROCONTROLLERS

    @classmethod
    def load(cls, name: str | Path, extra: Iterable[Path | str] = ()) -> Self:
        """Read a profile by name, or by path where ``name`` ends in ``.toml``.

        Args:
            name: the name of a file without ``.toml``, or the path of one.
            extra: folders searched first (the ``targets`` beside a recipe).

        Raises:
            RecipeError: no such profile (with the nearest name), or its faults, one line each.
            VersionError: written for a newer edgeprune.
        """
        extra = tuple(extra)
        known = found(extra)
        fault = unknown(str(name), known)
        if fault is not None:
            raise RecipeError([fault])
        path = known.get(str(name)) or Path(name)
        chain = Chain(path, extra)
        content, private = without_private(chain.content)
        target, faults = validate(cls, content, lambda key: str(chain.said(key)))
        faults = [*(f"{chain.said(key)}: {_shared(key)}" for key in private), *faults]
        faults += _names(chain)
        if target is not None:
            faults += [f"{chain.said(key)}: {line}" for key, line in misfits(target)]
        if target is None or faults:
            raise RecipeError(faults)
        target._name, target._chain = path.stem, tuple(each.resolve() for each in chain.paths)
        return target

    @classmethod
    def names(cls, extra: Iterable[Path | str] = ()) -> tuple[str, ...]:
        """Names of all profiles, sorted, ``host`` first."""
        return tuple(sorted(found(extra), key=lambda name: (name != "host", name)))

    @classmethod
    def all(cls, extra: Iterable[Path | str] = ()) -> tuple[Self, ...]:
        """Every profile, in the order of :meth:`names`; raises as :meth:`load`."""
        extra = tuple(extra)
        return tuple(cls.load(name, extra) for name in cls.names(extra))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of the file, which editors complete from."""
        return schema_of(cls, "edgeprune target")

    def takes(self, variant: str) -> bool:
        """Whether the device runs this variant: format and engine both fit."""
        if variant.startswith("onnx"):
            engines = {"onnxruntime"}
        else:
            engines = {"litert", "tflite-micro"} if variant == "int8" else {"litert"}
        return variant in self.formats and not engines.isdisjoint(self.runtime)

    def computed_gflops(self) -> float | None:
        """fp32 GFLOP/s of all cores, from the clusters; ``None`` where one of them says too
        little."""
        total = 0.0
        for cluster in self.clusters:
            if cluster.flops_per_cycle is None or cluster.clock_mhz is None:
                return None
            total += cluster.cores * cluster.flops_per_cycle * cluster.clock_mhz / 1000
        return total if self.clusters else None

    def facts(self) -> dict[str, Any]:
        """The profile as JSON values, for ``--json``: no path."""
        return {**self.model_dump(mode="json", by_alias=True), "name": self.name}

    def measuring_facts(self) -> dict[str, Any]:
        """What of the profile can change a measurement, for stage keys."""
        facts = self.facts()
        return {key: facts[key] for key in ("name", *MEASURES)}


def _shared(key: str) -> str:
    return (
        f"'{key}' is or holds a host, a user or a secret, and a profile is shared; leave it out "
        "and say it where you connect"
    )


def _names(chain: Chain) -> list[str]:
    path, said = chain.paths[0], chain.content.get("name")
    faults = []
    if not NAME.fullmatch(path.stem):
        faults.append(
            f"{path}: the name of a profile has letters, digits, '.', '_' and '-' only; rename it"
        )
    if isinstance(said, str) and said != path.stem:
        faults.append(
            f"{path}: 'name' is {said!r}, and a profile has its file's name; "
            f"write {path.stem!r}, or leave it out"
        )
    return faults
