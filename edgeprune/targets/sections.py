"""The tables of a profile, key by key; ``targets/README.md`` says them in prose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.documents import OneOrMore, Strict
from edgeprune.targets.units import Bits, FirstLevel, Kibibytes, Megahertz, Megatransfers
from edgeprune.variants import VariantName

Format = VariantName
Runtime = Literal["litert", "onnxruntime", "tflite-micro"]
Extension = Literal[
    "neon", "fp16", "dotprod", "i8mm", "bf16", "sve", "sve2", "dsp", "mve", "avx2", "avx512"
]
Precision = Literal["fp32", "fp16", "bf16", "int16", "int8"]
Connection = Literal["local", "ssh", "adb", "none"]
Pattern = Literal["none", "1x4", "1x16", "2x1"]

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Register = Annotated[int, Field(ge=0, le=0xFFF)]
Source = Annotated[OneOrMore, Field(min_length=1)]
"""Where figures come from: at least one line, each a document or how it was computed."""


class LatencyTable(Strict):
    """How long an inference takes, by what is left of each group of channels."""

    constant: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="Milliseconds that no channel changes."
    )
    groups: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)] = Field(
        description="Milliseconds per kept channel, by group name or glob; a name goes before a "
        "glob, and of globs the first."
    )


class Cluster(Strict):
    """Cores of one kind that share a clock."""

    cpu: str = Field(min_length=1, description="Microarchitecture, such as cortex-a72.")
    cores: Annotated[int, Field(ge=1, le=1024)] = Field(description="How many.")
    implementer: Annotated[int, Field(ge=0, le=0xFF)] | None = Field(
        default=None, description="MIDR_EL1 [31:24]; Arm Limited is 0x41."
    )
    part: Register | None = Field(default=None, description="MIDR_EL1 [15:4].")
    variant: Annotated[int, Field(ge=0, le=15)] | None = Field(
        default=None, description="MIDR_EL1 [23:20], the r of r0p3."
    )
    revision: Annotated[int, Field(ge=0, le=15)] | None = Field(
        default=None, description="MIDR_EL1 [3:0], the p of r0p3."
    )
    clock_mhz: Megahertz | None = Field(default=None, description="Highest clock, MHz.")
    l1i_kib: FirstLevel | None = Field(
        default=None, description="Instruction cache of each core, KiB."
    )
    l1d_kib: FirstLevel | None = Field(default=None, description="Data cache of each core, KiB.")
    l2_kib: Kibibytes | None = Field(default=None, description="Second level, KiB.")
    l2_shared: bool = Field(
        default=False, description="The cluster shares one second level; else each core has one."
    )
    flops_per_cycle: Positive | None = Field(
        default=None,
        description="fp32 operations of one core in a cycle; a multiply-add is two.",
    )
    source: Source = Field(description="Where these figures come from.")


class Caches(Strict):
    """What all clusters share."""

    l3_kib: Kibibytes | None = Field(default=None, description="Third level, KiB.")
    system_kib: Kibibytes | None = Field(
        default=None, description="The system's last level, shared with GPU and others, KiB."
    )
    source: Source = Field(description="Where these figures come from.")


class Ram(Strict):
    """The main memory."""

    type: str = Field(min_length=1, description="Such as LPDDR4.")
    mt_per_s: Megatransfers | None = Field(
        default=None, description="Million transfers a second on each wire."
    )
    bits: Bits | None = Field(default=None, description="Width of the bus, all channels.")
    source: Source = Field(description="Where these figures come from.")


class System(Strict):
    """The operating system that the profile is written for."""

    name: str = Field(min_length=1, description="Such as Raspberry Pi OS.")
    version: str | None = Field(default=None, description="Of it.")
    python: str | None = Field(
        default=None,
        pattern=r"^3\.\d+$",
        description="Version of Python it brings; decides which runtimes can be installed.",
    )


class RuntimeSection(Strict):
    """An engine on the device."""

    name: Runtime = Field(description="One of the engines in 'runtime'.")
    version: str | None = Field(
        default=None, min_length=1, description="The newest known to install there."
    )
    formats: Annotated[tuple[Format, ...], Field(strict=False, min_length=1)] = Field(
        description="Variants it runs there."
    )
    source: Source = Field(description="How this is known.")


class Pays(Strict):
    """Whether zeros make one family of layers faster."""

    pays: bool = Field(description="A sparse kernel runs, and faster than the dense one.")
    pattern: Pattern = Field(default="none", description="In which pattern best.")
    above: Share | None = Field(
        default=None, description="Share of zeros from which it is faster than dense fp32."
    )
    beats_int8: bool | None = Field(
        default=None, description="At 90 % zeros it needs fewer instructions than dense int8."
    )
    source: Source = Field(description="How this is known.")


class Sparse(Strict):
    """Where sparse kernels pay."""

    convolutions: Pays | None = Field(
        default=None, description="1x1 convolutions in a float cluster that XNNPACK takes."
    )
    dense: Pays | None = Field(default=None, description="Dense layers.")


class Figure(Strict):
    """A number and where it comes from."""

    value: Positive = Field(description="The number.")
    source: Source = Field(description="A document, or how it was computed.")


class Peaks(Strict):
    """What the device can do at most."""

    gflops: Figure | None = Field(
        default=None, description="fp32, all cores at their highest clock, GFLOP/s."
    )
    gb_per_s: Figure | None = Field(default=None, description="Main memory, GB/s (10^9 bytes).")


class Limits(Strict):
    """What a microcontroller has for a model."""

    flash_kib: Kibibytes = Field(description="For the file, KiB.")
    ram_kib: Kibibytes = Field(
        description="For the arena, KiB: the largest piece of RAM in one part."
    )
    tight: Share = Field(
        default=0.1,
        description="Share of a limit that should stay free for the program; less is tight.",
    )
    source: Source = Field(description="Where these figures come from.")


class EthosU(Strict):
    """An Ethos-U accelerator, as its compiler is told about it."""

    accelerator: str = Field(
        pattern=r"^ethos-u(55|65|85)-\d+$", description="As --accelerator-config of vela."
    )
    memory_mode: str = Field(default="Shared_Sram", description="As --memory-mode of vela.")
    system: Annotated[dict[str, str | int | float], Field(min_length=1)] = Field(
        description="The section System_Config of vela's configuration, key by key."
    )
    source: Source = Field(description="Where these figures come from.")
