"""``gate``: E[|Σ x · ∂E_b/∂x|], for each channel the sum over all positions that it is read at.

The first-order estimate of how the loss of example b changes when the channel is silenced:
Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, section 3.2. The
gates stand where the channel is read, see :mod:`edgeprune.scoring.listening`.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, in units of the loss."""
    return {name: value.astype(np.float32) for name, value in statistics.gate.items()}


FORMULA = Formula("gate", unit="example", needs=frozenset({"gate"}), score=score, of="channels")
