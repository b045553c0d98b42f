"""What a run would be refused for: known without a value read, and before anything is exported."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeprune.errors import PlanError
from edgeprune.pipeline.inputs import Inputs
from edgeprune.recipes import ROLES, Prune

FORESEEN = ("check", "rehearse", "round")
"""Kinds of stages that what is foreseen would end."""
ALL = float(np.finfo(np.float32).max) / 2
"""A threshold that every score is below."""


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
    """How much can go is no matter of the score: but for a hybrid, whose channels decide how many
    single weights are left, and for a threshold, where all that may go is asked for."""
    from edgeprune.planning import make_plan
    from edgeprune.scoring import score_model
    from edgeprune.surgery import trace

    asked: dict[str, Any] = {"sparsity": prune.sparsity}
    if prune.channels is not None:
        asked = {"channels": prune.channels}
    elif prune.threshold is not None:
        asked = {"threshold": ALL}
    plan = make_plan(
        score_model(model, None, method="magnitude"),
        trace(model) if "channels" in asked else None,
        **asked,
        pattern=prune.pattern,
        scope=prune.scope,
        exclude=prune.exclude,
    )
    if not plan.masks and not plan.cuts:
        hint = "exclude less, or ask for more" if prune.exclude else "ask for more"
        raise PlanError(f"prune: nothing of this model would go; {hint}")
