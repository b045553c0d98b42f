"""How much worse one model is than another on the same examples, and how surely.

Both answer the same examples, so what is averaged is the difference at each of them: its variance
is far smaller than that of either metric, as most examples go the same way in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RESAMPLES = 100
"""Of a bootstrap."""


@dataclass(frozen=True)
class Drop:
    """A drop of a metric, in its own unit; negative where the second model is better.

    Attributes:
        value: over the examples.
        error: its standard error.
        centre: the middle of its interval; ``value``, but for accuracies (see :func:`paired`).
        examples: how many.
    """

    value: float
    error: float
    centre: float
    examples: int

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided, by the normal distribution."""
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * self.error
        return self.centre - reach, self.centre + reach

    def most(self, confidence: float = 0.95) -> float:
        """What the drop on another set of as many examples stays below with ``confidence``: a
        prediction bound, as both that set and this one are a draw (hence √2)."""
        return self.centre + NormalDist().inv_cdf(confidence) * 2**0.5 * self.error


def paired(difference: Floats, *, counted: bool = False) -> Drop:
    """From the drop at each example: the mean and its standard error.

    Args:
        difference: ``(examples,)``, before - after of what is better the more there is of it.
        counted: each example is right or wrong (an accuracy), so every difference is -1, 0 or 1.
            The differences alone do not tell: a squared error that did not change is all zeros
            too. Then half an example is added that gained and half a one that lost, each twice as
            an example of no change, so that few or no losses are not taken for certainty: Agresti
            and Min, "Simple improved confidence intervals for comparing matched proportions"
            (Statistics in Medicine, 2005).
    """
    count = difference.size
    value = float(difference.mean())
    if counted:
        lost, won = (difference > 0).sum() + 0.5, (difference < 0).sum() + 0.5
        centre = (lost - won) / (count + 2)
        spread = (lost + won) / (count + 2) - centre**2
        return Drop(value, float((spread / (count + 2)) ** 0.5), float(centre), count)
    error = float(difference.std(ddof=1) / count**0.5) if count > 1 else float("inf")
    return Drop(value, error, value, count)


def resampled(drop_on: Callable[[Any], float], examples: int, seed: int) -> Drop:
    """Of a metric that is no mean over examples: its error is the spread over bootstrap samples,
    which hold the same examples for both models (Efron, "Bootstrap Methods", 1979).

    Args:
        drop_on: the drop on the examples of these numbers; a number may stand there twice.
        examples: how many there are.
        seed: of the samples.
    """
    random = np.random.default_rng(seed)
    value = drop_on(np.arange(examples))
    drawn = [drop_on(random.integers(0, examples, examples)) for _ in range(RESAMPLES)]
    return Drop(value, float(np.std(drawn, ddof=1)), value, examples)
