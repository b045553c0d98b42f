"""The data of the Python API: what a user has at hand, as re-iterable batches or a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgeprune.datasets import Batch, Dataset
from edgeprune.errors import DataError
from edgeprune.feeding.elements import Reader, guarded
from edgeprune.feeding.indexed import Indexed, alone
from edgeprune.feeding.ports import inputs_of, outputs_of
from edgeprune.feeding.streams import gathered
from edgeprune.feeding.tfdata import batched, is_tf_data

KINDS = "a pair of arrays, a tf.data.Dataset, or a re-iterable of (x, y) batches"


def as_batches(data: Any, size: int = 32) -> Iterable[Batch]:
    """Re-iterable batches of what a user gives.

    Args:
        data: a pair of arrays (cut into batches of ``size``); a dataset of ours (likewise); a
            ``tf.data.Dataset`` of batches or any re-iterable of ``(x, y)`` batches: each batch as
            given, whatever ``size`` says.
        size: examples in a batch.

    Returns:
        Batches whose arrays are numpy, floats as float32.

    Raises:
        DataError: a generator (it can be read only once), or something else; while iterating: no
            batch at all, or a batch that is none.
    """
    if is_dataset(data):
        return data.batches(size)
    if _is_pair(data):
        return Indexed(Reader("data").rows(data)).batches(size)
    return _Given(_maker(data, "data"), Reader("data"))


def as_dataset(data: Any, model: Any = None, *, name: str = "data") -> Dataset:
    """A dataset of what a user gives; kinds and errors as :func:`as_batches` has them.

    With a model, dicts are brought into the order of its inputs, and a ``tf.data.Dataset`` of
    single examples is known as such.
    """
    if is_dataset(data):
        return data
    reader = Reader(name, inputs_of(model), outputs_of(model))
    if _is_pair(data):
        return Indexed(reader.rows(data))
    return gathered(_maker(data, name, reader), reader)


def is_dataset(data: Any) -> bool:
    """Whether ``data`` is a :class:`edgeprune.datasets.Dataset`."""
    return callable(getattr(data, "batches", None)) and hasattr(data, "examples")


@dataclass(frozen=True)
class _Given:
    make: Callable[[], Iterable[Any]]
    reader: Reader

    def __iter__(self) -> Iterator[Batch]:
        empty = True
        for value in guarded(self.make, self.reader.name):
            empty = False
            xs, ys, weights = self.reader.rows(value).take(slice(None))
            if not ys:
                yield (alone(xs),)
            else:
                yield (alone(xs), alone(ys), *(() if weights is None else (weights,)))
        if empty:
            raise DataError(f"{self.reader.name}: holds no batch; give some")


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple) and 1 <= len(data) <= 3


def _maker(data: Any, name: str, reader: Reader | None = None) -> Callable[[], Iterable[Any]]:
    if is_tf_data(data):
        return batched(data, name, reader.inputs if reader else ())
    if isinstance(data, str | bytes | dict) or hasattr(data, "__fspath__"):
        raise DataError(
            f"{name}: {type(data).__name__} {str(data)[:40]!r} is no data; give {KINDS}"
        )
    if hasattr(data, "shape"):
        raise DataError(f"{name}: one array; give {KINDS}")
    if isinstance(data, list) and data and all(hasattr(item, "shape") for item in data):
        raise DataError(f"{name}: a list of arrays; write the pair as a tuple, (x, y)")
    if hasattr(data, "__next__"):
        raise DataError(
            f"{name}: a generator can be read only once; give a list of its batches, "
            "or an object whose __iter__ starts anew"
        )
    if hasattr(data, "__iter__"):
        return lambda: data
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # keras.utils.PyDataset
        return lambda: (data[place] for place in range(len(data)))
    raise DataError(f"{name}: {type(data).__name__} is no data; give {KINDS}")
