"""A recipe cut down to a try: every stage on a few hundred samples and one epoch."""

from __future__ import annotations

from typing import Any

from edgeprune.recipes import Recipe

EXAMPLES = 512


def quick_recipe(recipe: Recipe) -> Recipe:
    """``recipe`` with at most :data:`EXAMPLES` examples a role, two rounds and one epoch each.

    ``max_drop`` is left out: the metric after one epoch on so few says nothing, and every stage is
    to be tried. So is a search, which asks for a budget; a half goes in its place."""
    data: dict[str, Any] = {"calibration_examples": min(recipe.data.calibration_examples, 128)}
    for role in ("train", "calibrate", "evaluate"):
        source = getattr(recipe.data, role)
        if source is not None:
            few = min(source.examples or EXAMPLES, EXAMPLES)
            data[role] = source.model_copy(update={"examples": few})
    tune = recipe.finetune
    half = {} if recipe.prune.search is None else {"search": None, recipe.prune.search: 0.5}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update=data),
            "prune": recipe.prune.model_copy(
                update={
                    "rounds": min(recipe.prune.rounds, 2),
                    "rehearsal_epochs": 1,
                    "max_drop": None,
                    **half,
                }
            ),
            "finetune": tune.model_copy(
                update={"epochs": 1, "last_epochs": min(tune.last_epochs, 1)}
            ),
        }
    )
