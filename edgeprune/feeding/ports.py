"""What a model takes and gives, as data must fit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Port
from edgeprune.errors import DataError

Array = npt.NDArray[Any]
Arrays = tuple[Array, ...]


def inputs_of(model: Any) -> tuple[Port, ...]:
    """The inputs of a Keras model, -1 where a size is free; empty where it was never built."""
    return _ports(model, "inputs")


def outputs_of(model: Any) -> tuple[Port, ...]:
    """The outputs of a Keras model, as :func:`inputs_of`."""
    return _ports(model, "outputs")


def _ports(model: Any, kind: str) -> tuple[Port, ...]:
    """By the name of the layer that makes each: a tensor's own changes when a model is saved."""
    found = []
    for tensor in _tensors(model, kind):
        history = getattr(tensor, "_keras_history", None)
        found.append(_port(tensor, history.operation.name if history else tensor.name))
    return tuple(found)


def _tensors(model: Any, kind: str) -> Sequence[Any]:
    if model is None:
        return ()
    try:
        return getattr(model, kind, None) or ()
    except ValueError:  # Keras: a Sequential that was never built has none
        return ()


def _port(tensor: Any, name: str) -> Port:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    return Port(name, shape, str(tensor.dtype))


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is ``wanted``, where -1 takes any size."""
    return len(shape) == len(wanted) and all(
        need in (-1, size) for size, need in zip(shape, wanted, strict=True)
    )


def shape_text(shape: Sequence[int]) -> str:
    """A shape for people: ``(n, 28, 28)``, ``?`` where a size is free."""
    sizes = ", ".join("?" if size < 0 else str(size) for size in shape[1:])
    return f"(n, {sizes})" if sizes else "(n,)"


def input_dtype(dtype: np.dtype, port: Port | None, what: str) -> np.dtype:
    """The dtype in which an input array is fed: the model's; float32 and whole numbers without.

    Args:
        dtype: of the array as it lies.
        port: the model's input, where one is known.
        what: file and array, for the message.

    Raises:
        DataError: no numbers, or fractions where the model takes whole numbers.
    """
    if dtype.kind not in "fiub":
        raise DataError(f"{what} holds {_kind(dtype)}; give numbers (float32, uint8, int32 …)")
    wanted = port.dtype if port else ""
    if wanted.startswith(("int", "uint")):
        if dtype.kind == "f":
            raise DataError(
                f"{what} is {dtype}, but input '{port.name if port else ''}' takes {wanted}; "
                "convert it"
            )
        return np.dtype(wanted)
    if wanted or dtype.kind in "fb" or dtype == np.uint8:
        return np.dtype(np.float32)
    return np.dtype(np.int64) if dtype.itemsize > 4 else np.dtype(np.int32)


def label_dtype(dtype: np.dtype, what: str) -> np.dtype:
    """The dtype in which labels or targets are fed: float32, or int32/int64.

    Raises:
        DataError: no numbers.
    """
    if dtype.kind not in "fiub":
        raise DataError(f"{what} holds {_kind(dtype)}; give class numbers or float targets")
    if dtype.kind == "f":
        return np.dtype(np.float32)
    wide = dtype.itemsize > 4 or dtype == np.uint32
    return np.dtype(np.int64) if wide else np.dtype(np.int32)


def _kind(dtype: np.dtype) -> str:
    names = {"O": "Python objects", "U": "text", "S": "text", "c": "complex numbers"}
    return names.get(dtype.kind, f"values of dtype {dtype}")
