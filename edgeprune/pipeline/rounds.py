"""One round, score → plan → zero → recover, and the loop of rounds that ends with strip."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeprune.datasets import Dataset
from edgeprune.errors import PlanError
from edgeprune.executors import shared
from edgeprune.graphs import Graph
from edgeprune.models import Task, kernel_elements, kernel_nonzero
from edgeprune.pipeline.descent import Descent
from edgeprune.pipeline.gates import beyond
from edgeprune.pipeline.goals import Goal
from edgeprune.pipeline.recovering import RECOVERY_BATCH, Ground, Settings, recovered
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Part, Progress
from edgeprune.recoveries import RUNNING
from edgeprune.recovery import Gauge, Growth
from edgeprune.scores import Scores
from edgeprune.scoring import Scorer, score_model
from edgeprune.seeds import derived_seed
from edgeprune.surgery import (
    StripReport,
    cut_with_report,
    nearly_zero,
    strip_with_report,
    trace,
    zero,
)

GAUGED = 1024
"""Calibration examples (rounded up to whole micro-batches) that scores are taken of whenever a ramp
chooses masks."""


@dataclass(frozen=True)
class Material:
    """What a round works with.

    Attributes:
        train, validation, calibrate: data of the roles; none of it is the evaluation set.
        task: loss and metric.
        microbatch: examples per batch of the scoring.
        seed: the recipe's.
        workers: processes that share the scoring.
    """

    train: Dataset
    validation: Dataset
    calibrate: Dataset
    task: Task
    microbatch: int = 32
    seed: int = 0
    workers: int = 1

    def measure(self, model: Any) -> float:
        """The metric on the validation split."""
        predict = self.task.model_predict(model)
        return float(self.task.evaluate(predict, self.validation.batches(RECOVERY_BATCH)))


@dataclass(frozen=True)
class Turn:
    """What one round gave.

    Attributes:
        model: zeroed and recovered, in the original's shapes.
        plan: everything that is gone by now.
        scores: that decided this round.
        metric: of the model, on the validation split.
        sparsity: of the model.
        number: of the round, from 1.
    """

    model: Any
    plan: Plan
    scores: Scores
    metric: float
    sparsity: float
    number: int


@dataclass(frozen=True)
class Repair:
    """What recovery made of an inexact cut.

    Attributes:
        cut: the metric on the validation split, right after the cut.
        recovered: after the recovery.
        epochs: of fine-tuning, at most.
    """

    cut: float
    recovered: float
    epochs: int

    def line(self, metric: str) -> str:
        """For people; ``metric`` is its name."""
        tuned = f"{self.epochs} epoch{'s' * (self.epochs != 1)}"
        return (
            f"{metric} on the validation split: {self.cut:.4g} after the inexact cut, "
            f"{self.recovered:.4g} after {tuned} of fine-tuning more"
        )


@dataclass
class Rounds:
    """The loop over one model.

    Attributes:
        original: never changed.
        method: name of the score.
        goal, settings, material: see there.
        progress: where the work of each round is shown, under the round's name.
        label: of the rounds, in their seeds.
        title: of the rounds, in what is shown; before the number of the round.
    """

    original: Any
    method: str
    goal: Goal
    settings: Settings
    material: Material
    progress: Progress = SILENT
    label: str = "round"
    title: str = ""
    _graph: Graph | None = field(default=None, init=False)

    @property
    def graph(self) -> Graph:
        """Of the original; traced once."""
        if self._graph is None:
            self._graph = trace(self.original, inexact=self.goal.inexact)
        return self._graph

    def turn(
        self, number: int, model: Any, plan: Plan | None, *, checkpoint: Path | None = None
    ) -> Turn:
        """Round ``number`` (from 1) on what the round before left."""
        goal, material = self.goal, self.material
        shown = Part(self.progress, self._name(number))
        if goal.ramp is not None:
            return self._grown(number, model, plan, checkpoint, shown)
        graph = self.graph if goal.cuts else None
        how: dict[str, Any] = {
            "method": self.method,
            "loss": material.task.loss,
            "graph": graph,
            "seed": self._scoring_seed(number),
            "apart": shared(material.workers),
            "progress": shown,
        }
        batches = material.calibrate.batches(material.microbatch)
        if goal.stepped:
            descent = Descent(model, batches=batches, **how)
            for stage in goal.stages(descent.score, graph, number=number, within=plan):
                scores, plan = stage.scores, stage.plan
        else:
            scores = score_model(model, batches, **how)
            plan = goal.plan(scores, graph, number=number, within=plan)
        assert plan is not None
        silent = nearly_zero if goal.inexact else zero
        model = self.recover(
            silent(model, plan),
            seed=f"{self.label}-{number}",
            plan=plan,
            checkpoint=checkpoint,
            progress=shown,
        )
        gone = 1 - kernel_nonzero(model) / kernel_elements(self.original)
        return Turn(model, plan, scores, material.measure(model), gone, number)

    def _grown(
        self, number: int, model: Any, plan: Plan | None, checkpoint: Path | None, shown: Progress
    ) -> Turn:
        """A round whose zeros come on the way of its training."""
        gauge = None if self.method in RUNNING else self._gauge(number)
        growing = self.goal.growing(self.method, number, within=plan, gauge=gauge)
        model = self.recover(
            model,
            seed=f"{self.label}-{number}",
            plan=plan,
            growth=growing,
            checkpoint=checkpoint,
            progress=shown,
        )
        assert growing.plan is not None and growing.scores is not None
        self.goal.check(growing.plan, growing.scores, number=number)
        gone = 1 - kernel_nonzero(model) / kernel_elements(self.original)
        metric = self.material.measure(model)
        return Turn(model, growing.plan, growing.scores, metric, gone, number)

    def _scoring_seed(self, number: int) -> int:
        return derived_seed(self.material.seed, f"{self.label}-{number}", "score")

    def _gauge(self, number: int) -> Gauge:
        """Takes the scores that a training does not give, of some of the calibration data."""
        size = self.material.microbatch
        batches = self.material.calibrate.batches(size)
        seed = self._scoring_seed(number)

        def of(model: Any) -> Callable[[], Scores]:
            scorer = Scorer(model, [self.method], loss=self.material.task.loss, seed=seed)

            def scored() -> Scores:
                some = itertools.islice(batches, -(-GAUGED // size))
                return scorer.scores(some)[self.method]

            return scored

        return of

    def recover(
        self,
        model: Any,
        *,
        seed: str,
        plan: Plan | None = None,
        growth: Growth | None = None,
        made_by: Plan | None = None,
        epochs: int | None = None,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Any:
        """The recovery steps in their order; zeros stay. Without epochs those that train are left
        out, and the rest done; ``made_by`` is the plan that cut a model that is stripped. Without
        any plan nothing was cut since the last recovery, and there is nothing to reconstruct."""
        settings, material = self.settings, self.material
        made_by = plan if made_by is None else made_by
        if made_by is None and growth is None:
            steps = tuple(step for step in settings.steps if step != "reconstruct")
            settings = replace(settings, steps=steps)
        if epochs is not None:
            settings = replace(settings, epochs=epochs)
        ground = Ground(
            settings,
            material.calibrate,
            material.train,
            material.validation,
            material.task,
            dense=self.original,
            seed=lambda step: derived_seed(material.seed, seed, step),
            plan=plan,
            made_by=made_by,
            # What is mixed without weights gives biases a gradient behind zeros too.
            trace=(lambda _: self.graph) if self.goal.inexact else None,
            checkpoint=checkpoint,
            growth=growth,
            stripped=plan is None and growth is None,
            progress=progress or self.progress,
        )
        return recovered(model, ground)[0]

    def ended(self, turn: Turn) -> tuple[Any, StripReport]:
        """The small model that the last round's becomes, and what left it; an inexact cut is
        recovered."""
        if not self.goal.inexact:
            return strip_with_report(turn.model, plan=turn.plan)
        small, report = cut_with_report(turn.model, turn.plan)
        for name, reason in report.inexact.items():
            self.progress.say(f"{name}: inexact, the outputs change: {reason}")
        if report.inexact:
            small, repair = self.repair(small, turn.plan, epochs=self.settings.epochs)
            self.progress.say(repair.line(self.material.task.metric_name))
        return small, report

    def repair(
        self, small: Any, plan: Plan, *, epochs: int, checkpoint: Path | None = None
    ) -> tuple[Any, Repair]:
        """What ``plan`` left in an inexact cut, recovered."""
        cut = self.material.measure(small)
        shown = Part(self.progress, "after the cut")
        model = self.recover(
            small,
            seed="recover",
            made_by=plan,
            epochs=epochs,
            checkpoint=checkpoint,
            progress=shown,
        )
        return model, Repair(cut, self.material.measure(model), epochs)

    def _name(self, number: int) -> str:
        """A round as it is shown; one that is the only one needs no number."""
        rounds = self.goal.rounds
        of = f"round {number}/{rounds}" if rounds > 1 else ""
        return ", ".join(filter(None, (self.title, of)))

    def spent(self, metric: float, before: float) -> bool:
        """Whether a round's validation metric is beyond the budget, from the original's; one that
        is no finite number always is."""
        if not math.isfinite(metric):
            return True
        if self.goal.max_drop is None:
            return False
        drop = self.material.task.drop(before, metric)
        return beyond(drop, self.goal.max_drop, max(abs(before), abs(metric)))

    def spent_at_once(self, metric: float, before: float) -> PlanError:
        """The error where the first round already is: there is no round to go back to."""
        name, limit = self.material.task.metric_name, self.goal.max_drop
        if limit is None or not math.isfinite(metric):
            what = f"ended with a {name} that is no finite number"
        else:
            drop = self.material.task.drop(before, metric)
            what = (
                f"lost {drop:.4g} of {name} on the validation split ({before:.4g} → {metric:.4g}), "
                f"max_drop allows {limit:g}"
            )
        return PlanError(
            f"the first round {what}: nothing is pruned; ask for less, more rounds, or more epochs"
        )

    def run(self, before: float, told: Callable[[Turn], None] = lambda turn: None) -> Turn:
        """Every round in memory; the last one within the budget.

        Args:
            before: the original's metric on the validation split.
            told: of every round.

        Raises:
            PlanError: none is.
        """
        best: Turn | None = None
        for turn in self.turns():
            told(turn)
            if self.spent(turn.metric, before):
                if best is None:
                    raise self.spent_at_once(turn.metric, before)
                break
            best = turn
        assert best is not None
        return best

    def turns(self) -> Iterator[Turn]:
        """Every round in memory, whatever its metric."""
        model, plan = self.original, None
        for number in range(1, self.goal.rounds + 1):
            turn = self.turn(number, model, plan)
            yield turn
            model, plan = turn.model, turn.plan


def rehearse(
    original: Any,
    methods: Sequence[str],
    goal: Goal,
    settings: Settings,
    material: Material,
    *,
    epochs: int,
    progress: Progress = SILENT,
) -> tuple[str, dict[str, float]]:
    """Try each score on the whole way in short: the same goal, from the same weights, ``epochs``
    epochs in all, shared by as many rounds as there are (one score may be right for one shot and
    another for many steps).

    Returns:
        The best by the validation metric (the first of equals), and every metric by name.
    """
    turns = min(goal.rounds, epochs)
    short = replace(settings, epochs=epochs // turns)
    quick = replace(goal, rounds=turns, max_drop=None)
    metrics = {}
    for method in methods:
        rounds = Rounds(
            original,
            method,
            quick,
            short,
            material,
            progress,
            label=f"rehearsal-{method}",
            title=f"rehearse {method}",
        )
        for turn in rounds.turns():
            metrics[method] = turn.metric
    return material.task.best(metrics), metrics
