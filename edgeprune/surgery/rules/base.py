"""What a layer rule is, and what several of them share.

A rule says four things of one layer family: where its input's channels come out again and which
weights sit on them (:meth:`Rule.send`), what it makes of channels that are constant
(:meth:`Rule.constant`), whether it can take a constant into its bias (:meth:`Rule.folds`), and how
its config changes when channels leave (:meth:`Rule.resized`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.graphs import Role
from edgeprune.models.calls import Call

Ids = npt.NDArray[np.int64]
"""Channel numbers of a tensor: an array that broadcasts to its shape without the batch; -1 where
there is no channel. An axis along which nothing changes has length one."""
Values = npt.NDArray[np.float64]
"""Constants of a tensor, laid out like its :data:`Ids`; NaN where the value depends on the data."""
Array = npt.NDArray[Any]


class Wall(Exception):
    """A call that no rule can follow; the text is the reason, without the layer's name."""


class Book(Protocol):
    """Where channel numbers are handed out."""

    def fresh(self, size: int) -> Ids:
        """Numbers for ``size`` new channels, made by the layer at hand."""
        ...

    def fix(self, ids: Ids, reason: str) -> None:
        """The groups of these channels keep their size."""
        ...


@dataclass(frozen=True, eq=False)
class Part:
    """One axis of one weight of a layer.

    Attributes:
        weight: the variable's name inside the layer.
        axis: counted from 0.
        ids: channel number at each position of the axis.
        role: what the weight does with the channel.
    """

    weight: str
    axis: int
    ids: Ids
    role: Role


@dataclass(frozen=True, eq=False)
class Sent:
    """What :meth:`Rule.send` finds.

    Attributes:
        ids: channels of the output.
        parts: weights that sit on channels.
    """

    ids: Ids
    parts: tuple[Part, ...] = ()


class Rule:
    """The rule of a layer that changes nothing about channels; families override."""

    def send(self, call: Call, inputs: Sequence[Ids], book: Book) -> Sent:
        """Send channel numbers through the layer.

        Raises:
            Wall: this call cannot be followed; what touches it keeps its size.
        """
        return Sent(inputs[0])

    def constant(
        self, call: Call, weights: Mapping[str, Array], values: Sequence[Values]
    ) -> Values:
        """The constants that come out, laid out like the ids of :meth:`send`."""
        return values[0]

    def folds(self, call: Call) -> str | None:
        """``None`` where a constant input can move into the bias exactly; else why not."""
        return "it has no bias to take a constant"

    def resized(self, call: Call, config: Mapping[str, Any], width: int) -> Mapping[str, Any]:
        """The config of the layer when ``width`` positions of its channel axis are left."""
        return config


def vector(ids: Ids, book: Book) -> Ids:
    """The channels of an input that carries them on its last axis alone.

    Where they change along another axis too, weights are shared between them: they keep their
    size, and stand for no channel from here on (-1).
    """
    if ids.size != ids.shape[-1]:
        book.fix(ids, "weights behind it are shared over more than the last axis")
        return np.full(ids.shape[-1], -1, np.int64)
    return ids.reshape(-1)


def flat(values: Values) -> Values:
    """The constants on the last axis; unknown where they change along another axis too."""
    if values.size != values.shape[-1]:
        return np.full(values.shape[-1], np.nan)
    return values.reshape(-1)


def on_last_axis(numbers: Array, rank: int) -> Array:
    """``numbers`` on the last of ``rank`` axes."""
    return numbers.reshape((1,) * (rank - 1) + (-1,))


def multiplied(
    kernel: Values, value: Values, reads: int, makes: int, bias: Values | None
) -> Values:
    """Constants that a kernel makes of constants, one per output channel, NaN where unknown.

    A zero weight reads nothing, whatever comes in.
    """
    matrix = np.moveaxis(kernel, (reads, makes), (-2, -1))
    touched = (matrix != 0).any(axis=tuple(range(matrix.ndim - 2)))
    summed = matrix.sum(axis=tuple(range(matrix.ndim - 2)))
    unknown = (touched & np.isnan(value)[:, None]).any(axis=0)
    made = np.nan_to_num(value) @ summed
    if bias is not None:
        made = made + bias
    return np.where(unknown, np.nan, made)


ELEMENTWISE = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid",
    "hard_sigmoid", "hard_silu", "tanh", "hard_tanh", "softplus", "softsign", "exponential",
    "mish", "log_sigmoid", "squareplus", "tanh_shrink", "hard_shrink", "soft_shrink", "threshold",
    "sparse_plus", "sparse_sigmoid",
)  # fmt: skip
MIXING = ("softmax", "log_softmax", "sparsemax", "glu")


def mixing(function: Any) -> str | None:
    """``None`` where an activation works on each element by itself; else the reason it does not
    let channels go."""
    for name in ELEMENTWISE:
        if function is getattr(keras.activations, name, None):
            return None
    for name in MIXING:
        if function is getattr(keras.activations, name, None):
            return f"{name} mixes channels"
    name = getattr(function, "__name__", None) or type(function).__name__
    return f"activation {name!r} is not known to work on each element by itself"


def applied(function: Any, values: Values) -> Values:
    """An elementwise activation on constants, in float64; NaN where unknown or not finite."""
    known = np.isfinite(values)
    filled = keras.ops.convert_to_tensor(np.where(known, values, 0.0), dtype="float64")
    made = np.asarray(keras.ops.convert_to_numpy(function(filled)), np.float64)
    return np.where(known & np.isfinite(made), made, np.nan)


def activated(function: Any, values: Values) -> Values:
    """Constants behind a layer's own activation; unknown where it mixes channels."""
    return np.full_like(values, np.nan) if mixing(function) else applied(function, values)
