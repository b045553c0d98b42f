"""In this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from edgeprune.executors.executor import Item, Result


class Here:
    """No process; for small work."""

    def map(
        self, fn: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """In the items' order."""
        for index, item in enumerate(items):
            yield index, fn(item)
