"""What a formula is to the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgeprune.scores import FloatArray
from edgeprune.scoring.statistics import Floats, Statistics

Unit = Literal["micro-batch", "example", "none"]


@dataclass(frozen=True)
class Formula:
    """One way to score connections or channels.

    Attributes:
        name: what recipes and scores call it.
        unit: over what an absolute value or a square is taken before it is averaged; ``"none"``
            for a formula without data.
        needs: fields of :class:`~edgeprune.scoring.statistics.Statistics` that it reads and that
            take data.
        score: from statistics to one float32 score per element, by kernel in the weight's shape;
            for a formula of channels one per channel, by group.
        of: what it scores.
        labels: whether it needs a loss.
    """

    name: str
    unit: Unit
    needs: frozenset[str]
    score: Callable[[Statistics], dict[str, FloatArray]]
    of: Literal["weights", "channels"] = "weights"
    labels: bool = True

    @property
    def needs_data(self) -> bool:
        """Whether a pass over the calibration data is needed."""
        return bool(self.needs)


def removals(
    values: Mapping[str, FloatArray], diagonal: Mapping[str, Floats]
) -> dict[str, FloatArray]:
    """½ w² h, by kernel: the second-order estimate of what it costs to remove each weight, h the
    diagonal of the loss' Hessian (LeCun et al., "Optimal Brain Damage", NIPS 1989, equation 5)."""
    return {
        name: (0.5 * np.square(values[name], dtype=np.float64) * value).astype(np.float32)
        for name, value in diagonal.items()
    }
