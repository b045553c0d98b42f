"""Where a figure lies, and not only what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
Numbers = Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """Where a figure lies: ``low`` to ``high``, and the estimate between them."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """The longer way from the estimate to an end, as a share of the estimate."""
        return max(self.high - self.value, self.value - self.low) / self.value

    def facts(self) -> dict[str, float]:
        """What ``--json`` prints."""
        return {"value": self.value, "low": self.low, "high": self.high}


def median_interval(values: Numbers, confidence: float = CONFIDENCE) -> Interval | None:
    """An interval of the median that assumes no distribution, by order statistics.

    The j-th smallest and the j-th largest of n independent values hold the median between them with
    probability 1 − 2·P(B < j), B binomial of n and 1/2 (David and Nagaraja, *Order Statistics*, 3rd
    ed., section 7.1); j is the largest that keeps ``confidence``.

    Returns:
        ``None`` for fewer values than any j takes (six at 95 %).
    """
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    below, j = 0.0, 0
    while j < n // 2:
        below += math.exp(math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)
                          - n * math.log(2))  # fmt: skip
        if 2 * below > 1 - confidence:
            break
        j += 1
    if j == 0:
        return None
    return Interval(float(np.median(ordered)), float(ordered[j - 1]), float(ordered[n - j]))
