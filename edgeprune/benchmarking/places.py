"""Where files are timed: this machine, or a board that is held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from edgeprune.benchmarking.conditions import State, pinning, state
from edgeprune.benchmarking.devices import this_device
from edgeprune.runtimes import Runner
from edgeprune.runtimes.caches import drop_cached


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

    def drop(self, path: Path) -> str:
        """Take a file that was loaded there out of the system's cache; why it is still in there,
        empty where it is not."""
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

    def drop(self, path: Path) -> str:
        """By :func:`~edgeprune.runtimes.caches.drop_cached`."""
        return drop_cached(path)

    def cpus(self) -> tuple[list[int], int]:
        """Of this process."""
        return pinning(), os.cpu_count() or 1

    def device(self) -> dict[str, str]:
        """This machine."""
        return this_device()


HERE = Here()
