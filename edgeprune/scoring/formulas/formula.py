"""What a formula is to the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeprune.scores import FloatArray
from edgeprune.scoring.statistics import Statistics


@dataclass(frozen=True)
class Formula:
    """One way to score connections.

    Attributes:
        name: what recipes and scores call it.
        needs_data: whether a pass over the calibration data is needed.
        unit: over what an absolute value or a square is taken before it is averaged:
            ``"micro-batch"``, or ``"none"`` for a formula without data.
        score: from statistics to one float32 score per element, in the weight's shape.
    """

    name: str
    needs_data: bool
    unit: str
    score: Callable[[Statistics], dict[str, FloatArray]]
