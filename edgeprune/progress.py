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


SILENT: Progress = _Silent()
