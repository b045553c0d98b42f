"""``activation``: the mean of |x| over all that is read of a channel.

Molchanov et al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR
2017, section 2.2 ("mean activation"). Needs no labels.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, in units of the activation."""
    return {name: value.astype(np.float32) for name, value in statistics.activation.items()}


FORMULA = Formula(
    "activation",
    unit="example",
    needs=frozenset({"activation"}),
    score=score,
    of="channels",
    labels=False,
)
