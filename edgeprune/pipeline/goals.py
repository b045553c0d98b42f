"""How much goes in the end, and what each round on the way asks of planning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.patterns import Pattern
from edgeprune.planning import (
    Budgets,
    Constraints,
    Costing,
    Latency,
    Score,
    Stage,
    check_something,
    check_step,
    excluded,
    make_plan,
    parts,
    ramp,
    rescored,
)
from edgeprune.plans import Plan
from edgeprune.recipes import BY_BUDGET, BY_RAMP, Prune
from edgeprune.recovery import Gauge, Growing, Ramp
from edgeprune.scores import Scores

ALL = float(np.finfo(np.float32).max) / 2
"""A threshold that every score is below."""


@dataclass(frozen=True)
class Goal:
    """How much goes in the end, and how the rounds get there.

    Attributes:
        sparsity, threshold, channels, pattern, scope, exclude, constraints, budgets: as
            :func:`edgeprune.planning.make_plan` takes them.
        step: of the way, after which the scores are taken anew within a round; see
            :func:`edgeprune.planning.rescored`.
        rounds: how many.
        schedule: how the share grows over them.
        max_drop: of the validation metric; a round that ends beyond it ends the loop, and the
            round before it counts.
        inexact: cut groups too whose channels are mixed without weights; the outputs change.
        ramp: a round's zeros come on the way of its training, not before it.

    Raises:
        PlanError: ``inexact`` or ``step`` without ``channels`` or ``budgets``, a ``max_drop``
            below 0, a ``step`` out of range, a ramp to something other than a sparsity.
    """

    sparsity: float | None = None
    threshold: float | None = None
    channels: float | None = None
    pattern: str = "none"
    scope: Literal["global", "layer"] = "global"
    exclude: tuple[str, ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    budgets: Budgets = field(default_factory=Budgets)
    step: float | None = None
    rounds: int = 1
    schedule: Literal["cubic", "linear", "constant"] = "cubic"
    max_drop: float | None = None
    inexact: bool = False
    ramp: Ramp | None = None

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if self.max_drop is not None and not self.max_drop >= 0:
            raise PlanError(f"max_drop = {self.max_drop}: a number from 0 up is needed")
        check_step(self.step)
        if self.inexact and not self.cuts:
            raise PlanError(
                "inexact without channels: it says which channels may be cut; ask for channels too"
            )
        if self.step is not None and not self.cuts:
            raise PlanError(
                "step without channels: it says how channels are cut; ask for a budget or channels"
            )
        if self.ramp is not None and (self.sparsity is None or self.cuts):
            raise PlanError("a ramp lets a share of zeros grow: ask for sparsity, and for it alone")

    @property
    def cuts(self) -> bool:
        """Whether channels leave."""
        return self.channels is not None or bool(self.budgets)

    @property
    def stepped(self) -> bool:
        """Whether the scores are taken anew within a round."""
        return bool(self.budgets) if self.step is None else self.step < 1

    @property
    def score(self) -> str:
        """The score where none is named: what did best by measurement (docs/method.md)."""
        if self.ramp is not None:
            return BY_RAMP
        return BY_BUDGET if self.budgets and self.sparsity is None else "taylor"

    def asked(self) -> dict[str, float]:
        """By name, what is asked for in the end."""
        names = ("sparsity", "threshold", "channels")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return given | self.budgets.asked()

    @classmethod
    def of(cls, prune: Prune, share: float | None = None) -> Goal:
        """A recipe's ``[prune]``; a multiple that it leaves open is 1. Where it searches, ``share``
        is what was found (a half as long as it is not)."""
        names = ("sparsity", "threshold", "channels", "pattern", "scope", "exclude", "rounds")
        values = {
            name: getattr(prune, name)
            for name in (*names, "step", "schedule", "max_drop", "inexact")
        }
        constraints = Constraints(prune.multiple or 1, prune.minimum, prune.most)
        if prune.search is not None:
            values[prune.search] = 0.5 if share is None else share
        way = (prune.ramp, prune.ramp_every, prune.regrow, prune.shrink)
        ramp = Ramp(*way) if prune.ramp else None
        table = prune.latency
        budgets = Budgets(
            prune.max_macs,
            prune.max_parameters,
            prune.max_bytes,
            prune.max_latency_ms,
            Latency(table.groups, table.constant) if table is not None else None,
        )
        return cls(**values, constraints=constraints, budgets=budgets, ramp=ramp)

    def steps(self) -> list[dict[str, Any]]:
        """What each round asks of planning: the target's share by the schedule, the last one the
        target itself. A threshold is no share and asks the same of every round; an N:M comes down
        from M:M (Kao et al., "Training Recipe for N:M Structured Sparsity with Decaying Pruning
        Mask", 2022)."""
        if self.threshold is not None:
            return [{"threshold": self.threshold}] * self.rounds
        pattern = Pattern.parse(self.pattern)
        if pattern.share is not None:
            shares = ramp(self.schedule, pattern.share, self.rounds)
            return [{"pattern": pattern.keeping(share).name} for share in shares]
        asked: list[dict[str, Any]] = [{} for _ in range(self.rounds)]
        for key in ("sparsity", "channels"):
            target = getattr(self, key)
            if target is not None:
                for step, share in zip(
                    asked, ramp(self.schedule, target, self.rounds), strict=True
                ):
                    step[key] = share
        return asked

    def plan(
        self, scores: Scores, graph: Graph | None, *, number: int, within: Plan | None = None
    ) -> Plan:
        """What goes by the end of round ``number`` (from 1).

        Raises:
            PlanError: as :func:`~edgeprune.planning.make_plan`; nothing goes by the end of the last
                round.
        """
        plan = self._planned(scores, graph, number=number, within=within)
        self.check(plan, scores, graph, number=number)
        return plan

    def check(self, plan: Plan, scores: Scores, graph: Graph | None = None, *, number: int) -> None:
        """Refuse a plan of round ``number`` that takes nothing, where no round is left.

        Raises:
            PlanError: with the reason.
        """
        if number == self.rounds:
            check_something(plan, scores, graph)

    def growing(
        self, method: str, number: int, *, within: Plan | None, gauge: Gauge | None = None
    ) -> Growing:
        """The zeros of round ``number`` that come on the way of its training; ``gauge`` takes the
        scores that the training does not give."""
        assert self.ramp is not None
        pattern, scope, exclude = self.pattern, self.scope, self.exclude

        def planned(scores: Scores, share: float, within: Plan | None) -> Plan:
            return make_plan(
                scores, sparsity=share, pattern=pattern, scope=scope, exclude=exclude, within=within
            )

        def movable(scores: Scores) -> float:
            kept_out = excluded(exclude, scores.weights, ())
            sizes = {name: value.size for name, value in scores.weights.items()}
            return 1 - sum(sizes[name] for name in kept_out) / sum(sizes.values())

        target = self.steps()[number - 1]["sparsity"]
        asked = [pattern, scope, list(exclude)]
        return Growing(method, self.ramp, target, planned, within, asked, movable, gauge)

    def stages(
        self, score: Score, graph: Graph | None, *, number: int, within: Plan | None = None
    ) -> Iterator[Stage]:
        """The way to the end of round ``number`` (from 1), the scores taken anew at each step.

        Raises:
            PlanError: as :meth:`plan`; in the first round also what the last would be refused for
                by the first scores.
        """
        stage: Stage | None = None

        def scored(plan: Plan | None) -> Scores:
            scores = score(plan)
            if stage is None and number == 1 < self.rounds:
                self._planned(scores, graph, number=self.rounds)
            return scores

        asked = self._asked(graph, number)
        for stage in rescored(scored, graph, **asked, step=self.step, within=within):
            yield stage
        if stage is not None:
            self.check(stage.plan, stage.scores, graph, number=number)

    def _planned(
        self, scores: Scores, graph: Graph | None, *, number: int, within: Plan | None = None
    ) -> Plan:
        return make_plan(scores, graph, **self._asked(graph, number), within=within)

    def _asked(self, graph: Graph | None, number: int) -> dict[str, Any]:
        """What round ``number`` asks of planning."""
        asked: dict[str, Any] = {"pattern": self.pattern} | self.steps()[number - 1]
        if self.budgets:
            asked["budgets"] = self.budgets
            if graph is not None and number < self.rounds:
                costing = Costing(graph, self.budgets)
                part = parts(self.schedule, self.rounds)[number - 1]
                asked["budgets"] = costing.between(costing.whole, costing.limits, part)
        beside = {name: getattr(self, name) for name in ("scope", "exclude", "constraints")}
        return asked | beside

    def foretold(self, model: Any) -> Plan:
        """What would go in the end by magnitude, before any round.

        How much can go is no matter of the score: but for a hybrid, whose channels decide how many
        single weights are left, and for a threshold, where all that may go is asked for.

        Raises:
            PlanError: what the last round would be refused for.
        """
        from edgeprune.scoring import score_model
        from edgeprune.surgery import trace

        goal = self
        if self.cuts:
            goal = replace(self, sparsity=None)
        elif self.threshold is not None:
            goal = replace(self, threshold=ALL)
        graph = trace(model, inexact=self.inexact) if goal.cuts else None
        scores = score_model(model, None, method="magnitude")
        # Of a hybrid, single weights may go where no channel can.
        make = goal.plan if goal.sparsity == self.sparsity else goal._planned
        return make(scores, graph, number=goal.rounds)
