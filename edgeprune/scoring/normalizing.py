"""Scores of different layers on one scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.scores import FloatArray

SCALES: Mapping[str, Callable[[FloatArray], float]] = {
    "none": lambda value: 1.0,
    "sum": lambda value: float(np.sum(value, dtype=np.float64)),
    "mean": lambda value: float(np.mean(value, dtype=np.float64)),
    "max": lambda value: float(np.max(value)),
    "l2": lambda value: float(np.sqrt(np.sum(np.square(value, dtype=np.float64)))),
}
"""By what each layer's scores are divided."""


def normalized(scores: Mapping[str, FloatArray], by: str) -> dict[str, FloatArray]:
    """``scores`` divided, layer by layer (group by group), by the named scale of them.

    ``"l2"`` is what Molchanov et al. (ICLR 2017, section 2.3) use. Where the scale is zero, so are
    all scores, and they stay.

    Raises:
        InputError: no such scale.
    """
    if by not in SCALES:
        near = nearest(str(by), SCALES)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(SCALES)}"
        raise InputError(f"no normalization {by!r}; {hint}")
    return {
        name: (value / (SCALES[by](value) or 1.0)).astype(np.float32) if value.size else value
        for name, value in scores.items()
    }
