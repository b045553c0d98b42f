"""What the rest knows of data: examples by index, batches. :mod:`edgeprune.feeding` opens it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Batch = tuple[Any, ...]
"""``(x, y)`` or ``(x, y, sample_weight)``; ``x`` and ``y`` are float32/int arrays with the
examples along axis 0, or tuples of such arrays in the order of the model's inputs/outputs. For
data without labels ``(x,)``."""


class Dataset(Protocol):
    """Data of one role; its attributes are read, never set."""

    @property
    def name(self) -> str:
        """What a message calls it (the file, or the role)."""
        ...

    @property
    def examples(self) -> int:
        """How many."""
        ...

    @property
    def digest(self) -> str:
        """sha256 (hex) of content and order."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names, where they are known."""
        ...

    def batches(self, size: int, *, shuffle: int | None = None) -> Iterable[Batch]:
        """Batches of ``size`` examples (the last may be shorter), re-iterable.

        ``shuffle`` is a seed: the same seed gives the same order in any process.
        """
        ...

    def subset(self, index: npt.NDArray[np.int64]) -> Dataset:
        """The examples at ``index``, in that order."""
        ...
