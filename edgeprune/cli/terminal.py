"""What the user sees: results on stdout, progress and remarks on stderr, and of the libraries'
chatter nothing."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edgeprune.cli.interrupts import Heeding, Interrupts
from edgeprune.progress import SILENT

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 10_000
"""Columns where there is no terminal: nothing is wrapped, so that lines can be searched."""


class Session:
    """One command's way of talking.

    Attributes:
        verbose, quiet, traceback: the flags that every verb takes.
        home: folder whose ``.edgeprune/log/`` gets the log of an unexpected failure.
        chatter: what libraries and their children wrote on stdout and stderr; ``None`` until
            :meth:`hush`.
        interrupts: whether there was a Ctrl-C.
    """

    def __init__(self) -> None:
        self.verbose = False
        self.quiet = False
        self.traceback = False
        self.home = Path()
        self.chatter: IO[bytes] | None = None
        self.interrupts = Interrupts()
        self._saved: tuple[int, int] | None = None
        self._consoles: dict[str, Console] = {}

    def hush(self) -> None:
        """From now on file descriptors 1 and 2 lead into a log file; this session's own consoles
        write to copies of the real ones. TensorFlow writes from C++ past ``sys.stderr``, so
        nothing less keeps it off the screen."""
        if self._saved is not None:
            return
        # Warnings and errors are worth having in the log of a failure; the rest is noise.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        sys.stdout.flush()
        sys.stderr.flush()
        self._consoles.clear()
        self._saved = (os.dup(1), os.dup(2))
        self.chatter = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the session
        os.dup2(self.chatter.fileno(), 1)
        os.dup2(self.chatter.fileno(), 2)

    def restore(self) -> None:
        """Undo :meth:`hush`."""
        if self._saved is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        for target, saved in zip((1, 2), self._saved, strict=True):
            os.dup2(saved, target)
            os.close(saved)
        self._saved = None
        self._consoles.clear()

    @property
    def out(self) -> Console:
        """Results."""
        return self._console("out")

    @property
    def err(self) -> Console:
        """Progress, remarks, errors."""
        return self._console("err")

    @property
    def progress(self) -> Any:
        """The :class:`edgeprune.progress.Progress` that fits flags and terminal."""
        from edgeprune.cli.bars import Bar, Lines

        kind = Bar if self.err.is_terminal else Lines
        shown = SILENT if self.quiet else kind(self.err, self.verbose)
        return Heeding(shown, self.interrupts)

    def say(self, line: str) -> None:
        """A remark; silent with ``-q``."""
        if not self.quiet:
            self.err.print(line, markup=False, highlight=False, soft_wrap=True)

    def fault(self, line: str) -> None:
        """An error; never silent."""
        self.err.print(f"edgeprune: {line}", markup=False, highlight=False, soft_wrap=True)

    def result(self, facts: Any, parts: str | Iterable[Any], *, json: bool = False) -> None:
        """What a verb found, on stdout, with ``-q`` too: ``facts`` for programs, or ``parts`` for
        people, a line or what rich draws."""
        if json:
            self.print_json(facts)
            return
        for part in [parts] if isinstance(parts, str) else parts:
            self.print(part)

    def print_json(self, facts: Any) -> None:
        """Facts on stdout, for programs."""
        import json

        text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False, default=str)
        self.out.print(text, markup=False, highlight=False, soft_wrap=True)

    def print(self, item: Any) -> None:
        """A result on stdout, for people."""
        plain = isinstance(item, str)
        self.out.print(item, markup=not plain, highlight=False, soft_wrap=plain, crop=False)

    def chatter_text(self, most: int = 1 << 20) -> str:
        """The end of what the libraries wrote."""
        if self.chatter is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        length = os.fstat(self.chatter.fileno()).st_size
        start = max(0, length - most)
        return os.pread(self.chatter.fileno(), length - start, start).decode(errors="replace")

    def _console(self, which: str) -> Console:
        if which not in self._consoles:
            from rich.console import Console

            place = 0 if which == "out" else 1
            if self._saved is None:
                file: Any = sys.stdout if which == "out" else sys.stderr
            else:
                # The copy of the descriptor stays open for restore(): the file must not close it.
                file = open(  # noqa: SIM115
                    self._saved[place], "w", encoding="utf-8", errors="replace", closefd=False
                )
            width = None if file.isatty() or "COLUMNS" in os.environ else WIDTH
            self._consoles[which] = Console(file=file, width=width, emoji=False)
        return self._consoles[which]
