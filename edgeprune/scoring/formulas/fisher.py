"""``fisher``: ½ w_i² · E[(∂E_b/∂w_i)²], the mean over examples b of the loss of one.

The second-order estimate of what it costs to remove w_i, with the diagonal of the empirical Fisher
matrix for the Hessian: Theis et al., "Faster gaze prediction with dense networks and Fisher
pruning", 2018, equation 5; LeCun et al., "Optimal Brain Damage", 1990.
"""

from __future__ import annotations

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula, removals
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the loss."""
    return removals(statistics.values, statistics.square)


FORMULA = Formula("fisher", unit="example", needs=frozenset({"square"}), score=score)
