"""``molchanov``: E[(Σ w · ∂E_b/∂w)²], the sum over all weights that make the channel.

Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equations 8 and 9:
the squared first-order change of the loss when the weights of a channel become zero together. What
makes the channel is its column in every kernel of the coupled group, its biases and the gammas and
betas of its normalisations. Signs are kept within the sum, which is why it cannot be had from
scores of connections.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, in units of the loss squared."""
    return {name: value.astype(np.float32) for name, value in statistics.group_square.items()}


FORMULA = Formula(
    "molchanov",
    unit="micro-batch",
    needs=frozenset({"group_square"}),
    score=score,
    of="channels",
)
