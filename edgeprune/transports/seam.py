"""What every connection does; the rest of the package knows no more of one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

LIMIT = 60.0
"""Seconds that a command gets where nothing else is said."""


@dataclass(frozen=True)
class Done:
    """A command that ended.

    Attributes:
        code: it ended with; negative: the signal that killed it, where that is known.
        stdout, stderr: what it wrote.
    """

    code: int
    stdout: bytes
    stderr: str

    @property
    def last(self) -> str:
        """The last line it wrote on standard error, for a message."""
        return last_line(self.stderr)


class Talk:
    """A program on the device whose standard input and output stay open.

    Attributes:
        stdin, stdout: of the program; at the end of the first it ends.
    """

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        """Take over a process that this side started in a session of its own, and the file that
        its standard error goes to."""
        assert process.stdin is not None and process.stdout is not None
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self._process = process
        self._said = said
        self._last: str | None = None

    def said(self) -> str:
        """What came on standard error so far."""
        return text_of(self._said) if self._last is None else self._last

    def wait(self, limit: float) -> int | None:
        """The exit code; ``None`` where it goes on after ``limit`` seconds."""
        try:
            return self._process.wait(limit)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End this side at once: the other sees the end of its standard input."""
        kill_group(self._process)

    def close(self, limit: float = 10.0) -> None:
        """Close its standard input, and wait until it has ended; after ``limit`` seconds end it."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        if self.wait(limit) is None:
            self.kill()
        self._process.wait()
        # A thread that still waits for an answer asks what was said once this has ended.
        self._last = self.said()
        self.stdout.close()
        self._said.close()


class Transport(Protocol):
    """A connection to one device.

    Every method but :meth:`clean` raises :class:`~edgeprune.errors.DeviceError` where the device
    cannot be reached, and :class:`~edgeprune.errors.LostError` where the connection broke.
    """

    @property
    def via(self) -> str:
        """Kind of the connection: ``"ssh"``."""
        ...

    @property
    def where(self) -> str:
        """The device, for messages: ``"pi@kitchen"``."""
        ...

    def run(self, argv: Sequence[str], *, limit: float = LIMIT) -> Done:
        """Run a command to its end, with nothing on its standard input.

        Raises:
            DeviceError: it takes longer than ``limit`` seconds; it was ended.
        """
        ...

    def push(self, path: Path) -> str:
        """Where the file lies on the device: it goes there once, by the digest of its content.

        Raises:
            DeviceError: the device has no room for it.
        """
        ...

    def pull(self, remote: str, path: Path) -> None:
        """Get a file from the device; ``path`` is written whole or not at all.

        Raises:
            DeviceError: there is no such file.
        """
        ...

    def talk(self, argv: Sequence[str]) -> Talk:
        """Start a program and stay connected to it."""
        ...

    def clean(self) -> None:
        """Remove what :meth:`push` put there, and close the connection; fails never."""
        ...


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a session of its own, with all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def text_of(file: IO[bytes], most: int = 1 << 20) -> str:
    """The end of what was written into an open file, whatever position it is at."""
    length = os.fstat(file.fileno()).st_size
    start = max(0, length - most)
    return os.pread(file.fileno(), length - start, start).decode("utf-8", "replace")


def last_line(text: str) -> str:
    """The last line that is not empty, cut to what a message takes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
