"""``magnitude``: |w_i|.

LeCun et al., "Optimal Brain Damage", 1990, as the baseline; Han et al., "Learning both Weights
and Connections", NeurIPS 2015, as the method. Needs no data.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the weight."""
    return {name: np.abs(value).astype(np.float32) for name, value in statistics.values.items()}


FORMULA = Formula("magnitude", unit="none", needs=frozenset(), score=score, labels=False)
