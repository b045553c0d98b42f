"""What a layer sums up, as a product of rows with a matrix: one row for each position of its
output, one column for each channel.

A convolution's rows are its patches. What runs in separate parts (the runs of a grouped
convolution, each channel of a depthwise one) is as many *blocks*, each with rows and a matrix of
its own. The matrix of a layer is ``(blocks, features, columns)``, and the channels of its output
are its columns, block after block.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
_L = keras.layers


class Sums(ABC):
    """One layer.

    Attributes:
        layer: the layer.
        inner: name of its kernel inside the layer.
        made: for each axis of the output that its channels lie on, from the end, the axes of the
            kernel that make it.
    """

    inner = "kernel"
    made: tuple[tuple[int, tuple[int, ...]], ...] = ((-1, (-1,)),)

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def kernel(self) -> Any:
        """The variable that is solved."""
        return getattr(self.layer, self.inner)

    @property
    def bias(self) -> Any | None:
        """The bias, one number for each column; ``None`` where there is no such."""
        return getattr(self.layer, "bias", None)

    def read(self, x: Any) -> Any:
        """Of the layer's input, what the kernel is multiplied with; a tensor."""
        return x

    @abstractmethod
    def matrix(self, kernel: Array) -> Array:
        """The kernel as ``(blocks, features, columns)``."""

    @abstractmethod
    def back(self, matrix: Array) -> Array:
        """The kernel that :meth:`matrix` was made of."""

    @abstractmethod
    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Ids) -> Array:
        """The rows of the chosen positions.

        Args:
            x: what :meth:`read` gave, the examples along axis 0.
            y_shape: shape of the layer's output.
            chosen: numbers of positions, all examples' one after the other.

        Returns:
            float64, ``(blocks, positions, features)``.
        """

    def answers(self, y: Array) -> Array:
        """An output of the layer as ``(positions, channels)``."""
        return y.reshape(-1, y.shape[-1])


class DenseSums(Sums):
    """A Dense layer: positions are all axes but the last."""

    def matrix(self, kernel: Array) -> Array:
        return kernel[None]

    def back(self, matrix: Array) -> Array:
        return matrix[0]

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Ids) -> Array:
        return x.reshape(-1, x.shape[-1])[chosen].astype(np.float64)[None]


class EinsumSums(Sums):
    """An EinsumDense layer: letters of input and kernel alone are summed over, letters of kernel
    and output alone are columns, letters of input and output alone are positions."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        terms, self._given = layer.equation.split("->")
        self._taken, self._kernel = terms.split(",")
        self._features = self._of(self._taken, lambda one: one not in self._given)
        self._columns = self._of(self._given, lambda one: one not in self._taken)
        letters = self._taken.replace("...", "")
        apart = [one for one in letters if one not in self._kernel and one not in self._given]
        if apart or sorted(self._features + self._columns) != sorted(self._kernel):
            raise ValueError("its equation is no product of rows with a matrix")
        if "..." in self._given[1:]:
            raise ValueError("its channels stand before the dots of its equation")
        self.made = tuple(
            (self._given.index(one) - len(self._given), (self._kernel.index(one),))
            for one in self._columns
        )

    def _of(self, term: str, wanted: Callable[[str], bool]) -> str:
        return "".join(one for one in term if one in self._kernel and wanted(one))

    @property
    def bias(self) -> Any | None:
        axes = self.layer.bias_axes
        whole = axes is not None and sorted(axes) == sorted(self._columns)
        return self.layer.bias if whole else None

    @property
    def _order(self) -> list[int]:
        return [self._kernel.index(one) for one in self._features + self._columns]

    def matrix(self, kernel: Array) -> Array:
        features = math.prod(kernel.shape[self._kernel.index(one)] for one in self._features)
        return kernel.transpose(self._order).reshape(1, features, -1)

    def back(self, matrix: Array) -> Array:
        shape = [self.kernel.shape[axis] for axis in self._order]
        return matrix.reshape(shape).transpose(np.argsort(self._order))

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Ids) -> Array:
        return self._flat(x, self._taken, self._features)[chosen].astype(np.float64)[None]

    def answers(self, y: Array) -> Array:
        return self._flat(y, self._given, self._columns)

    def _flat(self, value: Array, term: str, last: str) -> Array:
        """``value`` as a matrix: positions, in the order of the input, by the letters ``last``."""
        dots = "ABCDEFGH"[: value.ndim - len(term.replace("...", ""))]
        letters = term.replace("...", dots)
        taken = self._taken.replace("...", dots)
        places = [one for one in taken if one not in self._kernel]
        moved = value.transpose([letters.index(one) for one in [*places, *last]])
        return moved.reshape(math.prod(moved.shape[: len(places)]), -1)


class ConvolutionSums(Sums):
    """A convolution of any rank, with strides, dilation, padding and runs."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self._first = layer.data_format == "channels_first"
        self.made = ((1 - (layer.rank + 2) if self._first else -1, self._filters()),)

    def _filters(self) -> tuple[int, ...]:
        return (-1,)

    def _blocks(self, channels: int) -> int:
        return int(self.layer.groups)

    @property
    def _lengths(self) -> tuple[int, ...]:
        return tuple(self.kernel.shape[: self.layer.rank])

    def matrix(self, kernel: Array) -> Array:
        *lengths, width, filters = kernel.shape
        blocks = int(self.layer.groups)
        split = kernel.reshape(math.prod(lengths) * width, blocks, filters // blocks)
        return split.transpose(1, 0, 2)

    def back(self, matrix: Array) -> Array:
        return matrix.transpose(1, 0, 2).reshape(self.kernel.shape)

    def rows(self, x: Array, y_shape: tuple[int, ...], chosen: Ids) -> Array:
        x, out = self._last(x), self._spatial(y_shape)
        steps, before, after = self._walk(x.shape[1:-1], out)
        spread = self._stuffed(x)
        padded = np.pad(spread, ((0, 0), *zip(before, after, strict=True), (0, 0)))
        channels, blocks = x.shape[-1], self._blocks(x.shape[-1])
        lengths = padded.shape[1:-1]
        place = np.unravel_index(chosen, (len(x), *out))
        start = place[0]
        for axis, length in enumerate(lengths):
            start = start * length + place[axis + 1] * steps[axis]
        flat = padded.reshape(-1, channels)
        taps = list(np.ndindex(self._lengths))
        found = np.empty((len(chosen), len(taps), channels))
        for number, tap in enumerate(taps):
            offset = 0
            for axis, length in enumerate(lengths):
                offset = offset * length + self._tap(axis, tap[axis])
            found[:, number] = flat[start + offset]
        if blocks == 1:
            return found.reshape(1, len(chosen), -1)
        split = found.reshape(len(chosen), len(taps), blocks, -1)
        return split.transpose(2, 0, 1, 3).reshape(blocks, len(chosen), -1)

    def answers(self, y: Array) -> Array:
        return super().answers(self._last(y))

    def _last(self, value: Array) -> Array:
        return np.moveaxis(value, 1, -1) if self._first else value

    def _spatial(self, y_shape: tuple[int, ...]) -> tuple[int, ...]:
        return y_shape[2:] if self._first else y_shape[1:-1]

    def _stuffed(self, x: Array) -> Array:
        return x

    def _tap(self, axis: int, place: int) -> int:
        return place * self._dilation[axis]

    @property
    def _strides(self) -> tuple[int, ...]:
        return _each(self.layer.strides, self.layer.rank)

    @property
    def _dilation(self) -> tuple[int, ...]:
        return _each(self.layer.dilation_rate, self.layer.rank)

    def _walk(
        self, lengths: tuple[int, ...], out: tuple[int, ...]
    ) -> tuple[tuple[int, ...], list[int], list[int]]:
        """By axis: from one position to the next, and the zeros before and behind the input."""
        before, after = [], []
        for axis, length in enumerate(lengths):
            reach = (self._lengths[axis] - 1) * self._dilation[axis]
            needed = (out[axis] - 1) * self._strides[axis] + reach + 1
            missing = max(needed - length, 0)
            padding = self.layer.padding
            first = reach if padding == "causal" else missing // 2 if padding == "same" else 0
            before.append(first)
            after.append(max(needed - first - length, 0))
        return self._strides, before, after


class TransposedSums(ConvolutionSums):
    """A transposed convolution: a convolution, its taps turned round, of the input with zeros
    between its positions."""

    def _filters(self) -> tuple[int, ...]:
        return (-2,)

    def _blocks(self, channels: int) -> int:
        return 1

    def matrix(self, kernel: Array) -> Array:
        turned = np.swapaxes(kernel, -1, -2)
        return turned.reshape(1, -1, turned.shape[-1])

    def back(self, matrix: Array) -> Array:
        *lengths, filters, width = self.kernel.shape
        return np.swapaxes(matrix.reshape(*lengths, width, filters), -1, -2)

    def _stuffed(self, x: Array) -> Array:
        lengths = [
            (length - 1) * step + 1
            for length, step in zip(x.shape[1:-1], self._strides, strict=True)
        ]
        spread = np.zeros((len(x), *lengths, x.shape[-1]), x.dtype)
        spread[(slice(None), *(slice(None, None, step) for step in self._strides))] = x
        return spread

    def _tap(self, axis: int, place: int) -> int:
        return (self._lengths[axis] - 1 - place) * self._dilation[axis]

    def _walk(
        self, lengths: tuple[int, ...], out: tuple[int, ...]
    ) -> tuple[tuple[int, ...], list[int], list[int]]:
        before, after = [], []
        for axis, length in enumerate(lengths):
            step = self._strides[axis]
            reach = (self._lengths[axis] - 1) * self._dilation[axis]
            spread = (length - 1) * step + 1
            # What the convolution that this turns round would have padded.
            missing = max(spread + reach - out[axis], 0)
            cut = missing // 2 if self.layer.padding == "same" else 0
            before.append(reach - cut)
            after.append(max(out[axis] + reach - before[-1] - spread, 0))
        return (1,) * len(lengths), before, after


class DepthwiseSums(ConvolutionSums):
    """A depthwise convolution: each channel by itself, its taps the features."""

    def _filters(self) -> tuple[int, ...]:
        return (-2, -1)

    def _blocks(self, channels: int) -> int:
        return channels

    def matrix(self, kernel: Array) -> Array:
        *lengths, channels, copies = kernel.shape
        return kernel.reshape(math.prod(lengths), channels, copies).transpose(1, 0, 2)

    def back(self, matrix: Array) -> Array:
        return matrix.transpose(1, 0, 2).reshape(self.kernel.shape)


class SeparableSums(ConvolutionSums):
    """The pointwise half of a separable convolution; its input is what the depthwise half makes."""

    inner = "pointwise_kernel"

    def read(self, x: Any) -> Any:
        layer = self.layer
        return keras.ops.depthwise_conv(
            x,
            layer.depthwise_kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )

    def _blocks(self, channels: int) -> int:
        return 1

    def matrix(self, kernel: Array) -> Array:
        return kernel.reshape(1, *kernel.shape[-2:])

    @property
    def _strides(self) -> tuple[int, ...]:
        return (1,) * int(self.layer.rank)

    _dilation = _strides


_KINDS: dict[type, type[Sums]] = {
    _L.Dense: DenseSums,
    _L.EinsumDense: EinsumSums,
    _L.Conv1D: ConvolutionSums,
    _L.Conv2D: ConvolutionSums,
    _L.Conv3D: ConvolutionSums,
    _L.Conv1DTranspose: TransposedSums,
    _L.Conv2DTranspose: TransposedSums,
    _L.Conv3DTranspose: TransposedSums,
    _L.DepthwiseConv1D: DepthwiseSums,
    _L.DepthwiseConv2D: DepthwiseSums,
    _L.SeparableConv1D: SeparableSums,
    _L.SeparableConv2D: SeparableSums,
}


def sums_of(layer: Any) -> Sums | str:
    """How ``layer`` sums up, or why that is not known."""
    kind = _KINDS.get(type(layer))
    if kind is None:
        return f"it is not known how {type(layer).__name__} sums up"
    for name in ("kernel", "bias", "depthwise", "pointwise"):
        if getattr(layer, f"{name}_constraint", None) is not None:
            return f"its {name} has a constraint"
    try:
        return kind(layer)
    except ValueError as error:
        return str(error)


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
