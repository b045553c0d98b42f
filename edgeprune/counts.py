"""What an emulated run of a file showed: the right numbers, and how many instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeprune.measurements import unavailable


@dataclass(frozen=True)
class Count:
    """One file, emulated as one target's core.

    Attributes:
        artifact: sha256 of the file.
        file: its name.
        target: name of the profile.
        runtime: name of the engine.
        runtime_version: of its ARM build.
        threads: that it was given.
        core: qemu's model of a core that executed it.
        emulator: and its version.
        outputs_match: the host's engine answers the same, for the same inputs.
        difference: the largest, of the largest output; ``None`` where an output is no number.
        instructions: of one inference, counted; ``None`` where they were not.
        kernels: instructions by function, the most first; empty where they have no names.
        uncounted: why there are no instructions.
        unnamed: why there are no kernels.
    """

    artifact: str
    file: str
    target: str
    runtime: str
    runtime_version: str
    threads: int
    core: str
    emulator: str
    outputs_match: bool
    difference: float | None
    instructions: int | None = None
    kernels: Mapping[str, int] = field(default_factory=dict)
    uncounted: str = ""
    unnamed: str = ""

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints: no time, since emulated time says nothing of a board."""
        return {
            "target": self.target,
            "via": "qemu",
            "emulated": True,
            "figures": "counted",
            "file": self.file,
            "artifact": self.artifact,
            "runtime": self.runtime,
            "runtime_version": self.runtime_version,
            "threads": self.threads,
            "core": self.core,
            "emulator": self.emulator,
            "instructions": self.instructions
            if self.instructions is not None
            else unavailable(self.uncounted),
            "kernels": dict(self.kernels) if self.kernels else unavailable(self.unnamed),
            "outputs_match": self.outputs_match,
            "difference": unavailable("an output is no number")
            if self.difference is None
            else self.difference,
        }
