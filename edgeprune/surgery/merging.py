"""Which channels are one: connected components, vectorised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def components(count: int, left: Ints, right: Ints) -> Ints:
    """For each of ``count`` numbers, the smallest number it is tied to, over any chain of ties.

    Args:
        count: how many there are.
        left: one end of each tie.
        right: the other end.
    """
    root = np.arange(count, dtype=np.int64)
    while True:
        one, other = root[left], root[right]
        apart = one != other
        if not apart.any():
            return root
        one, other = one[apart], other[apart]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while True:
            shorter = root[root]
            if np.array_equal(shorter, root):
                break
            root = shorter
