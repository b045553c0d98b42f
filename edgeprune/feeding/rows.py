"""Examples that can be taken by number: arrays in memory. Images are in :mod:`.images`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.errors import DataError
from edgeprune.feeding.ordering import Index
from edgeprune.feeding.ports import Array, Arrays, input_dtype, label_dtype
from edgeprune.files import digest_of

PIECE = 1 << 24
"""Bytes that are hashed or checked at once."""
Taken = tuple[Arrays, Arrays, Array | None]


class Rows(Protocol):
    """Examples by number."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def count(self) -> int:
        """How many."""
        ...

    @property
    def x_names(self) -> tuple[str, ...]:
        """What messages call the inputs."""
        ...

    @property
    def y_names(self) -> tuple[str, ...]:
        """What messages call the targets."""
        ...

    @property
    def digest(self) -> str:
        """sha256 (hex) of content and order."""
        ...

    def take(self, index: Index | slice) -> Taken:
        """Inputs, targets and weights of these examples, in this order, as they are fed."""
        ...

    def targets(self, index: Index | slice) -> Arrays:
        """The targets alone, where they are cheaper."""
        ...

    def check_finite(self) -> None:
        """Raises ``DataError`` naming the array and the first example with a NaN or an Inf."""
        ...


@dataclass(frozen=True)
class Change:
    """``x * scale + offset`` on inputs fed as floats, in float32."""

    scale: float | None = None
    offset: float | None = None

    def __call__(self, array: Array) -> Array:
        if array.dtype.kind == "f":
            if self.scale is not None:
                array = array * np.float32(self.scale)
            if self.offset is not None:
                array = array + np.float32(self.offset)
        return array


AS_IS = Change()


@dataclass(frozen=True, eq=False)
class ArrayRows:
    """Arrays with the examples along axis 0.

    Attributes:
        name, x_names, y_names: for messages.
        xs, ys: as they lie; cast when taken.
        weights: float32 ``(n,)`` or ``None``.
        inputs: the model's, where known: they decide the dtypes.
        change: of the inputs.
        mirror: the targets are the inputs as fed (reconstruction).
    """

    name: str
    xs: Arrays
    ys: Arrays = ()
    weights: Array | None = None
    x_names: tuple[str, ...] = ("x",)
    y_names: tuple[str, ...] = ("y",)
    inputs: tuple[Port, ...] = ()
    change: Change = AS_IS
    mirror: bool = False

    def __post_init__(self) -> None:
        count = self.count
        named = [*zip(self.x_names, self.xs, strict=True)]
        named += [*zip(self.y_names, self.ys, strict=True)] if self.ys else []
        named += [("sample weights", self.weights)] if self.weights is not None else []
        for label, array in named:
            if array.ndim == 0:
                raise DataError(f"{self.name}: array '{label}' is one number, not examples")
            if len(array) != count:
                raise DataError(
                    f"{self.name}: array '{label}' has {len(array)} examples, "
                    f"'{self.x_names[0]}' has {count}; they must agree"
                )
        _ = self._x_dtypes, self._y_dtypes

    @property
    def count(self) -> int:
        return len(self.xs[0]) if self.xs[0].ndim else 0

    @cached_property
    def _x_dtypes(self) -> tuple[np.dtype, ...]:
        ports = self.inputs if len(self.inputs) == len(self.xs) else (None,) * len(self.xs)
        return tuple(
            input_dtype(array.dtype, port, f"{self.name}: array '{label}'")
            for label, array, port in zip(self.x_names, self.xs, ports, strict=True)
        )

    @cached_property
    def _y_dtypes(self) -> tuple[np.dtype, ...]:
        return tuple(
            label_dtype(array.dtype, f"{self.name}: array '{label}'")
            for label, array in zip(self.y_names, self.ys, strict=False)
        )

    def take(self, index: Index | slice) -> Taken:
        with np.errstate(over="ignore"):  # check_finite says it
            xs = tuple(
                self.change(array[index].astype(dtype, copy=False))
                for array, dtype in zip(self.xs, self._x_dtypes, strict=True)
            )
        weights = None if self.weights is None else self.weights[index].astype(np.float32)
        return xs, xs if self.mirror else self.targets(index), weights

    def targets(self, index: Index | slice) -> Arrays:
        if self.mirror:
            return self.take(index)[0]
        return tuple(
            array[index].astype(dtype, copy=False)
            for array, dtype in zip(self.ys, self._y_dtypes, strict=True)
        )

    @cached_property
    def digest(self) -> str:
        weights = () if self.weights is None else (self.weights,)
        return digest_of(
            {
                "x": [sha256_array(array) for array in self.xs],
                "fed": [str(dtype) for dtype in self._x_dtypes],
                "y": [sha256_array(array) for array in self.ys],
                "weights": [sha256_array(array) for array in weights],
                "change": [self.change.scale, self.change.offset],
                "mirror": self.mirror,
            }
        )

    def check_finite(self) -> None:
        for label, array in [
            *zip(self.x_names, self.xs, strict=True),
            *zip(self.y_names, self.ys, strict=False),
        ]:
            check_finite(array, f"{self.name}: array '{label}'")


def sha256_array(array: Array) -> str:
    """sha256 (hex) of dtype, shape and values of an array, whatever its layout in memory."""
    found = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    for piece in pieces(array):
        found.update(np.ascontiguousarray(piece).data)
    return found.hexdigest()


def pieces(array: Array) -> Sequence[Array]:
    """The array along axis 0 in pieces of about :data:`PIECE` bytes."""
    if array.ndim == 0 or array.size == 0:
        return [array]
    step = max(1, PIECE // max(1, array[0].nbytes))
    return [array[start : start + step] for start in range(0, len(array), step)]


def check_finite(array: Array, what: str, first: int = 0) -> None:
    """Refuse NaN, infinities, and what becomes one in float32.

    Args:
        array: any dtype; the examples along axis 0.
        what: file and array, for the message.
        first: number of the first example in it.

    Raises:
        DataError: names the first example and the place in it.
    """
    if array.dtype.kind != "f":
        return
    for piece in pieces(array):
        with np.errstate(over="ignore"):
            finite = np.isfinite(piece.astype(np.float32, copy=False))
        if not finite.all():
            place = [int(part[0]) for part in np.nonzero(~finite)]
            value = piece[tuple(place)]
            where = f"[{', '.join(map(str, [place[0] + first, *place[1:]]))}]"
            raise DataError(f"{what} is {value} at {where}; remove or repair that example")
        first += len(piece)
