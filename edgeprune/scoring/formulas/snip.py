"""``snip``: |w_i · ∂E/∂w_i| / Σ_j |w_j · ∂E/∂w_j|, the sum over all connections of the network.

Lee et al., "SNIP: Single-shot Network Pruning based on Connection Sensitivity", ICLR 2019, equation
6. The absolute value is taken per micro-batch and then averaged, weighted by examples.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, summing to 1 over all weights."""
    products = {
        name: np.abs(statistics.values[name]) * value for name, value in statistics.gradient.items()
    }
    total = sum(float(value.sum()) for value in products.values()) or 1.0
    return {name: (value / total).astype(np.float32) for name, value in products.items()}


FORMULA = Formula("snip", unit="micro-batch", needs=frozenset({"gradient"}), score=score)
