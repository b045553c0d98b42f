"""``random``: a number from 0 to 1, drawn for each connection.

The baseline that every claim is held against. What is drawn depends on the seed and the name of the
kernel alone. Needs no data.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics
from edgeprune.seeds import derived_seed


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element."""
    return {
        name: np.random.default_rng(derived_seed(statistics.seed, "score", name))
        .random(value.shape)
        .astype(np.float32)
        for name, value in statistics.values.items()
    }


FORMULA = Formula("random", unit="none", needs=frozenset(), score=score, labels=False)
