"""What a device asks of the widths that a plan leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError

SLACK = 1e-9
"""Of a group's size: 0.3 of ten channels is three, however the product rounds."""


@dataclass(frozen=True)
class Constraints:
    """Which widths a group of channels may be cut to; one that is not cut keeps its own.

    Attributes:
        multiple: what is kept of a group that is cut is a multiple of this. A group that is no
            wider keeps all; one whose width is no multiple may go to the next lower one.
        minimum: fewest channels that a cut leaves.
        most: share of a group's channels, 0 < most ≤ 1, that may leave.

    Raises:
        PlanError: a number that is no whole one from 1 up, or a share out of range.
    """

    multiple: int = 1
    minimum: int = 1
    most: float = 1.0

    def __post_init__(self) -> None:
        for name in ("multiple", "minimum"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
                raise PlanError(f"{name} = {value}: a whole number from 1 up is needed")
        # Written so that NaN fails too.
        most = self.most
        if isinstance(most, bool) or not (isinstance(most, Real) and 0 < most <= 1):
            raise PlanError(f"most = {self.most}: a share above 0, at most 1, is needed")

    def fit(self, size: int, kept: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the widths ``kept`` a group of ``size`` channels may have."""
        least = max(self.minimum, size - math.floor(self.most * size + SLACK * size), 1)
        fits: npt.NDArray[np.bool_] = (kept % self.multiple == 0) & (kept >= least)
        return fits | (kept == size)

    def check(self, channels: float | None, *, budgets: bool = False) -> None:
        """Raises :class:`~edgeprune.errors.PlanError` where they go with no such share.

        Args:
            channels: the share that is asked for.
            budgets: whether budgets are, so that channels are cut too.
        """
        if channels is None and not budgets and self != Constraints():
            raise PlanError(
                f"{self} without channels: it says how channels are cut; ask for channels too"
            )
        if channels is not None and self.most < channels:
            raise PlanError(
                f"channels = {channels} with most = {self.most}: of no group may more than "
                f"{self.most} leave, so {channels} of all cannot; raise most or ask for less"
            )

    def __str__(self) -> str:
        """As it is written in a recipe, what says nothing left out."""
        given = [
            f"{name} = {value}"
            for name, value in self.facts().items()
            if value != getattr(Constraints, name)
        ]
        return ", ".join(given) or "no constraint"

    def facts(self) -> dict[str, int | float]:
        """As JSON values."""
        return {
            "multiple": int(self.multiple),
            "minimum": int(self.minimum),
            "most": float(self.most),
        }
