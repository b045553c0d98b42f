"""Numbers on the command line: what a flag takes, and the line for what it does not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer


@dataclass(frozen=True)
class Numbers:
    """The numbers that a flag takes; called with a text, it gives the number.

    Attributes:
        kind: ``int`` or ``float``.
        takes: whether a number is one of them.
        range: in words, behind the flag's help.
        wanted: in words, for the line that refuses.
    """

    kind: type[int] | type[float]
    takes: Callable[[float], bool]
    range: str
    wanted: str

    @property
    def __name__(self) -> str:
        return self.kind.__name__

    def __call__(self, text: Any) -> Any:
        """The number.

        Raises:
            BadParameter: none, or one that the flag does not take.
        """
        with contextlib.suppress(ValueError):
            number = self.kind(str(text))
            # Written so that NaN fails too; what is infinite is never meant.
            if math.isfinite(number) and self.takes(number):
                return number
        raise typer.BadParameter(f"{text} is not {self.wanted}")


def whole(least: int, most: int | None = None) -> Numbers:
    """Whole numbers from ``least`` up, or to ``most``."""
    if most is None:
        return Numbers(
            int, lambda n: n >= least, f"at least {least}", f"a whole number from {least} up"
        )
    return Numbers(
        int, lambda n: least <= n <= most, f"{least} to {most}",
        f"a whole number from {least} to {most}",
    )  # fmt: skip


SHARE = Numbers(
    float, lambda x: 0 <= x < 1, "from 0 to below 1", "a share from 0 to below 1, such as 0.95"
)
CONFIDENCE = Numbers(
    float, lambda x: 0.5 <= x < 1, "from 0.5 to below 1", "a share from 0.5 to below 1, such as 0.9"
)
SHARE_OR_ALL = Numbers(float, lambda x: 0 <= x <= 1, "0 to 1", "a share from 0 to 1")
SOME_OR_ALL = Numbers(
    float, lambda x: 0 < x <= 1, "above 0, at most 1", "a share above 0, at most 1, such as 0.5"
)
LIMIT = Numbers(
    float,
    lambda x: 0 < x < 1 or (x >= 1 and x.is_integer()),
    "a share below 1 or a whole number",
    "a share between 0 and 1, such as 0.5, or a whole number from 1 up",
)
POSITIVE = Numbers(float, lambda x: x > 0, "above 0", "a number above 0")
NOT_NEGATIVE = Numbers(float, lambda x: x >= 0, "at least 0", "a number from 0 up")


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: Any) -> float:
    """Seconds: ``90``, ``90s``, ``10m`` or ``1h``.

    Raises:
        BadParameter: no such time, or none above 0.
    """
    if isinstance(text, float):
        return text
    unit = _UNITS.get(str(text)[-1:])
    with contextlib.suppress(ValueError):
        seconds = float(str(text)[:-1]) * unit if unit else float(str(text))
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    raise typer.BadParameter(f"{text} is no time, such as 90s, 10m or 1h")


@dataclass(frozen=True)
class Names:
    """Names of a kind, parted by commas; called with a text, it gives them.

    Attributes:
        known: the names.
    """

    known: tuple[str, ...]
    __name__: ClassVar[str] = "names"

    @property
    def metavar(self) -> str:
        """For the help."""
        return f"[{'|'.join(self.known)}]"

    def __call__(self, text: Any) -> Any:
        """The names.

        Raises:
            BadParameter: one that is not known.
        """
        if isinstance(text, tuple):
            return text
        names = tuple(part.strip() for part in str(text).split(","))
        for name in names:
            if name not in self.known:
                known = ", ".join(map(repr, self.known))
                raise typer.BadParameter(f"{name!r} is not one of {known}")
        return names


def several(known: Iterable[str], help: str, *names: str) -> Any:
    """An option for names of ``known``: parted by commas, or given again and again; see
    :func:`each`."""
    takes = Names(tuple(map(str, known)))
    told = f"{help.removesuffix('.')} (several: a,b)."
    return typer.Option(*names, parser=takes, metavar=takes.metavar, help=told)


def each(given: Sequence[tuple[str, ...]] | None) -> tuple[str, ...]:
    """The names of an option that :func:`several` made, in order."""
    return tuple(name for some in given or () for name in some)


def option(*names: str, takes: Numbers, help: str) -> Any:
    """An option that takes these numbers; its help says which."""
    metavar = "N" if takes.kind is int else "X"
    told = f"{help.removesuffix('.')} ({takes.range})."
    return typer.Option(*names, parser=takes, metavar=metavar, help=told)
