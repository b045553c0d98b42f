"""Which channels read without weights arrive as exact zeros once the weights on them are zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeprune.surgery.booking import Origin
from edgeprune.surgery.constants import arrived, constants, met
from edgeprune.surgery.flows import Part

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


def unmet(
    steps: Sequence[Step], origins: Sequence[Origin], shapes: Mapping[str, tuple[int, ...]]
) -> list[tuple[int, int]]:
    """The demands (place of the step, place among its demands) that some channel of theirs does
    not meet when it is cut.

    Every second channel of each free group is silenced, then the others: a zero that arrives only
    because a neighbour or another group is silent too (a gate of one channel, say) counts for
    nothing, since the other half still lives.

    Args:
        steps: with the numbers of ``origins``.
        origins: the groups.
        shapes: of every weight, by name.
    """
    found: dict[tuple[int, int], None] = {}
    last = max((place for place, step in enumerate(steps) if step.demands), default=-1)
    for half in range(2) if last >= 0 else ():
        silent = _half(origins, half)
        weights = Silence(steps, shapes, silent)
        values = constants(steps[: last + 1], weights)
        for place, step in enumerate(steps[: last + 1]):
            for number, demand in enumerate(step.demands):
                if (
                    not demand.always
                    and (
                        silent[demand.ids] & ~met(demand, arrived(demand, step, values, weights))
                    ).any()
                ):
                    found[place, number] = None
    return sorted(found)


class Silence(Mapping[str, Array]):
    """A model's weights of which nothing is known but that those on silent channels are zero.

    What follows a channel counts as one, which no zero comes of by chance; all else is NaN. Each
    array is made when it is asked for.
    """

    def __init__(
        self, steps: Sequence[Step], shapes: Mapping[str, tuple[int, ...]], silent: Bools
    ) -> None:
        self._shapes = shapes
        self._silent = silent
        self._parts: dict[str, list[Part]] = {}
        for step in steps:
            for part in step.parts:
                self._parts.setdefault(step.weights[part.weight], []).append(part)

    def __getitem__(self, name: str) -> Array:
        parts = self._parts.get(name, ())
        follows = any(part.role == "follows" for part in parts)
        value = np.full(self._shapes[name], 1.0 if follows else np.nan, np.float32)
        for part in parts:
            if part.role != "follows":
                np.moveaxis(value, part.axis, 0)[self._silent[part.ids]] = 0.0
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def _half(origins: Sequence[Origin], half: int) -> Bools:
    """By channel number (and -1, which is never silent), every second one of the free groups."""
    sizes = [origin.size for origin in origins]
    starts = np.repeat([origin.start for origin in origins], sizes).astype(np.int64)
    free = [origin.stays is None and origin.size > 1 for origin in origins]
    silent = (np.arange(starts.size) - starts) % 2 == half
    return np.append(silent & np.repeat(free, sizes), False)
