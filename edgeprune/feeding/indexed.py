"""A dataset of examples that can be taken by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Batch
from edgeprune.feeding.ordering import Index, order
from edgeprune.feeding.ports import Array, Arrays
from edgeprune.feeding.rows import ArrayRows, Rows, Taken, sha256_array
from edgeprune.files import digest_of


@dataclass(frozen=True, eq=False)
class Indexed:
    """Examples of some :class:`Rows`, all or those at ``index``.

    Attributes:
        rows: the examples.
        classes: names, where known.
        index: int64, which of them and in what order; ``None``: all.
        class_weights: float32 by class, given as sample weights; ``None``: none.
        one_hot: number of classes when whole-number labels are fed one-hot; ``None``: as they are.
    """

    rows: Rows
    classes: tuple[str, ...] | None = None
    index: Index | None = None
    class_weights: npt.NDArray[np.float32] | None = None
    one_hot: int | None = None

    @cached_property
    def name(self) -> str:
        return self.rows.name

    @cached_property
    def examples(self) -> int:
        return self.rows.count if self.index is None else len(self.index)

    @cached_property
    def digest(self) -> str:
        weights = self.class_weights
        facts = {
            "rows": self.rows.digest,
            "index": None if self.index is None else sha256_array(self.index),
            "class_weights": None if weights is None else sha256_array(weights),
            "one_hot": self.one_hot,
        }
        return digest_of(facts)

    def batches(self, size: int, *, shuffle: int | None = None) -> Batches:
        """Batches of ``size`` examples; ``shuffle`` is a seed."""
        return Batches(self, size, shuffle)

    def subset(self, index: npt.NDArray[np.int64]) -> Indexed:
        """The examples at ``index``, in that order."""
        index = np.asarray(index, np.int64)
        return replace(self, index=index if self.index is None else self.index[index])

    def take(self, index: Index | slice) -> Batch:
        """One batch: the examples at ``index`` of these."""
        own = self._own(index)
        xs, ys, weights = self.rows.take(own)
        if not ys:
            return (alone(xs),)
        weights = weighed(ys, weights, self.class_weights)
        y = alone(tuple(one_hot(array, self.one_hot) for array in ys))
        return (alone(xs), y) if weights is None else (alone(xs), y, weights)

    def take_plain(self) -> Taken:
        """All examples as they lie: labels not one-hot, classes not weighted."""
        return self.rows.take(self._own(slice(None)))

    def targets(self) -> Arrays:
        """The targets of all examples as they lie (not one-hot)."""
        return self.rows.targets(self._own(slice(None)))

    def _own(self, index: Index | slice) -> Index | slice:
        return index if self.index is None else self.index[index]


@dataclass(frozen=True)
class Batches:
    """Re-iterable batches of a dataset; ``len`` is their number."""

    dataset: Indexed
    size: int
    shuffle: int | None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a batch has at least one example, not {self.size}")

    def __len__(self) -> int:
        return -(-self.dataset.examples // self.size)

    def __iter__(self) -> Iterator[Batch]:
        examples = self.dataset.examples
        mixed = None if self.shuffle is None else order(examples, self.shuffle)
        for start in range(0, examples, self.size):
            part = slice(start, min(start + self.size, examples))
            yield self.dataset.take(part if mixed is None else mixed[part])


def alone(arrays: Arrays) -> Any:
    """The array where it is one, else the tuple."""
    return arrays[0] if len(arrays) == 1 else arrays


def class_numbers(y: Array) -> npt.NDArray[np.int64]:
    """Class of each example, ``(n,)``: from whole numbers ``(n,)`` or ``(n, 1)``, or one-hot."""
    if y.ndim > 1 and y.shape[-1] > 1:
        return y.argmax(axis=-1).astype(np.int64)
    return y.reshape(len(y), -1)[:, 0].astype(np.int64)


def weighed(ys: Arrays, weights: Array | None, by_class: Array | None) -> Array | None:
    """Sample weights, float32 ``(n,)``: the data's own times those of the classes."""
    if by_class is None:
        return weights
    found = by_class[class_numbers(ys[0])]
    return found if weights is None else found * weights


def one_hot(y: Array, classes: int | None) -> Array:
    """Whole-number labels ``(n,)`` or ``(n, 1)`` as float32 ``(n, classes)``; others unchanged."""
    if classes is None or (y.ndim > 1 and y.shape[-1] != 1):
        return y
    return np.eye(classes, dtype=np.float32)[class_numbers(y)]


def from_arrays(
    x: Any, y: Any = None, *, name: str = "arrays", classes: tuple[str, ...] | None = None
) -> Indexed:
    """A dataset of arrays in memory.

    Args:
        x: an array, or a tuple of them for a model of several inputs; examples along axis 0.
            Floats and uint8 are fed as float32, other whole numbers as they are.
        y: the same for targets; ``None``: none.
        name: for messages.
        classes: their names, where known.

    Raises:
        DataError: lengths differ, or no numbers.
    """
    xs = as_arrays(x)
    ys = () if y is None else as_arrays(y)
    return Indexed(
        ArrayRows(name, xs, ys, x_names=numbered("x", xs), y_names=numbered("y", ys)), classes
    )


def as_arrays(value: Any) -> Arrays:
    """A tuple of numpy arrays from one array or a tuple or list of arrays."""
    if isinstance(value, tuple | list) and value and all(hasattr(item, "shape") for item in value):
        return tuple(np.asarray(item) for item in value)
    return (np.asarray(value),)


def numbered(word: str, arrays: Arrays) -> tuple[str, ...]:
    """What messages call arrays without names: ``x``, or ``x[0]``, ``x[1]`` …"""
    if len(arrays) == 1:
        return (word,)
    return tuple(f"{word}[{place}]" for place in range(len(arrays)))
