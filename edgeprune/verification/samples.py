"""The inputs that a file and its model both get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.errors import DataError
from edgeprune.exporting.signatures import Signature

Array = npt.NDArray[Any]
_CHUNK = 256


def collected(inputs: Any, names: Sequence[str]) -> list[Array]:
    """One array per input of the model, all samples along axis 0.

    Args:
        inputs: an array; a tuple of arrays (or a mapping by name) for a model with several inputs;
            or an iterable of batches ``x`` or ``(x, …)``, with ``x`` likewise.
        names: of the model's inputs, in its order.

    Raises:
        DataError: another number of arrays than inputs, unequal numbers of samples, or none.
    """
    count = len(names)
    if _is_array(inputs) or isinstance(inputs, Mapping):
        arrays = _split(inputs, names)
    elif isinstance(inputs, tuple) and all(map(_is_array, inputs)) and len(inputs) == count:
        arrays = [np.asarray(part) for part in inputs]
    elif isinstance(inputs, Iterable):
        batches = [_split(_examples(batch, count), names) for batch in inputs]
        if not batches:
            raise DataError("no inputs to compare on; give at least one batch")
        try:
            arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        except ValueError as error:
            shapes = ", ".join(str(np.shape(parts[0])) for parts in batches)
            raise DataError(
                f"batches of different shapes, {shapes}; give the inputs alone, without labels"
            ) from error
    else:
        raise DataError(f"inputs are a {type(inputs).__name__}; give arrays or batches of them")
    samples = {len(array) for array in arrays}
    if len(samples) != 1:
        raise DataError(f"inputs with {sorted(samples)} samples; give as many of each")
    return arrays


def fitting(inputs: Any, wanted: Signature) -> list[Array]:
    """:func:`collected`, and of the shapes that a model takes.

    Raises:
        DataError: an input of another shape, too.
    """
    arrays = collected(inputs, wanted.inputs)
    for name, array, spec in zip(wanted.inputs, arrays, wanted.specs, strict=True):
        if tuple(array.shape[1:]) != tuple(spec.shape[1:]):
            raise DataError(
                f"input {name!r} of the model takes examples of shape {tuple(spec.shape[1:])}; "
                f"those given have {tuple(array.shape[1:])}"
            )
    return arrays


def answers(model: Any, arrays: Sequence[Array]) -> list[Array]:
    """What a model with flat inputs and outputs answers in inference mode, in float32 where it
    is of a floating type; one array per output."""
    parts = []
    for start in range(0, len(arrays[0]), _CHUNK):
        tensors = [keras.ops.convert_to_tensor(array[start : start + _CHUNK]) for array in arrays]
        flat = keras.tree.flatten(model(tensors, training=False))
        parts.append([keras.ops.convert_to_numpy(answer) for answer in flat])
    whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return [answer if answer.dtype.kind in "biu" else answer.astype(np.float32) for answer in whole]


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__array__")


def _examples(batch: Any, count: int) -> Any:
    """The ``x`` of a batch: Keras' convention is ``(x, y, …)``, and ``x`` may be a tuple itself."""
    if not isinstance(batch, tuple | list):
        return batch
    if count > 1 and len(batch) == count and all(map(_is_array, batch)):
        return batch
    return batch[0]


def _split(value: Any, names: Sequence[str]) -> list[Array]:
    if isinstance(value, Mapping):
        missing = [name for name in names if name not in value]
        if missing:
            raise DataError(f"no array for input {missing[0]!r} (given: {', '.join(value)})")
        return [np.asarray(value[name]) for name in names]
    parts = list(value) if isinstance(value, tuple | list) else [value]
    if len(parts) != len(names):
        raise DataError(
            f"the model takes {len(names)} inputs ({', '.join(names)}), "
            f"{len(parts)} arrays were given"
        )
    return [np.asarray(part) for part in parts]
