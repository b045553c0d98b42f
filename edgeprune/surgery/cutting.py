"""A plan carried out at once: its channels leave, and what is dead with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.plans import Plan
from edgeprune.surgery.constants import arrays
from edgeprune.surgery.deciding import Decision
from edgeprune.surgery.flows import Ids
from edgeprune.surgery.quotas import patterns_of
from edgeprune.surgery.stripping import StripReport, stripped
from edgeprune.surgery.tracing import Trace, graph_of, traced
from edgeprune.surgery.zeroing import Zeroed, check_plan


def cut(model: Any, plan: Plan) -> Any:
    """A new model without the channels that ``plan`` cuts and all that is dead then; ``model`` is
    left as it was.

    Where every group of the plan can be cut exactly this is ``strip(zero(model, plan))``. Channels
    of a group that is only freed by ``trace(model, inexact=True)`` leave too, and the outputs
    change: what divides or averages over channels has fewer of them.

    Raises:
        PlanError: as :func:`zero`, but for inexact groups.
        ModelError: NaN or infinite weights, or a model that cannot be rebuilt.
    """
    return cut_with_report(model, plan)[0]


def cut_with_report(model: Any, plan: Plan) -> tuple[Any, StripReport]:
    """:func:`cut`, and what left, what stayed, and which groups were cut inexactly."""
    check_plan(model, plan)
    found = traced(model)
    graph = graph_of(model, found, inexact=True)
    weights = Zeroed(arrays(model), plan, graph)
    reasons = {
        one.group: reason
        for one in plan.cuts
        if (reason := graph[one.group].inexact) is not None and one.drop.size
    }
    forced = _numbers(found, plan, reasons)
    new, report = stripped(model, Decision(found, weights, forced, patterns_of(plan)))
    return new, replace(report, inexact=reasons)


def _numbers(found: Trace, plan: Plan, groups: dict[str, str]) -> Ids:
    """Numbers of the channels that the plan cuts from these groups."""
    starts = {origin.name: origin.start for origin in found.origins}
    asked = [starts[one.group] + one.drop for one in plan.cuts if one.group in groups]
    return np.concatenate([np.zeros(0, np.int64), *asked])
