"""What is dead and stays: its reason, over all passes of strip.

A pass may have a reason that the next one cannot see any more, such as the runs of a grouped
convolution that are one channel wide by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgeprune.surgery.carrying import Places
from edgeprune.surgery.flows import Ids
from edgeprune.surgery.tracing import Trace


@dataclass(frozen=True)
class Kept:
    """Dead channels that stay.

    Attributes:
        layer: the layer that makes them.
        channels: their numbers in the model that was given.
        reason: why they stay.
    """

    layer: str
    channels: tuple[int, ...]
    reason: str


class Telling:
    """Keeps the reasons of every pass.

    Args:
        trace: of the model that was given.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._before: list[Kept] = []
        self._now: list[Kept] = []

    def hear(self, kept: Iterable[tuple[str, Ids, str]], numbers: Mapping[str, Ids]) -> None:
        """Take what one pass says, and from its numbers of channels to those that were given."""
        self._before += self._now
        self._now = [
            Kept(layer, tuple(sorted(numbers[layer][channels].tolist())), reason)
            for layer, channels, reason in kept
        ]

    def told(self, places: Places, weights: Iterable[str]) -> tuple[Kept, ...]:
        """What stays at the end: as the last pass says, and what earlier ones said of channels
        that are still there.

        Args:
            places: by weight and axis, the positions that are left.
            weights: names of the weights that are left.
        """
        found = list(self._now)
        there = set(weights)
        for kept in reversed(self._before):
            known = {one for other in found if other.layer == kept.layer for one in other.channels}
            rest = [one for one in kept.channels if one not in known]
            left = [one for one in rest if self._is_there(kept.layer, one, places, there)]
            if left:
                found.append(Kept(kept.layer, tuple(left), kept.reason))
        return tuple(found)

    def _is_there(self, name: str, channel: int, places: Places, weights: set[str]) -> bool:
        starts = {origin.name: origin.start for origin in self._trace.origins}
        for step in self._trace.steps if name in starts else ():
            for part in step.parts:
                weight = step.weights[part.weight]
                if part.role != "makes" or weight not in weights:
                    continue
                positions = np.flatnonzero(part.ids == starts[name] + channel)
                left = places.get((weight, part.axis))
                if positions.size:
                    return bool(left is None or np.isin(positions, left).any())
        return False
