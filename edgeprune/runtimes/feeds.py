"""Arrays matched with a file's inputs: by name, by place, or by the only order that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.errors import DataError
from edgeprune.runtimes.wire import Array


def fitted(
    inputs: Sequence[Array] | Mapping[str, Array], ports: Sequence[Port], name: str
) -> list[Array]:
    """The arrays in the file's order and dtypes, all samples along axis 0.

    Raises:
        DataError: another number of arrays, a shape or dtype that does not fit, unequal numbers of
            samples, or none.
    """
    arrays = ordered(inputs, ports, name)
    for array, port in zip(arrays, ports, strict=True):
        if not _fits(array, port):
            raise DataError(
                f"{name}: input {port.name!r} takes {_shape(port.shape[1:])} a sample, "
                f"the data have {_shape(array.shape[1:])}"
            )
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or not counts - {0}:
        raise DataError(f"{name}: inputs with {sorted(counts)} samples; give as many of each")
    return [_cast(array, port, name) for array, port in zip(arrays, ports, strict=True)]


def ordered(
    inputs: Sequence[Array] | Mapping[str, Array], ports: Sequence[Port], name: str
) -> list[Array]:
    """The arrays in the file's order, as they are.

    Raises:
        DataError: another number of arrays, or an input without one.
    """
    if isinstance(inputs, Mapping):
        missing = [port.name for port in ports if port.name not in inputs]
        if missing:
            known = ", ".join(sorted(inputs))
            raise DataError(f"{name}: no array for input {missing[0]!r} (given: {known})")
        return [np.asarray(inputs[port.name]) for port in ports]
    arrays = [np.asarray(array) for array in inputs]
    if len(arrays) != len(ports):
        raise DataError(f"{name}: takes {len(ports)} inputs, {len(arrays)} arrays were given")
    if all(map(_fits, arrays, ports)) or len(arrays) > 6:
        return arrays
    orders = [order for order in permutations(arrays) if all(map(_fits, order, ports))]
    return list(orders[0]) if len(orders) == 1 else arrays


def quantized(array: Array, port: Port) -> Array:
    """Real numbers as the whole ones that a port takes for them, the nearest within its range."""
    if port.scale is None:
        return array
    about = np.iinfo(port.dtype)
    steps = np.rint(np.asarray(array, np.float64) / port.scale) + port.zero_point
    return np.clip(steps, about.min, about.max).astype(port.dtype)


def real(array: Array, port: Port) -> Array:
    """The real numbers, as float32, that a port's whole ones stand for."""
    if port.scale is None:
        return array
    return ((array.astype(np.float64) - port.zero_point) * port.scale).astype(np.float32)


def _fits(array: Array, port: Port) -> bool:
    wanted = port.shape[1:]
    return array.ndim == len(port.shape) and all(
        size in (-1, found) for size, found in zip(wanted, array.shape[1:], strict=True)
    )


def _cast(array: Array, port: Port, name: str) -> Array:
    wanted = np.dtype(port.dtype)
    whole_to_float = array.dtype.kind in "biu" and wanted.kind == "f"
    if not whole_to_float and not np.can_cast(array.dtype, wanted, casting="same_kind"):
        raise DataError(f"{name}: input {port.name!r} takes {wanted}, the data are {array.dtype}")
    return np.ascontiguousarray(array, wanted)


def _shape(shape: Sequence[int]) -> str:
    return "×".join("any" if size < 0 else str(size) for size in shape) or "one number"
