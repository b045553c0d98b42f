"""A sparse TFLite tensor in the schema's object form: decoded, and encoded row by row.

How the levels of the encoding are read: :mod:`edgeprune.formats.sparsity`.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from tensorflow.lite.python import schema_py_generated as schema

Array = npt.NDArray[Any]
_DENSE, _CSR = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
_VECTORS = (
    (np.uint8, schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT),
    (np.uint16, schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT),
    (np.int32, schema.SparseIndexVector.Int32Vector, schema.Int32VectorT),
)


def decoded(values: Array, shape: tuple[int, ...], sparsity: Any) -> Array | None:
    """The dense tensor that an encoding stands for.

    Args:
        values: those that are stored, any dtype, flat.
        shape: of the dense tensor.
        sparsity: a ``SparsityParametersT``.

    Returns:
        An array of ``shape`` and the dtype of ``values``; ``None`` where blocks do not divide
        their axis, or the levels fit neither the shape nor the values.
    """
    order = [int(axis) for axis in sparsity.traversalOrder]
    blocked = [] if sparsity.blockMap is None else [int(axis) for axis in sparsity.blockMap]
    sizes = _sizes(shape, order, blocked, sparsity.dimMetadata)
    places = None if sizes is None else _places(order, sizes, sparsity.dimMetadata)
    if sizes is None or places is None or len(places[0]) != len(values):
        return None
    coordinates = places[: len(shape)]
    for block, axis in enumerate(blocked, start=len(shape)):
        coordinates[axis] = coordinates[axis] * sizes[block] + places[block]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(coordinates)] = values
    return dense


def _sizes(
    shape: tuple[int, ...], order: list[int], blocked: list[int], levels: Any
) -> list[int] | None:
    """Lengths of the levels' axes; ``None`` where a block does not divide what it lies along."""
    sizes = [*shape, *([0] * len(blocked))]
    for block, axis in enumerate(blocked, start=len(shape)):
        size = int(levels[order.index(block)].denseSize)
        if size < 1 or sizes[axis] % size:
            return None
        sizes[block], sizes[axis] = size, sizes[axis] // size
    return sizes


def _places(order: list[int], sizes: list[int], levels: Any) -> list[Array] | None:
    """Where each stored value stands, one array per axis, in the order of the values."""
    found: dict[int, Array] = {}
    nodes = 1
    for axis, level in zip(order, levels, strict=True):
        if level.format == _CSR:
            segments = np.asarray(level.arraySegments.values, np.int64)
            counts = segments[1:] - segments[:-1]
            own = np.asarray(level.arrayIndices.values, np.int64)
            if len(counts) != nodes or counts.sum() != len(own) or np.any(own >= sizes[axis]):
                return None
        elif level.denseSize != sizes[axis]:
            return None
        else:
            counts = np.full(nodes, sizes[axis])
            own = np.tile(np.arange(sizes[axis]), nodes)
        found = {earlier: np.repeat(place, counts) for earlier, place in found.items()}
        found[axis] = own
        nodes = len(own)
    return [found[axis] for axis in range(len(sizes))]


def rows(dense: Array) -> tuple[Array, Any]:
    """A tensor with its last axis compressed (CSR), indices as narrow as they may be.

    Args:
        dense: of rank 2 or more, any dtype.

    Returns:
        The non-zero values, flat, and their ``SparsityParametersT``.
    """
    flat = dense.reshape(prod(dense.shape[:-1]), dense.shape[-1])
    lines, columns = np.nonzero(flat)
    segments = np.concatenate([[0], np.cumsum(np.bincount(lines, minlength=len(flat)))])
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(dense.ndim, dtype=np.int32)
    sparsity.blockMap = np.zeros(0, np.int32)
    sparsity.dimMetadata = [_level(size) for size in dense.shape]
    last = sparsity.dimMetadata[-1]
    last.format, last.denseSize = _CSR, 0
    last.arraySegmentsType, last.arraySegments = _vector(segments)
    last.arrayIndicesType, last.arrayIndices = _vector(columns)
    return flat[lines, columns], sparsity


def encoded_bytes(values: Array, sparsity: Any) -> int:
    """Bytes of the stored values and of all segments and indices of their encoding."""
    levels = [level for level in sparsity.dimMetadata if level.format == _CSR]
    vectors = [
        part.values for level in levels for part in (level.arraySegments, level.arrayIndices)
    ]
    return int(values.nbytes + sum(np.asarray(vector).nbytes for vector in vectors))


def _level(size: int) -> Any:
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = _DENSE, size
    return level


def _vector(numbers: Array) -> tuple[int, Any]:
    largest = int(numbers.max(initial=0))
    for kind, number, make in _VECTORS:
        if largest <= np.iinfo(kind).max:
            vector = make()
            vector.values = numbers.astype(kind)
            return number, vector
    raise OverflowError(f"{largest} non-zero values: TFLite counts them in 31 bits")
