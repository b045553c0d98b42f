"""``lamp``: w_i² / Σ w_j² over the weights j of its kernel that are no smaller.

Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021, equation 3. Needs
no data. Of equal weights the first in order counts as the smaller.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element; the largest of a kernel scores 1."""
    return {name: layer_adaptive(value) for name, value in statistics.values.items()}


def layer_adaptive(value: FloatArray) -> FloatArray:
    """Of each element its square over that of all that are no smaller; float32, 0 of zeros."""
    squares = np.square(value.reshape(-1), dtype=np.float64)
    order = np.argsort(squares, kind="stable")
    ranked = squares[order]
    rest = np.cumsum(ranked[::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = np.divide(ranked, rest, out=np.zeros_like(ranked), where=rest > 0)
    return scores.reshape(value.shape).astype(np.float32)


FORMULA = Formula("lamp", unit="none", needs=frozenset(), score=score, labels=False)
