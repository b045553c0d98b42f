"""``apoz``: the share of what is read of a channel that is not zero.

Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach", 2016: one minus their average
percentage of zeros, so that the channels that are zero most often go first. Needs no labels.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, from 0 to 1."""
    return {name: value.astype(np.float32) for name, value in statistics.active.items()}


FORMULA = Formula(
    "apoz",
    unit="example",
    needs=frozenset({"active"}),
    score=score,
    of="channels",
    labels=False,
)
