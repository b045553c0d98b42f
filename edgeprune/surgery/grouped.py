"""Kernels of grouped convolutions, spread out as the plain kernels that they stand for.

A grouped kernel (taps…, inputs of a run, filter) holds for each filter only the inputs of its own
run. Spread out to (taps…, input, filter), with zeros where a filter does not look, each input
channel has a position of its own, and all that is known of plain kernels holds for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def spread_shape(shape: tuple[int, ...], runs: int) -> tuple[int, ...]:
    """The shape of a kernel of ``runs`` runs when it is spread out."""
    return (*shape[:-2], shape[-2] * runs, shape[-1])


def gathered_shape(shape: tuple[int, ...], runs: int) -> tuple[int, ...]:
    """The shape of a kernel that was spread out, as its layer has it."""
    return (*shape[:-2], shape[-2] // runs, shape[-1])


def spread(kernel: Array, runs: int) -> Array:
    """(taps…, inputs of a run, filter) as (taps…, input, filter)."""
    taps, (width, filters) = kernel.shape[:-2], kernel.shape[-2:]
    out = np.zeros((*taps, runs, width, runs, filters // runs), kernel.dtype)
    blocks = np.moveaxis(kernel.reshape(*taps, width, runs, -1), -2, -3)
    each = np.arange(runs)
    # Two index arrays apart from each other put their axis first.
    out[..., each, :, each, :] = np.moveaxis(blocks, -3, 0)
    return out.reshape(spread_shape(kernel.shape, runs))


def gathered(kernel: Array, runs: int) -> Array:
    """What :func:`spread` made, taken back; ``runs`` runs of equal size are left of it."""
    taps, (inputs, filters) = kernel.shape[:-2], kernel.shape[-2:]
    each = np.arange(runs)
    blocks = kernel.reshape(*taps, runs, inputs // runs, runs, filters // runs)
    picked = np.moveaxis(blocks[..., each, :, each, :], 0, -2)
    return np.ascontiguousarray(picked.reshape(*taps, inputs // runs, filters))


class Spread(Mapping[str, Array]):
    """Every weight by name, the kernels named in ``runs`` spread out."""

    def __init__(self, weights: Mapping[str, Array], runs: Mapping[str, int]) -> None:
        self._weights = weights
        self._runs = runs

    def __getitem__(self, name: str) -> Array:
        value = self._weights[name]
        return spread(value, self._runs[name]) if name in self._runs else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
