"""Why a plan takes less than was asked, or nothing; why a group keeps its size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeprune.errors import PlanError
from edgeprune.files import listed
from edgeprune.graphs import Graph, Group
from edgeprune.patterns import Pattern
from edgeprune.planning.budgets import written
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.cutting import is_excluded
from edgeprune.planning.evening import in_runs
from edgeprune.planning.excluding import excluded
from edgeprune.plans import Plan
from edgeprune.scores import Scores

UNCUT = "its channels score higher than those that go"
UNSCORED = "no scored weight makes or reads it"
UNEVEN = "no part of it fills the runs of a grouped convolution alike"
EXCLUDED = "excluded"
WHOLE = "none of its channels is dead: single weights were asked for"
SHOWN = 6
"""Names in a line; of more the rest is counted."""


def check_something(plan: Plan, scores: Scores, graph: Graph | None = None) -> None:
    """That ``plan`` takes anything at all.

    Args:
        plan: made of ``scores``.
        scores: of the model.
        graph: of the model; needed where channels were asked for.

    Raises:
        PlanError: no channel and no weight goes, with the reason and what to do.
    """
    if not plan.cuts and not plan.masks:
        reason, hint = _nothing(plan.why, scores, graph)
        raise PlanError(f"nothing of this model would go: {reason}; {hint}")


def _nothing(why: Mapping[str, Any], scores: Scores, graph: Graph | None) -> tuple[str, str]:
    asked = why["asked"]
    if not any(asked.values()):
        return f"{_said(asked)} asks for none", "ask for more"
    if "channels" in asked and graph is not None:
        groups = _cuttable(graph, why)
        bounds = _constraints(why)
        narrow = [group for group in groups if _stuck(group, bounds)]
        if len(narrow) == len(groups):
            shown = listed([f"{group.name} {group.size}" for group in groups], SHOWN)
            return (
                f"with {bounds} no group has a width below its own ({shown})",
                "allow more widths, such as a smaller multiple",
            )
        free = sum(group.size for group in groups)
        return f"{_said(asked)} of {free} channels rounds to none", "ask for more"
    if "pattern" in asked:
        fits = [name for name, axis in _axes(asked["pattern"], scores).items() if axis is not None]
        if not fits:
            return (
                f"pattern {asked['pattern']} is for kernels that sum over an input axis, and of "
                f"these there are none ({listed(list(scores.weights), SHOWN)})",
                "ask for a sparsity",
            )
        if not why["exclude"]:
            return f"no kernel has more than {asked['pattern']} along its axis", "ask for more"
    if "threshold" in asked:
        lowest = _lowest(scores, why["exclude"], graph)
        if lowest is not None and lowest >= asked["threshold"]:
            return (
                f"no score of {scores.method!r} is below {_said(asked)}, the lowest is "
                f"{lowest:.6g}",
                "ask for more, by a higher threshold",
            )
    if why["exclude"]:
        return "nothing but what is excluded could go", "exclude less"
    return "one connection of every weight stays, and there are no more", "ask for channels"


def shortfall(plan: Plan, graph: Graph, share: float) -> str | None:
    """Why other channels leave than the ``share`` that was asked for; ``None`` where it is met to
    the channel, or rounding to whole channels is all there is to say.

    Args:
        plan: with ``channels`` in ``why["reached"]``.
        graph: of its model.
        share: of the channels of the groups that may be cut.
    """
    reached = plan.why["reached"]
    if abs(reached["dropped"] - share * reached["free"]) < 1:
        return None
    parts = []
    bounds = _constraints(plan.why)
    if bounds != Constraints():
        parts.append(f"widths are held to {bounds}")
    if any(in_runs(graph, group) for group in _cuttable(graph, plan.why)):
        parts.append("channels of grouped convolutions leave in bundles that keep them even")
    return "; ".join(parts) or None


def staying(graph: Graph, plan: Plan) -> dict[str, str]:
    """By group of which the plan cuts no channel, the reason."""
    cut = {one.group for one in plan.cuts if one.drop.size}
    out = _excluded(graph, plan.why)
    bounds = _constraints(plan.why)
    found = {}
    for group in graph:
        if group.name in cut:
            continue
        if group.fixed is not None:
            found[group.name] = group.fixed
        elif is_excluded(group, out):
            found[group.name] = EXCLUDED
        elif group.name in plan.why.get("unscored", ()):
            found[group.name] = UNSCORED
        elif group.name in plan.why.get("uneven", ()):
            found[group.name] = UNEVEN
        elif not plan.why["asked"].keys() - {"sparsity", "threshold", "pattern"}:
            found[group.name] = WHOLE
        elif _stuck(group, bounds):
            found[group.name] = f"no width below its own with {bounds}"
        else:
            found[group.name] = UNCUT
    return found


def _said(asked: Mapping[str, Any]) -> str:
    return " and ".join(
        f"{name} = {value}" if isinstance(value, str) else f"{name} = {written(value)}"
        for name, value in asked.items()
    )


def _axes(pattern: str, scores: Scores) -> dict[str, int | None]:
    """By kernel, the axis along which the pattern goes."""
    found = Pattern.parse(pattern)
    return {
        name: found.along(scores.kinds.get(name), value.shape)
        for name, value in scores.weights.items()
    }


def _constraints(why: Mapping[str, Any]) -> Constraints:
    return Constraints(**why.get("constraints", {}))


def _stuck(group: Group, bounds: Constraints) -> bool:
    return not bounds.fit(group.size, np.arange(group.size)).any()


def _excluded(graph: Graph, why: Mapping[str, Any]) -> frozenset[str]:
    return excluded(why["exclude"], graph.weights, [group.name for group in graph])


def _cuttable(graph: Graph, why: Mapping[str, Any]) -> list[Group]:
    """The groups whose channels the share was taken of."""
    out = _excluded(graph, why)
    left_out = {*why.get("unscored", ()), *why.get("uneven", ())}
    return [g for g in graph.free if g.name not in left_out and not is_excluded(g, out)]


def _lowest(scores: Scores, exclude: list[str], graph: Graph | None) -> float | None:
    names = [group.name for group in graph] if graph else ()
    out = excluded(exclude, {**scores.weights, **(graph.weights if graph else {})}, names)
    found = [float(value.min()) for name, value in scores.weights.items() if name not in out]
    return min(found, default=None)
