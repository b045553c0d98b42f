"""``bn-scale``: |γ| of the batch norms that a channel passes, summed.

Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017, section
3. Needs no data. Groups without such a scale are not scored.
"""

from __future__ import annotations

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.formulas.formula import Formula
from edgeprune.scoring.statistics import Statistics


def score(statistics: Statistics) -> dict[str, FloatArray]:
    """One float32 score per channel, by group, in units of the scale."""
    assert statistics.graph is not None
    found = {}
    for group in statistics.graph.free:
        members = [one for one in group.members if one.weight in statistics.scales]
        if not members:
            continue
        total = np.zeros(group.size + 1)
        for member in members:
            place = np.where(member.channel < 0, group.size, member.channel)
            total += np.bincount(place, np.abs(statistics.scales[member.weight]), group.size + 1)
        found[group.name] = total[:-1].astype(np.float32)
    return found


FORMULA = Formula(
    "bn-scale", unit="none", needs=frozenset(), score=score, of="channels", labels=False
)
