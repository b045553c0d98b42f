"""What is left of a model's weights, sliced when asked for: no copy of all is ever held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.surgery.flows import Ids
from edgeprune.surgery.grouped import gathered, gathered_shape

Array = npt.NDArray[Any]


class Leftovers(Mapping[str, Array]):
    """Weights by name, each as it was but for what is noted here.

    Args:
        weights: as they were; grouped kernels spread out.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._new: dict[str, Array] = {}
        self._kept: dict[str, dict[int, Ids]] = {}
        self._runs: dict[str, int] = {}
        self._factors: dict[str, float] = {}

    def put(self, name: str, value: Array) -> None:
        """Another value, of which nothing has left yet."""
        self._new[name] = value
        self._kept.pop(name, None)

    def keep(self, name: str, axis: int, positions: Ids) -> bool:
        """Only these positions of an axis are left; whether that is new."""
        axes = self._kept.setdefault(name, {})
        fresh = axis not in axes and name not in self._runs
        if fresh:
            axes[axis] = positions
        return fresh

    def gather(self, name: str, runs: int) -> None:
        """A grouped kernel of which so many runs are left is gathered at the end."""
        self._runs.setdefault(name, runs)

    def scale(self, name: str, factor: float) -> None:
        """A weight is multiplied."""
        self._factors[name] = self._factors.get(name, 1.0) * factor

    def shape(self, name: str) -> tuple[int, ...]:
        """Of what is left."""
        kept = self._kept.get(name, {})
        shape = tuple(
            kept[axis].size if axis in kept else length
            for axis, length in enumerate(self._whole(name).shape)
        )
        return gathered_shape(shape, self._runs[name]) if name in self._runs else shape

    def changed(self, name: str) -> bool:
        """Whether anything of a weight has left."""
        return bool(self._kept.get(name)) or name in self._runs

    def cut(self, name: str, value: Array) -> Array:
        """An array in the shape of a weight, spread out like it, without what has left of it."""
        for axis, positions in self._kept.get(name, {}).items():
            value = np.take(value, positions, axis=axis)
        return gathered(value, self._runs[name]) if name in self._runs else value

    def __getitem__(self, name: str) -> Array:
        value = self.cut(name, self._whole(name))
        if name in self._factors:
            value = (value * np.float64(self._factors[name])).astype(value.dtype)
        return value

    def _whole(self, name: str) -> Array:
        return self._new[name] if name in self._new else self._weights[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._weights, *self._new])

    def __len__(self) -> int:
        return len(set(self._weights) | set(self._new))
