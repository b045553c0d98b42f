"""What a run would be refused for: known without a value read, and before anything is exported."""

from __future__ import annotations

from typing import Any

from edgeprune.errors import PlanError
from edgeprune.pipeline.inputs import Inputs
from edgeprune.planning import Constraints
from edgeprune.recipes import ROLES, Prune

FORESEEN = ("check", "rehearse", "round")
"""Kinds of stages that what is foreseen would end."""


def foresee(inputs: Inputs) -> None:
    """Resolve loss and metric, find the arrays, and plan once by magnitude.

    Raises:
        InputError: an unknown loss or metric, a model or data that is not there, arrays of other
            names or shapes, an exclusion that matches nothing or leaves too little.
    """
    recipe, model = inputs.recipe, inputs.model
    _ = inputs.task
    _look(inputs)
    _plan(recipe.prune, model)


def _look(inputs: Inputs) -> None:
    from edgeprune.feeding.places import locate, peek

    recipe = inputs.recipe
    for role in ROLES:
        source = getattr(recipe.data, role)
        if source is not None:
            peek(locate(source, recipe.base), role, inputs.model)


def _plan(prune: Prune, model: Any) -> None:
    from edgeprune.pipeline.goals import Goal

    goal = Goal.of(prune)
    plan = goal.foretold(model)
    if not plan.masks and not plan.cuts:
        hint = "exclude less, or ask for more" if prune.exclude else "ask for more"
        if prune.channels is not None and goal.constraints != Constraints():
            hint += f", or set other constraints than {goal.constraints}"
        raise PlanError(f"prune: nothing of this model would go; {hint}")
