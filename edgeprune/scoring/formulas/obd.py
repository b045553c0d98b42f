"""``obd``: ½ w_i² · h_ii, h the Hessian of the loss in its Gauss-Newton form.

LeCun et al., "Optimal Brain Damage", NIPS 1989, equation 5. The diagonal is estimated, see
:class:`edgeprune.scoring.squares.Curvature`; it is never negative.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the loss."""
    values = statistics.values
    return {
        name: (0.5 * np.square(values[name], dtype=np.float64) * value).astype(np.float32)
        for name, value in statistics.curvature.items()
    }


FORMULA = Formula("obd", unit="example", needs=frozenset({"curvature"}), score=score)
