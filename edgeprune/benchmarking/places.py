"""Where files are timed: this machine, or a board that is held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from edgeprune.benchmarking.conditions import State, pinning, state
from edgeprune.benchmarking.devices import this_device
from edgeprune.runtimes import Runner


class Place(Protocol):
    """What timing asks of a place.

    Attributes:
        via: the connection.
        own: whether the engine that runs there is the one that outputs are compared with.
    """

    @property
    def via(self) -> str: ...
    @property
    def own(self) -> bool: ...
    def runner(self, path: Path, *, threads: int) -> Runner:
        """A file in its engine there, loaded."""
        ...

    def state(self) -> State:
        """How the machine is now."""
        ...

    def cpus(self) -> tuple[list[int], int]:
        """The CPUs that an engine may use there, and how many there are."""
        ...

    def device(self) -> dict[str, str]:
        """What the machine is."""
        ...


class Here:
    """This machine."""

    via = "local"
    own = True

    def runner(self, path: Path, *, threads: int) -> Runner:
        """In a child of this process."""
        return Runner(path, threads=threads)

    def state(self) -> State:
        """As this machine tells."""
        return state()

    def cpus(self) -> tuple[list[int], int]:
        """Of this process."""
        return pinning(), os.cpu_count() or 1

    def device(self) -> dict[str, str]:
        """This machine."""
        return this_device()


HERE = Here()
