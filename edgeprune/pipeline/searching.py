"""The largest share that may go within a budget of the metric, by cross-validation.

The data is cut into folds by seed. Of each fold the scores come from the other folds, and the
metric is taken on the fold: no example judges a plan whose scores saw it. A share is within the
budget when the *bound* on its drop is (:meth:`edgeprune.drops.Drop.most`), taken over the examples
of all folds, each compared with itself in the unpruned model. Plans are tried by writing zeros,
and where steps of recovery that do not train are named, with these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Dataset
from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.models import Task
from edgeprune.models.marks import Judge, Marks, joined
from edgeprune.models.tasks import Predict
from edgeprune.pipeline.goals import Goal
from edgeprune.pipeline.recovering import Ground, Settings, check_steps, recovered
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Part, Progress
from edgeprune.recoveries import which_train
from edgeprune.scores import Scores
from edgeprune.scoring import METHODS, score_model
from edgeprune.searches import Of, Point, Search
from edgeprune.seeds import derived_seed
from edgeprune.surgery import Trial, nearly_zero, trace, zero

NEAR = 1.02
"""Two shares are as good as one when what they keep differs by less than this factor."""
SPARSEST = 12
"""Halvings: a search ends where less than 2⁻¹² would be kept."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Terms:
    """How to search.

    Attributes:
        max_drop: the budget, in the metric's unit.
        of: whose share.
        folds: at least 2.
        grid: shares to try, instead of bisection.
        confidence: with which the drop on another set of as many examples is within the budget.

    Raises:
        PlanError: a number out of its range.
    """

    max_drop: float
    of: Of = "sparsity"
    folds: int = 5
    grid: tuple[float, ...] = ()
    confidence: float = 0.95

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not self.max_drop >= 0:
            raise PlanError(f"max_drop = {self.max_drop}: a number from 0 up is needed")
        if self.folds < 2:
            raise PlanError(f"folds = {self.folds}: at least 2 are needed")
        if not 0.5 <= self.confidence < 1:
            raise PlanError(
                f"confidence = {self.confidence}: a share from 0.5 to below 1 is needed"
            )
        for share in self.grid:
            if not 0 < share < 1:
                raise PlanError(f"grid: {share} is no share between 0 and 1")
        if self.of not in ("sparsity", "channels"):
            raise PlanError(f"a search is of sparsity or of channels, not of {self.of!r}")


@dataclass
class Searching:
    """One search.

    Attributes:
        model: never changed.
        data: with labels, of a role that may decide; best none that the model was trained on.
        task: loss and metric.
        method: name of the score.
        goal: with what patterns, scope, exclusions and constraints; what it asks for is left out.
        terms: how.
        microbatch: of the scoring.
        seed: of the folds, of scores and of the bootstrap.
        whole: the scores of all data, where they are there already.
        calibrate: data that scores for every fold, sharing no example with ``data``; where absent,
            each fold is scored by the others.
        recover: steps that do not train, after each plan, on inputs of what scored it; every point
            is then a model of its own, and takes longer.
        progress: where the work is shown.
    """

    model: Any
    data: Dataset
    task: Task
    method: str
    goal: Goal
    terms: Terms
    microbatch: int = 32
    seed: int = 0
    whole: Scores | None = None
    calibrate: Dataset | None = None
    recover: tuple[str, ...] = ()
    progress: Progress = SILENT
    _tried: dict[tuple[int, float], Marks | None] = field(default_factory=dict, init=False)
    _points: dict[float, Point | None] = field(default_factory=dict, init=False)

    def run(self) -> Search:
        """Find the share, and make the plan.

        Raises:
            PlanError: no share is within the budget, or none can be reached; fewer examples than
                two a fold.
            DataError: no labels.
        """
        terms = self.terms
        if self.data.examples < 2 * terms.folds:
            raise PlanError(
                f"{self.data.name}: {self.data.examples} examples for {terms.folds} folds; two a "
                "fold are needed at least"
            )
        self._check_recovery()
        self._graph = self._traced()
        self._trial = Trial(self.model, self._graph)
        self._judge = Judge(self.task, self.data, self.model, seed=self.seed)
        self._folds = self._cut()
        self._scores = self._scored()
        shares = []
        with self.progress.task("search", None) as shown:
            self._shown = shown
            for number in range(len(self._folds)):
                within = self._alone(number)
                shares.append(_largest(within, terms.grid))
            points = {share: point for share in self._asked() if (point := self._point(share))}
        share = self._chosen(points)
        whole = self.whole or self._score(self.data, "whole")
        plan = self._plan(whole, share)
        found = Search(
            terms.of, share, plan, terms.max_drop, self.task.metric_name, self._judge.metric,
            tuple(points[each] for each in sorted(points)), tuple(shares), terms.confidence,
            len(self._tried),
        )  # fmt: skip
        return replace(found, plan=replace(plan, why={**plan.why, "search": found.facts()}))

    def _check_recovery(self) -> None:
        check_steps(self.recover)
        training = which_train(self.recover)
        if training:
            raise PlanError(
                f"a search tries many plans, and {training[0]!r} trains after each; leave it out, "
                "or prune in rounds with max_drop"
            )

    def _traced(self) -> Graph | None:
        needed = self.terms.of == "channels" or METHODS[self.method].of == "channels"
        return trace(self.model, inexact=self.goal.inexact) if needed else None

    def _cut(self) -> list[Ints]:
        order = np.random.default_rng(derived_seed(self.seed, "folds")).permutation(
            self.data.examples
        )
        return [np.sort(part) for part in np.array_split(order, self.terms.folds)]

    def _scored(self) -> list[Scores]:
        """Of each fold, from the others; where that makes no difference, once."""
        if self.calibrate is not None or not METHODS[self.method].needs_data:
            self.whole = self.whole or self._score(self.calibrate or self.data, "whole")
            return [self.whole] * len(self._folds)
        return [
            self._score(self._others(number), f"fold {number + 1}")
            for number in range(len(self._folds))
        ]

    def _score(self, data: Dataset, name: str) -> Scores:
        return score_model(
            self.model,
            data.batches(self.microbatch),
            method=self.method,
            loss=self.task.loss,
            graph=self._graph,
            seed=derived_seed(self.seed, "search", name),
            progress=Part(self.progress, name),
        )

    def _plan(self, scores: Scores, share: float) -> Plan:
        asked: dict[str, Any] = {"sparsity": None, "threshold": None, "channels": None}
        goal = replace(self.goal, rounds=1, **asked | {self.terms.of: share})
        return goal.plan(scores, self._graph, number=1)

    def _marks(self, number: int, share: float) -> Marks | None:
        """Of fold ``number`` with a share gone; ``None`` where that cannot be reached."""
        key = (number, share)
        if key not in self._tried:
            try:
                plan = self._plan(self._scores[number], share)
            except PlanError as error:
                self._refused = error
                self._tried[key] = None
                return None
            predict = self._answering(plan, number)
            self._tried[key] = self._judge.marks(predict, self._folds[number])
            self._shown.advance(note=f"{self.terms.of} {share:.3f}")
        return self._tried[key]

    def _answering(self, plan: Plan, number: int) -> Predict:
        """The model with ``plan`` carried out, and recovered."""
        if not self.recover:
            self._trial.silence(plan)
            return self._trial.predict
        silent = nearly_zero if self.goal.inexact else zero
        ground = Ground(
            Settings(self.recover),
            self.calibrate or self._others(number),
            dense=self.model,
            seed=lambda step: derived_seed(self.seed, "search", step),
            plan=plan,
        )
        model, _ = recovered(silent(self.model, plan), ground)
        return self.task.model_predict(model)

    def _others(self, number: int) -> Dataset:
        """The data without fold ``number``."""
        everything = np.arange(self.data.examples)
        return self.data.subset(np.setdiff1d(everything, self._folds[number]))

    def _alone(self, number: int) -> Callable[[float], bool]:
        """Whether a share's drop on one fold is within the budget."""

        def within(share: float) -> bool:
            marks = self._marks(number, share)
            if marks is None:
                return False
            return self._judge.lost(marks, self._folds[number]) <= self.terms.max_drop

        return within

    def _point(self, share: float) -> Point | None:
        """Over all folds; ``None`` where the share cannot be reached in one."""
        if share not in self._points:
            self._points[share] = self._made(share)
        return self._points[share]

    def _made(self, share: float) -> Point | None:
        parts = [self._marks(number, share) for number in range(len(self._folds))]
        if any(part is None for part in parts):
            return None
        marks = joined(part for part in parts if part is not None)
        drop = self._judge.drop(marks, np.concatenate(self._folds))
        return Point(share, drop, drop.most(self.terms.confidence))

    def _within(self, point: Point | None) -> bool:
        return point is not None and point.most <= self.terms.max_drop

    def _asked(self) -> Iterator[float]:
        """The shares to try over all folds."""
        if self.terms.grid:
            yield from sorted(set(self.terms.grid))
            return
        yield from _bisected(lambda share: self._within(self._point(share)))

    def _chosen(self, points: dict[float, Point]) -> float:
        """The largest within the budget, all that are smaller being within it too."""
        best = None
        for share in sorted(points):
            if not self._within(points[share]):
                break
            best = share
        if best is not None:
            return best
        if not points:
            raise self._refused
        raise self._nothing(points[min(points)])

    def _nothing(self, point: Point) -> PlanError:
        terms, name = self.terms, self.task.metric_name
        line = (
            f"no share of {terms.of} is within max_drop = {terms.max_drop:g}: {name} lost "
            f"{point.drop.value:.4g} with {point.share:.3f} gone, and may lose {point.most:.4g} on "
            f"another {point.drop.examples} examples"
        )
        sure = NormalDist().inv_cdf(terms.confidence) * 2**0.5
        if point.drop.value <= terms.max_drop and terms.max_drop > 0:
            more = point.drop.examples * (sure * point.drop.error / terms.max_drop) ** 2
            return PlanError(f"{line}; give more examples, about {max(more, 1) * 2:,.0f}")
        return PlanError(f"{line}; allow more, or recover in rounds")


def _bisected(within: Callable[[float], bool]) -> Iterator[float]:
    """Shares on the way to the largest that is within: what is kept is halved until it is too
    little, and then the factor between the two is halved."""
    good, bad = 0.0, None
    for halvings in range(1, SPARSEST + 1):
        share = 1 - 0.5**halvings
        yield share
        if not within(share):
            bad = share
            break
        good = share
    if bad is None:
        return
    while (1 - good) / (1 - bad) > NEAR:
        share = 1 - ((1 - good) * (1 - bad)) ** 0.5
        yield share
        if within(share):
            good = share
        else:
            bad = share


def _largest(within: Callable[[float], bool], grid: Sequence[float]) -> float:
    """The largest share within; 0 where none is."""
    best = 0.0
    if grid:
        for share in sorted(grid):
            if not within(share):
                break
            best = share
        return best
    for share in _bisected(within):
        if within(share):
            best = max(best, share)
    return best
