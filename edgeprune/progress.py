"""How long work tells that it goes on. The command line draws it; the library is silent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol


class Task(Protocol):
    """One piece of work with steps."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done; ``note`` is shown beside them."""
        ...


class Progress(Protocol):
    """Where work is shown."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Task]:
        """Show a task of ``total`` steps (``None``: unknown) until the context ends."""
        ...

    def say(self, line: str) -> None:
        """Tell one line that stays."""
        ...


class _Silent:
    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        yield self

    def say(self, line: str) -> None:
        pass

    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


class Part:
    """A :class:`Progress` for one part of something longer: its tasks say of what they are.

    Args:
        shown: where they are shown.
        of: what the part is, ``"round 2/3"``; nothing: the tasks keep their names.
    """

    def __init__(self, shown: Progress, of: str) -> None:
        self._shown = shown
        self._of = of

    def task(self, name: str, total: int | None) -> AbstractContextManager[Task]:
        """The task ``name``, shown as ``of: name``."""
        return self._shown.task(f"{self._of}{_OF}{name}" if self._of else name, total)

    def say(self, line: str) -> None:
        """The line as it is."""
        self._shown.say(line)


_OF = ": "


def bare(name: str) -> str:
    """The name of a task without what :class:`Part` put before it."""
    return name.rpartition(_OF)[2]


SILENT: Progress = _Silent()
