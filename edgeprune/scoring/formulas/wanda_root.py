"""``wanda-root``: |w_ij| · (‖x_i‖₂ / √n)^½, x_i what the weight reads, over all positions and n
examples.

The exponent of ½ is that of RIA (Zhang et al., "Plug-and-Play: An Efficient Post-training Pruning
Method for Large Language Models", ICLR 2024, section 3). Its other factor, the weight's share of
its row and column, is left out: with it whole layers cannot be compared. What reads an input that
is always zero goes, as with ``wanda``, and one ten times as large counts three times as much. Needs
no labels. Where the input is not seen (see ``wanda``) it is taken for 1 at every position.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element."""
    root = np.sqrt(max(statistics.examples, 1))
    return {
        name: (np.abs(value) * np.sqrt(statistics.norms.get(name, root) / root)).astype(np.float32)
        for name, value in statistics.values.items()
    }


FORMULA = Formula(
    "wanda-root", unit="example", needs=frozenset({"norms"}), score=score, labels=False
)
