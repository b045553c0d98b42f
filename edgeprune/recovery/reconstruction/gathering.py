"""The sums of one layer over the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.models.forward import FreeBatch
from edgeprune.models.values import array_of
from edgeprune.recovery.reconstruction.layers import Layer
from edgeprune.recovery.reconstruction.solving import Moments

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
ROWS, WORK = 65536, 4e10
"""Positions that one layer is solved on: so many or 200 a feature, but with no more multiplications
for the Gram matrix; four a feature at least."""
STEP = 1 << 22
"""Elements of the rows that are made at once."""


def gathered(
    layer: Layer,
    dense: Any,
    new: Any,
    chunks: Iterable[tuple[Any, ...]],
    *,
    examples: int,
    scale: Array,
    seed: Sequence[int],
) -> tuple[Moments, Moments] | None:
    """Sums over the rows of even and of odd examples.

    Args:
        layer: of the two models.
        dense, new: the models.
        chunks: inputs of both.
        examples: in all chunks.
        scale: ``(blocks, columns)``, what a change of a column is multiplied with on the way to
            where it is compared.
        seed: of the positions that are drawn.

    Returns:
        ``None`` where the layer does something else than its kernel says.
    """
    blocks, features, columns = layer.free.shape
    width = features + (layer.shift is not None)
    halves = Moments.of(blocks, width, columns), Moments.of(blocks, width, columns)
    looked = FreeBatch(lambda inputs: layer.looked(dense, new, inputs))
    random = np.random.default_rng(seed)
    most = min(max(ROWS, 200 * features), int(WORK / (features**2 * blocks)))
    most = max(most, 4 * features)
    each = max(1, most // (examples * layer.calls))
    seen, checked = 0, False
    for inputs in chunks:
        count = len(inputs[0])
        odd = np.arange(seen, seen + count) % 2 == 1
        seen += count
        for x, own, missing in looked(inputs):
            x, own, missing = x.numpy(), own.numpy(), layer.ours.answers(missing.numpy())
            taken = _drawn(random, count, len(missing) // count, each)
            if not checked and not _sums_right(layer, x, own, taken.reshape(-1)[:512]):
                return None
            checked = True
            for half, mine in zip(halves, (taken[~odd], taken[odd]), strict=True):
                _add(half, layer, x, own.shape, missing, mine.reshape(-1), scale)
    return halves


def _add(
    half: Moments,
    layer: Layer,
    x: Array,
    shape: tuple[int, ...],
    missing: Array,
    chosen: Ids,
    scale: Array,
) -> None:
    """Rows of one call, some at a time."""
    blocks, features, columns = layer.free.shape
    step = max(1, STEP // (features * blocks))
    for start in range(0, len(chosen), step):
        part = chosen[start : start + step]
        rows = layer.ours.rows(x, shape, part)
        if layer.shift is not None:
            rows = np.concatenate([rows, np.ones((blocks, len(part), 1))], axis=2)
        right = missing[part].astype(np.float64).reshape(-1, blocks, columns) / scale
        half.add(rows, right.transpose(1, 0, 2))


def _sums_right(layer: Layer, x: Array, own: Array, chosen: Ids) -> bool:
    """Whether rows and matrix give what the layer gave."""
    sums = layer.ours
    made = sums.rows(x, own.shape, chosen) @ sums.matrix(array_of(sums.kernel))
    made = made.transpose(1, 0, 2).reshape(len(chosen), -1)
    if sums.bias is not None:
        made = made + array_of(sums.bias).reshape(-1)
    real = sums.answers(own)[chosen]
    return bool(np.abs(made - real).max() <= 0.02 * np.abs(real).max() + 1e-6)


def _drawn(random: np.random.Generator, count: int, places: int, most: int) -> Ids:
    """For each example, numbers of positions: all, or ``most`` of them, one drawn in each of as
    many equal parts."""
    if places <= most:
        inside = np.broadcast_to(np.arange(places), (count, places))
    else:
        drawn = (np.arange(most) + random.random((count, most))) * (places / most)
        inside = np.minimum(drawn.astype(np.int64), places - 1)
    return inside + places * np.arange(count)[:, None]
