"""Scores taken anew on the way down: cut a little, score what is left, cut a little more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.planning.budgets import Budgets, Costing
from edgeprune.planning.requests import make_plan
from edgeprune.plans import Plan
from edgeprune.scores import Scores

Score = Callable[[Plan | None], Scores]
"""Scores of the model when a plan has been carried out on it; ``None``: of the model as it is."""
STEP = 0.05
"""Of what the original costs: so much goes between two scores where budgets are asked for."""
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the way.

    Attributes:
        plan: everything that is gone by now.
        scores: that decided this step.
        number, of: which of how many steps, from 1.
    """

    plan: Plan
    scores: Scores
    number: int
    of: int


def check_step(step: float | None) -> None:
    """Raises :class:`~edgeprune.errors.PlanError` where it is no share above 0, at most 1."""
    # Written so that NaN fails too.
    if step is not None and (isinstance(step, bool) or not 0 < step <= 1):
        raise PlanError(
            f"step = {step}: a share above 0, at most 1, is needed; 1 takes the scores once"
        )


def rescored(
    score: Score,
    graph: Graph | None,
    *,
    step: float | None = None,
    points: int = 1,
    within: Plan | None = None,
    channels: float | None = None,
    sparsity: float | None = None,
    budgets: Budgets | None = None,
    **asked: Any,
) -> Iterator[Stage]:
    """Plans on the way from what is there to what is asked for, each within the next; the last
    one is the plan that :func:`~edgeprune.planning.make_plan` would make with its scores.

    With budgets the costs fall in equal steps of at most ``step`` of the original's each; with
    channels the share of those that have left grows so. Single weights go in the last step alone.

    Args:
        score: called before each step with the plan so far.
        graph: of the model; budgets and channels need it.
        step: 0 < step ≤ 1; 1 takes the scores once. Absent: :data:`STEP` for budgets, else 1.
        points: the number of steps is a multiple of this.
        within: the plan so far, as for :func:`~edgeprune.planning.make_plan`, as is the rest.

    Raises:
        PlanError: as :func:`~edgeprune.planning.make_plan`, and before the first step where the
            last one would be refused by the first scores.
    """
    check_step(step)
    last: dict[str, Any] = {"channels": channels, "sparsity": sparsity}
    if budgets:
        last["budgets"] = budgets
    ways = _ways(graph, step, points, within, channels, budgets) if graph is not None else []
    if sparsity is not None and not (budgets or channels is not None):
        ways = []
    plan = within
    for number, way in enumerate([*ways, last], start=1):
        scores = score(plan)
        if number == 1 and ways:
            make_plan(scores, graph, **last, within=within, **asked)
        plan = make_plan(scores, graph, **way, within=plan, **asked)
        yield Stage(plan, scores, number, len(ways) + 1)


def _ways(
    graph: Graph,
    step: float | None,
    points: int,
    within: Plan | None,
    channels: float | None,
    budgets: Budgets | None,
) -> list[dict[str, Any]]:
    """What each step but the last asks of a plan."""
    if budgets:
        costing = Costing(graph, budgets)
        now = costing.costs({cut.group: cut.drop for cut in within.cuts} if within else {})
        length = max((now[k] - most) / costing.whole[k] for k, most in costing.limits.items())
        count = _count(length, STEP if step is None else step, points)
        return [{"budgets": costing.between(now, part / count)} for part in range(1, count)]
    if channels is None:
        return []
    start = float(within.why.get("reached", {}).get("channels", 0.0)) if within else 0.0
    count = _count(channels - start, 1.0 if step is None else step, points)
    return [{"channels": start + (channels - start) * part / count} for part in range(1, count)]


def _count(length: float, step: float, points: int) -> int:
    """How many equal steps, a multiple of ``points``."""
    return points * max(1, math.ceil(length / step / points - ROUNDING))
