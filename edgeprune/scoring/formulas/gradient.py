"""``gradient``: S_i = |∂E/∂w_i| / Σ_j |∂E/∂w_j|, the sum over all connections of the network.

The source method's sensitivity. E is the task loss; |∂E/∂w_i| is taken per micro-batch and then
averaged, weighted by examples: at a trained optimum the mean gradient vanishes, the mean of its
absolute value does not. All scores sum to 1.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, summing to 1 over all weights."""
    total = sum(float(value.sum()) for value in statistics.gradient.values())
    return {name: (value / total).astype(np.float32) for name, value in statistics.gradient.items()}


FORMULA = Formula("gradient", unit="micro-batch", needs=frozenset({"gradient"}), score=score)
