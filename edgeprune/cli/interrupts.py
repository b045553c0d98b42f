"""Ctrl-C, which is heard even where a library loses it.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. Inside a finaliser or a
weak reference's callback, of which TensorFlow has many, it is printed and forgotten; inside a call
into C it may become another error.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from edgeprune.progress import Progress, Task


class Interrupts:
    """Whether there was a Ctrl-C."""

    def __init__(self) -> None:
        self.seen = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While it lasts every Ctrl-C is noted, and raised as Python does."""
        ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if ours:
            signal.signal(signal.SIGINT, self._heard)
        try:
            yield
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def _heard(self, number: int, frame: Any) -> None:
        self.seen = True
        signal.default_int_handler(number, frame)

    def heed(self) -> None:
        """Raise a Ctrl-C that was noted and did not end the work.

        Raises:
            KeyboardInterrupt: in the main thread, after one.
        """
        if self.seen and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt


class Heeding:
    """A :class:`Progress` at each of whose steps a Ctrl-C that was lost is raised again."""

    def __init__(self, shown: Progress, interrupts: Interrupts) -> None:
        self._shown = shown
        self._interrupts = interrupts

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        """As it is shown."""
        with self._shown.task(name, total) as task:
            yield _HeedingTask(task, self._interrupts)

    def say(self, line: str) -> None:
        """As it is shown."""
        self._shown.say(line)


class _HeedingTask:
    def __init__(self, task: Task, interrupts: Interrupts) -> None:
        self._task = task
        self._interrupts = interrupts

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._interrupts.heed()
        self._task.advance(steps, note)
