"""Convolutions of every rank as products of patches with a matrix."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from edgeprune.recovery.reconstruction.sums import Array, Ids, Sums


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


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
