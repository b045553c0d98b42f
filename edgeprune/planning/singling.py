"""Plans that take from one place alone."""

from __future__ import annotations

from edgeprune.graphs import Graph
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.cutting import choose_channels
from edgeprune.planning.requests import make_plan
from edgeprune.plans import Cut, Plan
from edgeprune.scores import Scores


def from_group(scores: Scores, graph: Graph, name: str, share: float) -> Plan:
    """The lowest-scored channels of one group, as many as come nearest to ``share`` of it.

    Raises:
        PlanError: the group is fixed, no score touches it, or no part of it can leave.
    """
    chosen = choose_channels(
        scores,
        graph,
        share,
        together=False,
        excluded=frozenset(group.name for group in graph if group.name != name),
        before={},
        constraints=Constraints(),
    )
    cuts = tuple(Cut(group, drop) for group, drop in chosen.cuts.items())
    return Plan(scores.model, cuts=cuts, why={"method": scores.method, "asked": {name: share}})


def from_weight(scores: Scores, name: str, share: float, pattern: str = "none") -> Plan:
    """The lowest-scored connections of one weight.

    Raises:
        PlanError: as :func:`make_plan`.
    """
    alone = Scores(scores.method, scores.model, {name: scores.weights[name]}, kinds=scores.kinds)
    return make_plan(alone, sparsity=share, scope="layer", pattern=pattern)
