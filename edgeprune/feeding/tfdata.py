"""``tf.data.Dataset``: in memory, or saved in a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edgeprune.artifacts import Port
from edgeprune.errors import DataError

BATCH = 256
"""Examples that are read at once from a dataset that is not batched."""


def is_tf_data(value: Any) -> bool:
    """Whether ``value`` is a ``tf.data.Dataset``; loads no TensorFlow to find out."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, tensorflow.data.Dataset)


def is_saved(folder: Path) -> bool:
    """Whether a folder holds what ``tf.data.Dataset.save`` writes."""
    return (folder / "dataset_spec.pb").is_file()


def load_saved(folder: Path, name: str) -> Any:
    """The ``tf.data.Dataset`` saved in ``folder``.

    Raises:
        DataError: damaged.
    """
    import tensorflow as tf

    try:
        return tf.data.Dataset.load(str(folder))
    except Exception as error:
        text = " ".join(str(error).split())[:120]
        raise DataError(f"{name}: no saved tf.data.Dataset, or damaged ({text})") from error


def batched(dataset: Any, name: str, inputs: tuple[Port, ...]) -> Callable[[], Iterable[Any]]:
    """What gives the batches of a ``tf.data.Dataset`` as numpy, from the start at each call.

    A dataset of single examples, told from one of batches by the rank of the model's input, is
    batched here.

    Raises:
        DataError: it repeats for ever, or holds ragged or sparse tensors.
    """
    import tensorflow as tf

    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise DataError(f"{name}: repeats for ever; remove .repeat() from it")
    specs = tf.nest.flatten(dataset.element_spec)
    for spec in specs:
        if not isinstance(spec, tf.TensorSpec):
            raise DataError(f"{name}: holds {type(spec).__name__}; make its tensors dense")
    rank = specs[0].shape.rank
    if inputs and rank is not None and rank == len(inputs[0].shape) - 1:
        dataset = dataset.batch(BATCH)
    return lambda: dataset.as_numpy_iterator()
