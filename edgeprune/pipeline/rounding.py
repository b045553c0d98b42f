"""Which multiple the widths of a recipe's model are rounded to: its own, or its targets'."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.recipes import Recipe
from edgeprune.targets import Target, common_multiple


def is_open(recipe: Recipe) -> bool:
    """Whether the targets' profiles decide."""
    prune = recipe.prune
    return prune.multiple is None and (prune.channels is not None or prune.search == "channels")


def rounded(recipe: Recipe, targets: Sequence[Target]) -> Recipe:
    """``recipe`` with the multiple said: where it is open, the least common one of ``targets``,
    as one model is made for all of them."""
    if not is_open(recipe):
        return recipe
    multiple = common_multiple(targets)
    prune = recipe.prune.model_copy(update={"multiple": multiple})
    return recipe.model_copy(update={"prune": prune})


def told(recipe: Recipe, targets: Sequence[Target]) -> str | None:
    """One line for who wrote the open ``recipe``: what its targets make of it."""
    multiple = rounded(recipe, targets).prune.multiple
    if not is_open(recipe) or multiple == 1:
        return None
    names = ", ".join(target.name for target in targets if target.channel_multiple > 1)
    return f"channels are cut to multiples of {multiple}, for {names}; prune.multiple overrides it"
