"""Orders and splits that depend on a seed alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError

Index = npt.NDArray[np.int64]


def order(examples: int, seed: int) -> Index:
    """A permutation of ``0 … examples - 1``, int64; the same in every process."""
    return np.random.default_rng(seed).permutation(examples).astype(np.int64)


def split(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """Part a dataset in two that have no example in common, each in the original's order.

    Args:
        dataset: at least two examples.
        share: of the second part, above 0 and below 1; both parts get at least one example.
        seed: the same seed gives the same split.

    Returns:
        The rest and the part.

    Raises:
        DataError: fewer than two examples.
        ValueError: ``share`` is out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1, not {share}")
    return split_count(dataset, round(dataset.examples * share), seed)


def split_count(dataset: Dataset, count: int, seed: int) -> tuple[Dataset, Dataset]:
    """As :func:`split`, with the number of examples of the second part."""
    examples = dataset.examples
    if examples < 2:
        raise DataError(
            f"{dataset.name}: {examples} example{'s' * (examples != 1)} cannot be split in two; "
            "give more"
        )
    count = min(max(count, 1), examples - 1)
    mixed = order(examples, seed)
    return dataset.subset(np.sort(mixed[count:])), dataset.subset(np.sort(mixed[:count]))
