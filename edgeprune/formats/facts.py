"""What a file says of itself, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeprune.artifacts import Port


class Damage(Exception):
    """Why a file's bytes are none of its format; readers turn it into an ArtifactError."""


@dataclass(frozen=True)
class Contents:
    """What was found in a file; attributes as in :class:`edgeprune.artifacts.Artifact`."""

    variant: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    density: Mapping[str, float] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)
    shifted: tuple[str, ...] = ()


def unused(name: str, taken: Mapping[str, object]) -> str:
    """``name``, or ``name#2`` and so on where it is taken."""
    if name not in taken:
        return name
    count = 2
    while f"{name}#{count}" in taken:
        count += 1
    return f"{name}#{count}"
