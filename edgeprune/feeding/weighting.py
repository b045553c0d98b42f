"""Class weights, carried as sample weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError
from edgeprune.feeding.indexed import Indexed, class_numbers
from edgeprune.feeding.streams import Stream
from edgeprune.files import nearest

ClassWeights = Mapping[str, float] | Mapping[int, float] | Literal["balanced"]


def weighted(
    dataset: Dataset, class_weights: ClassWeights | npt.NDArray[np.float32] | None
) -> Dataset:
    """The same examples, whose batches carry sample weights by class.

    Args:
        dataset: with one array of labels, whole numbers or one-hot.
        class_weights: by class name or number, 1 where unsaid; ``"balanced"``:
            ``examples / (classes · examples of the class)``; float32 by number, as
            :func:`class_weights_of` gives it; ``None`` changes nothing.

    Raises:
        DataError: an unknown class (with the nearest), no labels, several outputs, or a dataset
            of another library, which has to carry its own weights.
    """
    if class_weights is None:
        return dataset
    if not isinstance(dataset, Indexed | Stream):
        raise DataError(f"{dataset.name}: give its batches weights: (x, y, sample_weight)")
    if not isinstance(class_weights, np.ndarray):
        class_weights = class_weights_of(dataset, class_weights)
    return replace(dataset, class_weights=class_weights)


def class_weights_of(
    dataset: Dataset, class_weights: ClassWeights, classes: int = 0
) -> npt.NDArray[np.float32]:
    """Weights by class number, float32, for ``classes`` classes at least (a set may lack some).

    Other arguments and errors as :func:`weighted` has them.
    """
    counts = _counts(dataset, classes)
    classes = len(counts)
    if isinstance(class_weights, str):
        present = np.count_nonzero(counts)
        return np.where(counts, counts.sum() / (present * np.maximum(counts, 1)), 1).astype(
            np.float32
        )
    found = np.ones(classes, np.float32)
    for key, weight in class_weights.items():
        found[_number(dataset, key, classes)] = weight
    return found


def _number(dataset: Dataset, key: Any, classes: int) -> int:
    names = dataset.classes or ()
    if str(key) in names:
        return names.index(str(key))
    if str(key).isdecimal() and int(key) < classes:
        return int(key)
    near = nearest(str(key), names)
    hint = f"did you mean '{near}'?" if near else f"classes are 0 … {classes - 1}"
    raise DataError(f"{dataset.name}: class weight for an unknown class '{key}'; {hint}")


def _counts(dataset: Dataset, classes: int) -> npt.NDArray[np.int64]:
    counts = np.zeros(max(len(dataset.classes or ()), classes), np.int64)
    for y in _labels(dataset):
        if isinstance(y, tuple):
            raise DataError(f"{dataset.name}: class weights need one output; give sample weights")
        if y.min() < 0 or (y.dtype.kind == "f" and (y != np.floor(y)).any()):
            raise DataError(f"{dataset.name}: class weights need classes as labels, not numbers")
        width = y.shape[-1] if y.ndim > 1 and y.shape[-1] > 1 else 0
        seen = np.bincount(class_numbers(y), minlength=max(width, len(counts)))
        seen[: len(counts)] += counts
        counts = seen
    if not counts.any():
        raise DataError(f"{dataset.name}: holds no labels to weight classes by; give y")
    return counts


def _labels(dataset: Dataset) -> Any:
    if isinstance(dataset, Indexed):
        ys = dataset.targets()
        return [ys[0] if len(ys) == 1 else ys] if ys else []
    return (batch[1] for batch in dataset.batches(1024) if len(batch) > 1)
