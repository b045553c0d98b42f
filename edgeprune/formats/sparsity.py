"""The sparse encoding of a TFLite tensor, checked level by level.

A tensor is a tree: one level for each dimension in ``traversal_order``, then one for each block.
A dense level has all its children; a CSR level lists them by segments and indices.
Source: ``tensorflow/lite/schema/schema.fbs`` (SparsityParameters).
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from edgeprune.formats.facts import Damage
from edgeprune.formats.flatbuffer import Table

_INDEX_TYPES = {1: np.int32, 2: np.uint16, 3: np.uint8}
_CSR = 1


def check_sparsity(sparsity: Table, shape: tuple[int, ...]) -> tuple[int, str]:
    """How many values a sparse tensor of this dense shape stores, and how: ``"csr"``, ``"block"``.

    Raises:
        Damage: the encoding does not describe a tensor of that shape.
    """
    order = [int(value) for value in sparsity.numbers(0, np.int32)]
    blocked = [int(value) for value in sparsity.numbers(1, np.int32)]
    levels = sparsity.tables(2)
    rank = len(shape)
    if len(levels) != len(order) or sorted(order) != list(range(rank + len(blocked))):
        raise Damage("a sparse tensor whose traversal order fits no shape")
    if len(set(blocked)) != len(blocked) or not all(0 <= axis < rank for axis in blocked):
        raise Damage("a sparse tensor whose blocks lie along no axis")
    sizes = _sizes(shape, order, blocked, levels)
    count = 1
    for axis, level in zip(order, levels, strict=True):
        count = _children(level, sizes[axis], count)
    return count, "block" if blocked else "csr"


def _sizes(
    shape: tuple[int, ...], order: list[int], blocked: list[int], levels: list[Table]
) -> list[int]:
    """Length of every axis of the tree, blocks taken out of the axes that they divide."""
    sizes = [*shape, *([0] * len(blocked))]
    for place, axis in enumerate(blocked, start=len(shape)):
        size = levels[order.index(place)].number(1, "<i")
        if size < 1 or sizes[axis] % size:
            raise Damage(f"blocks of {size} along an axis of {sizes[axis]}")
        sizes[place] = size
        sizes[axis] //= size
    return sizes


def _children(level: Table, size: int, parents: int) -> int:
    if level.number(0, "<b") != _CSR:
        if level.number(1, "<i") != size:
            raise Damage(f"a dense level of {level.number(1, '<i')} where the axis has {size}")
        return parents * size
    segments, indices = _vector(level, 2), _vector(level, 4)
    if len(segments) != parents + 1 or segments[0] != 0 or np.any(np.diff(segments) < 0):
        raise Damage("segments of a sparse level that are not in order")
    if segments[-1] != len(indices):
        raise Damage("a sparse level whose segments and indices disagree")
    if len(indices) and (indices.min() < 0 or indices.max() >= size):
        raise Damage(f"an index outside an axis of {size}")
    inside = np.ones(len(indices), bool)
    inside[segments[:-1][segments[:-1] < len(indices)]] = False
    if np.any(np.diff(indices)[inside[1:]] <= 0):
        raise Damage("indices of a sparse level that are not in order")
    return len(indices)


def _vector(level: Table, field: int) -> npt.NDArray[np.int64]:
    kind = _INDEX_TYPES.get(level.number(field, "<B"))
    holder = level.table(field + 1)
    if kind is None or holder is None:
        raise Damage("a sparse level without indices")
    return holder.numbers(0, kind).astype(np.int64)


def dense_elements(shape: tuple[int, ...]) -> int:
    """How many values a tensor of this shape has.

    Raises:
        Damage: a negative dimension.
    """
    if any(size < 0 for size in shape):
        raise Damage(f"a constant of shape {shape}")
    return prod(shape)
