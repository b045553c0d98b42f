"""``wanda-lamp``: v_i² / Σ v_j² over the elements j of its kernel that are no smaller, with
v = |w| · (‖x‖₂ / √n)^½, x what the weight reads, over all positions and n examples.

``lamp`` (Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
equation 3) in place of whose magnitudes stands what ``wanda`` multiplies, with the activation's
exponent of ½ that RIA has (Zhang et al., "Plug-and-Play: An Efficient Post-training Pruning Method
for Large Language Models", ICLR 2024, section 3). What reads an input that is always zero goes
first; and layers can be compared, whatever the size of their weights. Needs no labels. Where the
input is not seen (see ``wanda``) it is taken for 1 at every position.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.formulas.lamp import layer_adaptive
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per element; the largest of a kernel scores 1."""
    root = np.sqrt(max(statistics.examples, 1))
    return {
        name: layer_adaptive(np.abs(value) * np.sqrt(statistics.norms.get(name, root) / root))
        for name, value in statistics.values.items()
    }


FORMULA = Formula(
    "wanda-lamp", unit="example", needs=frozenset({"norms"}), score=score, labels=False
)
