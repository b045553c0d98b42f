"""Whether a file fits a microcontroller: what it takes of flash and RAM, and how that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeprune.measurements import unavailable

Verdict = Literal["fits", "tight", "too big"]
_ORDER: tuple[Verdict, ...] = ("fits", "tight", "too big")
UNTIMED = "nothing is timed on a microcontroller from here"


@dataclass(frozen=True)
class Use:
    """What is used of one memory.

    Attributes:
        used_bytes: by the model.
        limit_bytes: that there are.
        tight: share of the limit that should stay free.
        source: ``"measured"`` or ``"estimated"``.
    """

    used_bytes: int
    limit_bytes: int
    tight: float
    source: Literal["measured", "estimated"]

    @property
    def margin_bytes(self) -> int:
        """What is left; negative where it is too big."""
        return self.limit_bytes - self.used_bytes

    @property
    def verdict(self) -> Verdict:
        """``"fits"``, ``"tight"`` (less than the share ``tight`` is left) or ``"too big"``."""
        if self.margin_bytes < 0:
            return "too big"
        return "tight" if self.margin_bytes < self.tight * self.limit_bytes else "fits"

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "used_bytes": self.used_bytes,
            "limit_bytes": self.limit_bytes,
            "margin_bytes": self.margin_bytes,
            "margin": self.margin_bytes / self.limit_bytes,
            "verdict": self.verdict,
            "source": self.source,
        }


@dataclass(frozen=True)
class Estimate:
    """What a compiler foretells of an accelerator; nobody measured it.

    Attributes:
        by: the compiler and its version.
        inference_ms: of one inference, milliseconds.
        inferences_per_s: the other way round.
        cycles: of the accelerator, for one inference.
        macs: multiply-accumulates that it counts.
        npu_operators, cpu_operators: where the operators of the file run.
    """

    by: str
    inference_ms: float
    inferences_per_s: float
    cycles: int
    macs: int
    npu_operators: int
    cpu_operators: int

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"availability": "estimated", **self.__dict__}


@dataclass(frozen=True)
class Footprint:
    """One file on one microcontroller.

    Attributes:
        artifact: sha256 of the file.
        file: its name.
        target: name of the profile.
        runtime: what said how much RAM.
        runtime_version: of it.
        flash, ram: what is used of each.
        arena: parts of the arena, bytes; empty where it was estimated.
        estimate: of an accelerator's time, where there is one.
    """

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    flash: Use
    ram: Use
    arena: Mapping[str, int] = field(default_factory=dict)
    estimate: Estimate | None = None

    @property
    def verdict(self) -> Verdict:
        """The worse of flash and RAM."""
        return max(self.flash.verdict, self.ram.verdict, key=_ORDER.index)

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "artifact": self.artifact,
            "file": self.file,
            "target": self.target,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "verdict": self.verdict,
            "flash": self.flash.facts(),
            "ram": self.ram.facts(),
            "arena": dict(self.arena),
            "estimate": None if self.estimate is None else self.estimate.facts(),
            "latency": unavailable(UNTIMED),
        }
