"""What a recipe leaves to its targets: the multiple of widths, and the latency table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeprune.errors import RecipeError
from edgeprune.recipes import Recipe
from edgeprune.targets import LatencyTable, Target, common_multiple


def is_open(recipe: Recipe) -> bool:
    """Whether the targets' profiles decide anything."""
    return _multiple_open(recipe) or _latency_open(recipe)


def _multiple_open(recipe: Recipe) -> bool:
    return recipe.prune.cuts and recipe.prune.multiple is None


def _latency_open(recipe: Recipe) -> bool:
    return recipe.prune.max_latency_ms is not None and recipe.prune.latency is None


def rounded(recipe: Recipe, targets: Sequence[Target]) -> Recipe:
    """``recipe`` with what is open said: the least common multiple of ``targets``, as one model is
    made for all of them, and the latency table of the one that has any.

    Raises:
        RecipeError: a latency is asked for, and none of ``targets`` has a table, or several have.
    """
    said: dict[str, Any] = {}
    if _multiple_open(recipe):
        said["multiple"] = common_multiple(targets)
    if _latency_open(recipe):
        said["latency"] = _table(recipe, targets)
    prune = recipe.prune.model_copy(update=said)
    return recipe.model_copy(update={"prune": prune}) if said else recipe


def _table(recipe: Recipe, targets: Sequence[Target]) -> LatencyTable:
    found = {target.name: target.latency for target in targets if target.latency is not None}
    if len(found) != 1:
        have = f"{' and '.join(found)} have one each" if found else "no target's profile has one"
        raise RecipeError(
            [
                f"{recipe.name}: 'prune.max_latency_ms' needs one latency table, and {have}; write "
                "[prune.latency] with groups, milliseconds per kept channel"
            ]
        )
    return next(iter(found.values()))


def told(recipe: Recipe, targets: Sequence[Target]) -> str | None:
    """One line for who wrote the open ``recipe``: what its targets make of it."""
    multiple = rounded(recipe, targets).prune.multiple
    if not _multiple_open(recipe) or multiple == 1:
        return None
    names = ", ".join(target.name for target in targets if target.channel_multiple > 1)
    return f"channels are cut to multiples of {multiple}, for {names}; prune.multiple overrides it"
