"""Scores taken anew on the way down: cut a little, score what is left, cut a little more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
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
Way = tuple[dict[str, Any], int | None]
"""What a step asks of a plan, and which point it ends at, if at one."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of the way.

    Attributes:
        plan: everything that is gone by now.
        scores: that decided this step.
        number, of: which of how many steps, from 1.
        point: which of the points it is, from 1; ``None``: a step on the way to one.
    """

    plan: Plan
    scores: Scores
    number: int
    of: int
    point: int | None = None


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
    The points of a budget lie evenly while more than a fifth of the original's cost is left, and
    then each at the same share of the one before.

    Args:
        score: called before each step with the plan so far.
        graph: of the model; budgets and channels need it.
        step: 0 < step ≤ 1; 1 takes the scores once. Absent: :data:`STEP` for budgets, else 1.
        points: of the way to budgets; each takes a step or more.
        within: the plan so far, as for :func:`~edgeprune.planning.make_plan`, as is the rest.

    Raises:
        PlanError: as :func:`~edgeprune.planning.make_plan`, and before the first step where the
            last one would be refused by the first scores.
    """
    check_step(step)
    last: dict[str, Any] = {"channels": channels, "sparsity": sparsity}
    if budgets:
        last["budgets"] = budgets
    ways: list[Way] = []
    if graph is not None and budgets:
        ways = _to_budgets(Costing(graph, budgets), STEP if step is None else step, points, within)
    elif graph is not None and channels is not None:
        ways = _to_channels(channels, 1.0 if step is None else step, within)
    plan = within
    for number, (way, point) in enumerate([*ways, (last, points)], start=1):
        scores = score(plan)
        if number == 1 and ways:
            make_plan(scores, graph, **last, within=within, **asked)
        plan = make_plan(scores, graph, **way, within=plan, **asked)
        yield Stage(plan, scores, number, len(ways) + 1, point)


def _to_budgets(costing: Costing, step: float, points: int, within: Plan | None) -> list[Way]:
    """All steps but the last."""
    now = costing.costs({cut.group: cut.drop for cut in within.cuts} if within else {})
    found: list[Way] = []
    for point, (start, end) in enumerate(pairwise([now, *costing.levels(now, points)]), start=1):
        count = _count(costing.length(start, end), step)
        found += [
            ({"budgets": costing.between(start, end, part / count)}, None)
            for part in range(1, count)
        ]
        found.append(({"budgets": costing.between(start, end, 1.0)}, point))
    return found[:-1]


def _to_channels(channels: float, step: float, within: Plan | None) -> list[Way]:
    """All steps but the last."""
    start = float(within.why.get("reached", {}).get("channels", 0.0)) if within else 0.0
    count = _count(channels - start, step)
    return [
        ({"channels": start + (channels - start) * part / count}, None) for part in range(1, count)
    ]


def _count(length: float, step: float) -> int:
    """How many equal steps."""
    return max(1, math.ceil(length / step - ROUNDING))
