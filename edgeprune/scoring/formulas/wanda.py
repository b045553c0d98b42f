"""``wanda``: |w_ij| · ‖x_i‖₂, x_i what the weight reads, over all examples and positions.

Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024, section
3. Needs no labels. A convolution reads the same channel at every tap, so its taps share one norm.
Where the input is not seen (embeddings, recurrent kernels' own state, the second kernel of a
separable convolution) the norm is taken for 1 at every position: |w| · √n for n examples.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element, in units of the weight times its input."""
    unseen = np.sqrt(max(statistics.examples, 1))
    return {
        name: (np.abs(value) * statistics.norms.get(name, unseen)).astype(np.float32)
        for name, value in statistics.values.items()
    }


FORMULA = Formula("wanda", unit="example", needs=frozenset({"norms"}), score=score, labels=False)
