"""Which channels go so that a model costs no more than its budgets allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeprune.errors import PlanError
from edgeprune.files import listed
from edgeprune.graphs import Graph
from edgeprune.planning.budgets import Budgets, Costing, shown, within
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.cutting import Cuts, Ints, alike, cut_at, rated_groups
from edgeprune.planning.descending import Ladder
from edgeprune.planning.excluding import excluded
from edgeprune.planning.narrowing import Narrowing
from edgeprune.scores import Scores

LOOSE = Constraints()
HALVINGS = 30
"""Of the share that each group loses alike: fine enough for groups of a million channels."""


def choose_within(
    scores: Scores,
    graph: Graph,
    budgets: Budgets,
    *,
    together: bool,
    excluded: frozenset[str],
    before: Mapping[str, Ints],
    constraints: Constraints,
) -> Cuts:
    """What goes so that ``budgets`` hold, at widths that ``constraints`` allow, counting what went
    ``before``: ``together`` the channels whose scores add up to the least
    (:meth:`~edgeprune.planning.narrowing.Narrowing.steps`), otherwise of each group the same share,
    the smallest that will do.

    Raises:
        PlanError: no free group is left to cut, the budgets are out of reach, or the original
            is within them.
    """
    costing = Costing(graph, budgets)
    rated, unscored, uneven = rated_groups(scores, graph, excluded, before)
    ladders = [each.ladder(constraints) for each in rated]
    names = [each.group.name for each in rated]
    narrowing = Narrowing(graph, names, ladders, costing)
    found = narrowing.steps() if together else _alike_within(narrowing, ladders)
    if found is None:
        least = narrowing.costs([each.price.size for each in ladders])
        raise _out_of_reach(budgets, costing, least, graph, names, constraints)
    cuts = cut_at(before, rated, ladders, found)
    groups = tuple(each.group for each in rated)
    return Cuts(cuts, groups, unscored, uneven, costing.facts(cuts))


def least_macs(
    scores: Scores,
    graph: Graph,
    *,
    exclude: Sequence[str] = (),
    constraints: Constraints = LOOSE,
) -> int:
    """The fewest MACs that a budget may ask for.

    Args:
        scores: by which groups are cut; what they say nothing of stays.
        graph: of their model.
        exclude, constraints: as for :func:`edgeprune.planning.make_plan`.

    Raises:
        PlanError: no free group is left to cut.
    """
    out = excluded(exclude, graph.weights, [group.name for group in graph])
    rated, _, _ = rated_groups(scores, graph, out, {})
    ladders = [each.ladder(constraints) for each in rated]
    cuts = cut_at({}, rated, ladders, [each.price.size for each in ladders])
    return graph.cost(graph.leaving(cuts)[0]).macs


def _alike_within(narrowing: Narrowing, ladders: Sequence[Ladder]) -> list[int] | None:
    """The smallest share of each group that does."""
    found = alike(ladders, 0.0)
    if narrowing.holds(found):
        return found
    found = alike(ladders, 1.0)
    if not narrowing.holds(found):
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        steps = alike(ladders, middle)
        if narrowing.holds(steps):
            high, found = middle, steps
        else:
            low = middle
    return found


def _out_of_reach(
    budgets: Budgets,
    costing: Costing,
    least: Mapping[str, float],
    graph: Graph,
    names: Sequence[str],
    constraints: Constraints,
) -> PlanError:
    """The least that is possible, and what holds it."""
    missed = [kind for kind in costing.limits if not within(least, {kind: costing.limits[kind]})]
    # Each for itself may be in reach, where a group costs nothing of one kind.
    kinds = missed or list(costing.limits)
    reach = ", ".join(f"{shown(kind, least[kind])}" for kind in kinds)
    share = ", ".join(f"{least[kind] / costing.whole[kind]:.4f}" for kind in kinds)
    parts = ["one channel of every group stays"]
    if constraints != Constraints():
        parts = [f"widths are held to {constraints}"]
    stay = [group.name for group in graph if group.name not in names]
    if stay:
        parts.append(
            f"{len(stay)} of {len(graph.groups)} groups keep their size ({listed(stay, 3)})"
        )
    return PlanError(
        f"{budgets.said()}: at least {reach} stay, {share} of the original's, as "
        f"{' and '.join(parts)}; ask for no less, or allow more"
    )
