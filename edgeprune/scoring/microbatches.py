"""Micro-batches of a stream, each as the chunks that are in memory one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from edgeprune.errors import InputError
from edgeprune.models.forward import Parts, examples_of, parts_of


def micro_batches(
    batches: Iterable[Any], model: Any, *, size: int | None = None, chunk: int | None = None
) -> Iterator[list[Parts]]:
    """The examples of ``batches`` in their order, cut into micro-batches.

    Args:
        batches: see :func:`edgeprune.models.forward.parts_of`.
        model: gives the order of names.
        size: examples of a micro-batch, whatever the batches were; ``None`` takes each batch as
            one. The last may be smaller.
        chunk: most examples in memory at once; ``None`` for those of a batch.

    Raises:
        InputError: a size below one.
        DataError: a batch that does not fit the model.
    """
    for name, value in (("microbatch", size), ("chunk", chunk)):
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}: at least one example is needed")
    waiting: list[Parts] = []
    have = 0
    for batch in batches:
        parts = parts_of(batch, model)
        total = examples_of(parts)
        if size is None:
            yield _chunks(parts, total, chunk)
            continue
        start = 0
        while start < total:
            stop = min(total, start + size - have)
            waiting += _chunks(between(parts, start, stop), stop - start, chunk)
            have, start = have + stop - start, stop
            if have == size:
                yield waiting
                waiting, have = [], 0
    if waiting:
        yield waiting


def _chunks(parts: Parts, total: int, chunk: int | None) -> list[Parts]:
    step = chunk or max(total, 1)
    return [between(parts, start, start + step) for start in range(0, max(total, 1), step)]


def between(parts: Parts, start: int, stop: int) -> Parts:
    """Some of the examples."""
    inputs, labels, weights = (tuple(array[start:stop] for array in part) for part in parts)
    return inputs, labels, weights
