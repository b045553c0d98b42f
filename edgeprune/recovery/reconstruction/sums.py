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

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


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
