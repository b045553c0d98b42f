"""The data of the Python API: what a user has at hand, as re-iterable batches or a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeprune.datasets import Batch, Dataset
from edgeprune.errors import DataError
from edgeprune.feeding.checking import check_fits, check_inputs
from edgeprune.feeding.elements import Reader, guarded
from edgeprune.feeding.indexed import Indexed, alone
from edgeprune.feeding.ports import inputs_of, outputs_of
from edgeprune.feeding.streams import gathered
from edgeprune.feeding.tfdata import batched, is_tf_data

KINDS = "a pair of arrays, a tf.data.Dataset, or a re-iterable of (x, y) batches"


def as_batches(data: Any, size: int = 32, *, model: Any = None) -> Iterable[Batch]:
    """Re-iterable batches of what a user gives.

    Args:
        data: a pair of arrays (cut into batches of ``size``); a dataset of ours (likewise); a
            ``tf.data.Dataset`` of batches or any re-iterable of ``(x, y)`` batches: each batch as
            given, whatever ``size`` says.
        size: examples in a batch.
        model: tells, of a tuple of tuples, a pair of several inputs and outputs from a tuple of
            batches; without it, it is taken for the pair where it can be one. The inputs of a pair
            have to be its.

    Returns:
        Batches whose arrays are numpy, floats as float32.

    Raises:
        DataError: a generator (it can be read only once), a pair whose inputs are not the model's,
            or something else; while iterating: no
            batch at all, or a batch that is none.
    """
    if is_dataset(data):
        return data.batches(size)
    if _is_pair(data, len(inputs_of(model))):
        found = Indexed(Reader("data").rows(data))
        check_inputs(found, model)
        return found.batches(size)
    return _Given(_maker(data, "data"), Reader("data"))


def as_dataset(data: Any, model: Any = None, *, name: str = "data") -> Dataset:
    """A dataset of what a user gives; kinds and errors as :func:`as_batches` has them.

    With a model, dicts are brought into the order of its inputs, and a ``tf.data.Dataset`` of
    single examples is known as such.
    """
    if is_dataset(data):
        return data
    reader = Reader(name, inputs_of(model), outputs_of(model))
    if _is_pair(data, len(reader.inputs)):
        return Indexed(reader.rows(data))
    return gathered(_maker(data, name, reader), reader)


def as_inputs(inputs: Any, model: Any, size: int = 256) -> Iterable[Batch]:
    """Re-iterable batches ``(x, …)`` of inputs without labels.

    Args:
        inputs: an array; a tuple of arrays, one for each input of ``model``, or a dict of them by
            name; a ``tf.data.Dataset`` or any re-iterable of batches ``x`` or ``(x, …)``; or data
            with labels, as :func:`as_batches` takes it.
        model: whose inputs they are.
        size: examples in a batch, where the batches are made here.

    Raises:
        DataError: as :func:`as_batches`, or what does not fit the model.
    """
    count = len(inputs_of(model))
    if is_dataset(inputs):
        return inputs.batches(size)
    if isinstance(inputs, Mapping) or _is_array(inputs) or _are_inputs(inputs, count):
        inputs = (inputs,)
    elif isinstance(inputs, list) and inputs and all(map(_is_array, inputs)):
        inputs = [(batch,) for batch in inputs]
    if isinstance(inputs, tuple) and _is_pair(inputs, count):
        found = as_dataset(inputs, model, name="inputs")
        check_fits(found, model, role="inputs")
        return found.batches(size)
    reader = Reader("inputs", inputs_of(model))
    make = _maker(inputs, "inputs", reader)
    return _Given(lambda: ((one,) if _are_inputs(one, count) else one for one in make()), reader)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _are_inputs(value: Any, count: int) -> bool:
    """Whether a tuple is the inputs themselves, one array each."""
    return isinstance(value, tuple) and len(value) == count > 1 and all(map(_is_array, value))


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


def _is_pair(data: Any, inputs: int) -> bool:
    """Whether a tuple is ``(x,)``, ``(x, y)`` or ``(x, y, weights)``, and not of batches.

    ``inputs`` is the model's number of inputs, 0 where it is unknown. A pair begins with its
    inputs: an array, or one array for each of several; a batch in its place begins with those.
    """
    if not (isinstance(data, tuple) and 1 <= len(data) <= 3):
        return False
    first = data[0]
    if not isinstance(first, tuple) or not first:
        return True
    if any(_holds_arrays(part) for part in first):
        return False
    if inputs == 0 or len(first) == 1 or not all(hasattr(part, "shape") for part in first):
        return True
    return len(first) == inputs


def _holds_arrays(part: Any) -> bool:
    """Whether it is the several inputs of a batch."""
    if isinstance(part, dict):
        return True
    return isinstance(part, tuple | list) and any(hasattr(item, "shape") for item in part)


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
