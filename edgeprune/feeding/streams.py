"""Data that comes as a stream: kept in memory where it fits, else read anew at each pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Batch
from edgeprune.errors import DataError
from edgeprune.feeding.elements import Reader, guarded
from edgeprune.feeding.indexed import Indexed, alone, one_hot, weighed
from edgeprune.feeding.ordering import Index
from edgeprune.feeding.ports import Array
from edgeprune.feeding.rows import ArrayRows, Taken, check_finite, sha256_array
from edgeprune.files import digest_of

IN_MEMORY = 1 << 30
"""Bytes up to which a stream is kept in memory."""
WINDOW = 8192
"""Examples among which a long stream is mixed."""


def gathered(
    make: Callable[[], Iterable[Any]],
    reader: Reader,
    *,
    examples: int | None = None,
    classes: tuple[str, ...] | None = None,
    in_memory: int = IN_MEMORY,
) -> Indexed | Stream:
    """A dataset of what ``make()`` yields, read once.

    Args:
        make: gives the batches from the start, at each call.
        reader: makes arrays of a batch.
        examples: take only the first so many.
        classes: names, where known.
        in_memory: bytes above which nothing is kept and each pass calls ``make`` again.

    Raises:
        DataError: a batch that is none, NaN or Inf, no example.
    """
    kept: list[ArrayRows] | None = []
    total, size, content = 0, 0, _Content()
    for rows in _limited(make, reader, examples):
        _check(rows, total)
        content.add(rows)
        total += rows.count
        size += sum(array.nbytes for array in (*rows.xs, *rows.ys))
        if size > in_memory:
            kept = None
        if kept is not None:
            kept.append(rows)
    if total == 0:
        raise DataError(f"{reader.name}: holds no example; give some")
    if kept is not None:
        return Indexed(joined(kept), classes)
    return Stream(make, reader, total, content.digest, examples, classes)


def joined(parts: list[ArrayRows]) -> ArrayRows:
    """Batches as one.

    Raises:
        DataError: shapes differ between batches.
    """
    first = parts[0]
    try:
        xs = tuple(np.concatenate(found) for found in zip(*(p.xs for p in parts), strict=True))
        ys = tuple(np.concatenate(found) for found in zip(*(p.ys for p in parts), strict=True))
    except ValueError as error:
        raise DataError(
            f"{first.name}: batches differ in shape ({error}); give all one shape"
        ) from error
    weights = [part.weights for part in parts if part.weights is not None]
    return replace(first, xs=xs, ys=ys, weights=np.concatenate(weights) if weights else None)


def _check(rows: ArrayRows, first: int) -> None:
    for names, arrays in ((rows.x_names, rows.xs), (rows.y_names, rows.ys)):
        for label, array in zip(names, arrays, strict=False):
            check_finite(array, f"{rows.name}: array '{label}'", first)


def _limited(
    make: Callable[[], Iterable[Any]], reader: Reader, examples: int | None
) -> Iterator[ArrayRows]:
    left = examples
    for value in guarded(make, reader.name):
        rows = reader.rows(value)
        if left is not None:
            rows = cut(rows, left)
            left -= rows.count
        yield rows
        if left == 0:
            return


def cut(rows: ArrayRows, count: int) -> ArrayRows:
    """The first ``count`` examples."""
    return replace(
        rows,
        xs=tuple(array[:count] for array in rows.xs),
        ys=tuple(array[:count] for array in rows.ys),
        weights=None if rows.weights is None else rows.weights[:count],
    )


class _Content:
    """sha256 of the examples in their order, however they are cut into batches."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}

    def add(self, rows: ArrayRows) -> None:
        for kind, arrays in (("x", rows.xs), ("y", rows.ys)):
            for place, array in enumerate(arrays):
                key = f"{kind}{place}/{array.dtype.str}/{array.shape[1:]}"
                found = self._hashes.setdefault(key, hashlib.sha256())
                found.update(np.ascontiguousarray(array).data)

    @property
    def digest(self) -> str:
        return digest_of({key: found.hexdigest() for key, found in self._hashes.items()})


@dataclass(frozen=True, eq=False)
class Stream:
    """A dataset too large for memory; a subset keeps the stream's order.

    Attributes:
        make, reader: where batches come from, and what becomes of them.
        total: examples of one pass.
        content: digest of one pass; a later pass that differs is refused.
        limit: examples after which a pass ends.
        classes: names, where known.
        keep: bool, one a streamed example: which are in; ``None``: all.
        class_weights, one_hot: as :class:`Indexed` has them.
    """

    make: Callable[[], Iterable[Any]]
    reader: Reader
    total: int
    content: str
    limit: int | None = None
    classes: tuple[str, ...] | None = None
    keep: npt.NDArray[np.bool_] | None = None
    class_weights: npt.NDArray[np.float32] | None = None
    one_hot: int | None = None

    @property
    def name(self) -> str:
        return self.reader.name

    @cached_property
    def examples(self) -> int:
        return self.total if self.keep is None else int(self.keep.sum())

    @cached_property
    def digest(self) -> str:
        change = self.reader.change
        facts = {
            "content": self.content,
            "change": [change.scale, change.offset, self.reader.mirror],
            "keep": None if self.keep is None else sha256_array(self.keep),
            "class_weights": None
            if self.class_weights is None
            else sha256_array(self.class_weights),
            "one_hot": self.one_hot,
        }
        return digest_of(facts)

    def batches(self, size: int, *, shuffle: int | None = None) -> StreamBatches:
        """Batches of ``size``; with a seed mixed among :data:`WINDOW` examples at a time."""
        return StreamBatches(self, size, shuffle)

    def subset(self, index: npt.NDArray[np.int64]) -> Stream:
        """The examples at ``index``, in the stream's order."""
        own: Index = np.arange(self.total) if self.keep is None else np.flatnonzero(self.keep)
        keep = np.zeros(self.total, bool)
        keep[own[np.asarray(index, np.int64)]] = True
        return replace(self, keep=keep)

    def chunks(self) -> Iterator[Taken]:
        """One pass, as fed.

        Raises:
            DataError: it differs from the first pass.
        """
        first, content = 0, _Content()
        for rows in _limited(self.make, self.reader, self.limit):
            content.add(rows)
            kept = None if self.keep is None else np.flatnonzero(self.keep[first:][: rows.count])
            first += rows.count
            yield rows.take(slice(None) if kept is None else kept)
        if content.digest != self.content:
            raise DataError(
                f"{self.name}: gives other examples, or another order, at each pass; "
                "remove .shuffle() and augmentation from it"
            )


@dataclass(frozen=True)
class StreamBatches:
    """Re-iterable batches of a :class:`Stream`."""

    stream: Stream
    size: int
    shuffle: int | None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a batch has at least one example, not {self.size}")

    def __len__(self) -> int:
        return -(-self.stream.examples // self.size)

    def __iter__(self) -> Iterator[Batch]:
        random = None if self.shuffle is None else np.random.default_rng(self.shuffle)
        window = self.size if random is None else -(-WINDOW // self.size) * self.size
        waiting: list[Taken] = []
        count = 0
        for taken in self.stream.chunks():
            waiting.append(taken)
            count += len(taken[0][0])
            if count >= window:
                whole = _concatenated(waiting)
                ready = count - count % window
                yield from self._cut(_at(whole, slice(0, ready)), random, window)
                waiting, count = [_at(whole, slice(ready, None))], count - ready
        if count:
            yield from self._cut(_concatenated(waiting), random, window)

    def _cut(
        self, taken: Taken, random: np.random.Generator | None, window: int
    ) -> Iterator[Batch]:
        count = len(taken[0][0])
        for start in range(0, count, window):
            numbers = np.arange(start, min(start + window, count))
            if random is not None:
                numbers = random.permutation(numbers)
            for at in range(0, len(numbers), self.size):
                yield self._batch(_at(taken, numbers[at : at + self.size]))

    def _batch(self, taken: Taken) -> Batch:
        xs, ys, weights = taken
        if not ys:
            return (alone(xs),)
        weights = weighed(ys, weights, self.stream.class_weights)
        y = alone(tuple(one_hot(array, self.stream.one_hot) for array in ys))
        return (alone(xs), y) if weights is None else (alone(xs), y, weights)


def _at(taken: Taken, index: Array | slice) -> Taken:
    xs, ys, weights = taken
    return (
        tuple(array[index] for array in xs),
        tuple(array[index] for array in ys),
        None if weights is None else weights[index],
    )


def _concatenated(parts: list[Taken]) -> Taken:
    if len(parts) == 1:
        return parts[0]
    weights = [part[2] for part in parts if part[2] is not None]
    return (
        tuple(np.concatenate(found) for found in zip(*(part[0] for part in parts), strict=True)),
        tuple(np.concatenate(found) for found in zip(*(part[1] for part in parts), strict=True)),
        np.concatenate(weights) if weights else None,
    )
