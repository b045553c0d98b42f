"""The largest share that may go within a budget of the metric, and how it was found. Pure data;
:mod:`edgeprune.pipeline.searching` finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any, Literal

from edgeprune.drops import Drop
from edgeprune.plans import Plan

Of = Literal["sparsity", "channels"]


@dataclass(frozen=True)
class Point:
    """A share that was tried.

    Attributes:
        share: of the connections, or of the channels.
        drop: of the metric, over all folds: each example is judged by a plan whose scores did not
            see it.
        most: what the drop on another set of as many examples stays below.
    """

    share: float
    drop: Drop
    most: float

    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return {"share": self.share, "most": self.most, **asdict(self.drop)}


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        of: of what the share is.
        share: the largest within the budget.
        plan: made with it, from scores of all examples.
        max_drop: the budget, in the metric's unit.
        metric: its name.
        before: of the unpruned model, over all examples.
        points: the shares that were tried over all folds, ascending.
        folds: of each fold by itself, the largest share whose drop there is within the budget.
        confidence: of ``most``.
        evaluations: how often a plan was tried, on a fold or on all examples.
    """

    of: Of
    share: float
    plan: Plan
    max_drop: float
    metric: str
    before: float
    points: tuple[Point, ...]
    folds: tuple[float, ...]
    confidence: float
    evaluations: int

    @property
    def point(self) -> Point:
        """The one that was chosen."""
        return next(point for point in self.points if point.share == self.share)

    @property
    def spread(self) -> float:
        """Standard deviation of the folds' shares."""
        return pstdev(self.folds)

    def line(self) -> str:
        """For people: what was found, and how far the folds are apart."""
        return (
            f"{self.of} {self.share:.2%}: the largest share with which {self.metric} loses at most "
            f"{self.max_drop:g} on another {self.point.drop.examples:,} examples, with "
            f"{self.confidence:.0%} confidence (folds by themselves {min(self.folds):.2%} to "
            f"{max(self.folds):.2%})"
        )

    def facts(self) -> Mapping[str, Any]:
        """JSON values, without the plan."""
        return {
            "of": self.of,
            "share": self.share,
            "max_drop": self.max_drop,
            "metric": self.metric,
            "before": self.before,
            "examples": self.point.drop.examples,
            "confidence": self.confidence,
            "drop": self.point.drop.value,
            "most": self.point.most,
            "folds": list(self.folds),
            "mean": fmean(self.folds),
            "spread": self.spread,
            "evaluations": self.evaluations,
            "points": [point.facts() for point in self.points],
        }
