"""How work shows that it goes on: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

PATIENCE_S = 1.0
"""Work shorter than this is not worth a line."""

HEARTBEAT_S = 30.0
"""Without a terminal, how often long work says where it is."""


class _Timed:
    """One task that knows when it began and what it last said."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name = name
        self.total = total
        self.done = 0
        self.note = ""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def where(self) -> str:
        of = f" {self.done}/{self.total}" if self.total else ""
        return f"{self.name}{of}" + (f" {self.note}" if self.note else "")


class Lines:
    """Progress without a terminal: a line when work is longer than a second, one at its end."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[_LinesTask]:
        task = _LinesTask(self, name, total)
        timer = threading.Timer(PATIENCE_S, task.announce)
        timer.daemon = True
        timer.start()
        try:
            yield task
            timer.cancel()
            if task.seconds >= PATIENCE_S or self._verbose:
                note = f" ({task.note})" if task.note else ""
                self.say(f"{name}: done in {seconds(task.seconds)}{note}")
        finally:
            timer.cancel()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _LinesTask(_Timed):
    def __init__(self, lines: Lines, name: str, total: int | None) -> None:
        super().__init__(name, total)
        self._lines = lines
        self._spoken = self.began

    def announce(self) -> None:
        self._lines.say(f"{self.name} …")

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        self.note = note or self.note
        if time.monotonic() - self._spoken > HEARTBEAT_S:
            self._spoken = time.monotonic()
            self._lines.say(self.where)


class Bar:
    """Progress on a terminal: one bar a task while it runs, one line when it took a second."""

    def __init__(self, console: Console, verbose: bool = False) -> None:
        self._console = console
        self._verbose = verbose
        self._bars: Bars | None = None
        self._depth = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[_BarTask]:
        with self._lock:  # boards are measured at the same time, a thread each
            bars = self._shown()
            self._depth += 1
        identity = bars.add_task(name, total=total, note="")
        task = _BarTask(bars, identity, name, total)
        try:
            yield task
            if task.seconds >= PATIENCE_S or self._verbose:
                note = f"  [dim]{_escaped(task.note)}[/]" if task.note else ""
                bars.console.print(
                    f"[green]✓[/] {_escaped(name)}  [dim]{seconds(task.seconds)}[/]{note}",
                    highlight=False,
                )
        finally:
            bars.remove_task(identity)
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    bars.stop()
                    self._bars = None

    def say(self, line: str) -> None:
        console = self._bars.console if self._bars is not None else self._console
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _shown(self) -> Bars:
        if self._bars is None:
            from rich import progress

            self._bars = progress.Progress(
                progress.SpinnerColumn(),
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(bar_width=24),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=self._console,
                transient=True,
                # The consoles of this session are copies already; sys.stdout is the libraries'.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bars.start()
        return self._bars


class _BarTask(_Timed):
    def __init__(self, bars: Bars, identity: Any, name: str, total: int | None) -> None:
        super().__init__(name, total)
        self._bars = bars
        self._identity = identity

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps
        self.note = note or self.note
        self._bars.update(self._identity, advance=steps, note=self.note)


def seconds(value: float) -> str:
    """A duration for people: ``0.4 s``, ``2 min 05 s``."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
