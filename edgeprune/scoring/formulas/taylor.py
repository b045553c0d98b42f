"""``taylor``: |w_i · ∂E/∂w_i|, the first-order estimate of how E changes when w_i becomes zero.

Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019 (first order,
per weight). The absolute value is taken per micro-batch and then averaged, weighted by examples.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the loss."""
    return {
        name: (np.abs(statistics.values[name]) * value).astype(np.float32)
        for name, value in statistics.gradient.items()
    }


FORMULA = Formula("taylor", unit="micro-batch", needs=frozenset({"gradient"}), score=score)
