"""What samples say: whether they stand still, where they step, how two compare. Pure, seeded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgeprune.intervals import CONFIDENCE, Interval, Numbers

STEADY = 0.02
"""Coefficient of variation below which a warm-up has come to rest."""
_WINDOW = 5
_RESAMPLES = 4000
_PERMUTATIONS = 999
_SEED = 20

Verdict = Literal["faster", "slower", "cannot tell"]


@dataclass(frozen=True)
class Step:
    """A change of level: entries before ``at`` have the median ``before``, the rest ``after``."""

    at: int
    before: float
    after: float

    def facts(self) -> dict[str, float]:
        """What ``--json`` prints."""
        return {"at": self.at, "before": self.before, "after": self.after}


def steady(values: Numbers) -> bool:
    """Whether the last five values stand still: their coefficient of variation is below 2 %.

    The rule of Georges, Buytaert and Eeckhout, *Statistically Rigorous Java Performance
    Evaluation*, OOPSLA 2007, section 3.3."""
    last = np.asarray(values[-_WINDOW:], np.float64)
    return len(last) == _WINDOW and float(last.std(ddof=1)) <= STEADY * float(last.mean())


def step(values: Numbers, *, alpha: float = 0.01, least: float = 0.02) -> Step | None:
    """Where the values change their level for good, by Pettitt's rank statistic (*A non-parametric
    approach to the change-point problem*, Applied Statistics 28, 1979), its p-value from seeded
    permutations rather than the approximation for long series.

    Args:
        values: in their order in time.
        alpha: how often values without a step may be said to have one.
        least: change of the median, as a share, below which a step is not worth a word.

    Returns:
        The step, or ``None``.
    """
    series = np.asarray(values, np.float64)
    n = len(series)
    if n < 8:
        return None
    order, ranks = np.argsort(series, kind="stable"), np.empty(n)
    ranks[order] = np.arange(1, n + 1)
    _, inverse = np.unique(series, return_inverse=True)
    ranks = (np.bincount(inverse, ranks) / np.bincount(inverse))[inverse]  # ties share their rank
    found = _pettitt(ranks)
    at = int(np.argmax(found[:-1])) + 1
    random = np.random.default_rng(_SEED)
    shuffled = random.permuted(np.tile(ranks, (_PERMUTATIONS, 1)), axis=1)
    as_much = int((_pettitt(shuffled).max(axis=-1) >= found.max() - 1e-9).sum())
    before, after = float(np.median(series[:at])), float(np.median(series[at:]))
    if (as_much + 1) / (_PERMUTATIONS + 1) > alpha or abs(after - before) < least * before:
        return None
    return Step(at, before, after)


def _pettitt(ranks: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """|U| of a split behind each entry; along the last axis."""
    n = ranks.shape[-1]
    split = np.arange(1, n + 1)
    return np.abs(2 * np.cumsum(ranks, axis=-1) - split * (n + 1))


def ratio_interval(
    before: Numbers, after: Numbers, *, paired: bool, confidence: float = CONFIDENCE
) -> Interval:
    """How many times as long ``after`` takes as ``before``, with a bootstrap interval (percentiles;
    Efron and Tibshirani, *An Introduction to the Bootstrap*, section 13.3).

    What is resampled are whole rounds, not single inferences: those of a round follow each other
    and are not independent.

    Args:
        before, after: medians of rounds.
        paired: the k-th rounds of both stood beside each other in time: the estimate is the median
            of their quotients, and pairs are drawn. Otherwise it is the quotient of the medians.
    """
    one, other = np.asarray(before, np.float64), np.asarray(after, np.float64)
    random = np.random.default_rng(_SEED)
    if paired:
        quotients = other / one
        drawn = random.integers(0, len(one), (_RESAMPLES, len(one)))
        tries, value = np.median(quotients[drawn], axis=1), float(np.median(quotients))
    else:
        ones = one[random.integers(0, len(one), (_RESAMPLES, len(one)))]
        others = other[random.integers(0, len(other), (_RESAMPLES, len(other)))]
        tries = np.median(others, axis=1) / np.median(ones, axis=1)
        value = float(np.median(other) / np.median(one))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(tries, [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def verdict(ratio: Interval, margin: float = 0.0) -> Verdict:
    """Of a ratio of times: *faster* where all of its interval is below 1 − ``margin``, *slower*
    where all of it is above 1 + ``margin``."""
    if ratio.high < 1 - margin:
        return "faster"
    if ratio.low > 1 + margin:
        return "slower"
    return "cannot tell"


def new_among(history: Numbers, new: float, confidence: float = CONFIDENCE) -> Interval | None:
    """How many times as long ``new`` takes as the history's, with an interval that knows how much
    the history's own entries differ from run to run: Student's prediction interval for one more
    observation, of logarithms (Hahn and Meeker, *Statistical Intervals*, section 4.7).

    Returns:
        ``None`` for fewer than three entries, which say nothing of their spread.
    """
    logs = np.log(np.asarray(history, np.float64))
    n = len(logs)
    if n < 3:
        return None
    away = student(n - 1, (1 + confidence) / 2) * float(logs.std(ddof=1)) * math.sqrt(1 + 1 / n)
    apart = math.log(new) - float(logs.mean())
    return Interval(math.exp(apart), math.exp(apart - away), math.exp(apart + away))


def student(freedom: int, share: float) -> float:
    """The ``share`` quantile of Student's t (0.5 to 1), from its density, added up by Simpson's
    rule over the angle atan(t/√freedom), where it is cos^(freedom − 1)."""
    angles = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    middle = np.cos((angles[1:] + angles[:-1]) / 2) ** (freedom - 1)
    steps = (density[1:] + 4 * middle + density[:-1]) * (angles[1] / 6)
    whole = np.concatenate([[0.0], np.cumsum(steps)])
    angle = float(np.interp(share - 0.5, whole / (2 * whole[-1]), angles))
    return math.tan(angle) * math.sqrt(freedom)
