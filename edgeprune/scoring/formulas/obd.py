"""``obd``: ½ w_i² · h_ii, h the Hessian of the loss in its Gauss-Newton form.

LeCun et al., "Optimal Brain Damage", NIPS 1989, equation 5. The diagonal is estimated, see
:class:`edgeprune.scoring.squares.Curvature`; it is never negative.
"""

from __future__ import annotations

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula, removals
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the loss."""
    return removals(statistics.values, statistics.curvature)


FORMULA = Formula("obd", unit="example", needs=frozenset({"curvature"}), score=score)
