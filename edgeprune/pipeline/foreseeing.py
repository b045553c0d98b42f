"""What a run would be refused for: known without a value read, and before anything is exported."""

from __future__ import annotations

from edgeprune.pipeline.inputs import Inputs
from edgeprune.recipes import ROLES

FORESEEN = ("check", "rehearse", "search", "round")
"""Kinds of stages that what is foreseen would end."""


def foresee(inputs: Inputs) -> None:
    """Resolve loss and metric, find the arrays, and plan once by magnitude.

    Raises:
        InputError: an unknown loss or metric, a model or data that is not there, arrays of other
            names or shapes, an exclusion that matches nothing or leaves too little, a request that
            nothing would go for.
    """
    from edgeprune.pipeline.goals import Goal
    from edgeprune.pipeline.recovering import check_steps
    from edgeprune.recovery import Teaching

    recipe, model = inputs.recipe, inputs.model
    _ = inputs.task
    _look(inputs)
    check_steps(recipe.recover, model, Teaching(**recipe.distill.model_dump()))
    if recipe.prune.search is None:  # which finds out itself what can be reached
        Goal.of(recipe.prune).foretold(model)


def _look(inputs: Inputs) -> None:
    from edgeprune.feeding.places import locate, peek

    recipe = inputs.recipe
    for role in ROLES:
        source = getattr(recipe.data, role)
        if source is not None:
            peek(locate(source, recipe.base), role, inputs.model)
