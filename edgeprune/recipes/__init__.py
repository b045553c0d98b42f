"""The recipe of a run, ``edgeprune.toml``: strict, every fault a line. Pure data."""

from edgeprune.gates import Gates
from edgeprune.recipes.pruning import BUDGETS, BY_BUDGET, BY_RAMP, Pattern, Prune, Score
from edgeprune.recipes.recipe import ROLES, Recipe, matches
from edgeprune.recipes.sections import (
    Data,
    DataSource,
    Export,
    Finetune,
    Format,
    ModelSource,
    TargetSection,
    TaskSection,
    is_function,
)

__all__ = [
    "BUDGETS",
    "BY_BUDGET",
    "BY_RAMP",
    "ROLES",
    "Data",
    "DataSource",
    "Export",
    "Finetune",
    "Format",
    "Gates",
    "ModelSource",
    "Pattern",
    "Prune",
    "Recipe",
    "Score",
    "TargetSection",
    "TaskSection",
    "is_function",
    "matches",
]
