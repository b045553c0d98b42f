"""``gate-fisher``: ½ E[(Σ x · ∂E_b/∂x)²], for each channel the sum over all positions.

The second-order estimate of what it costs to silence the channel: Theis et al., "Faster gaze
prediction with dense networks and Fisher pruning", 2018, equation 6. Gates as for ``gate``.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, in units of the loss."""
    return {
        name: (0.5 * value).astype(np.float32) for name, value in statistics.gate_square.items()
    }


FORMULA = Formula(
    "gate-fisher",
    unit="example",
    needs=frozenset({"gate_square"}),
    score=score,
    of="channels",
)
