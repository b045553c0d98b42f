"""The seam."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Something that works."""

    def map(
        self, fn: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """Every item's index and result, in whatever order they come; each once.

        What ``fn`` raises ends it.
        """
        ...
