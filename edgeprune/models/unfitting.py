"""What a plan for another model finds missing in this one, in words."""

from __future__ import annotations

from typing import Any

from edgeprune.models.names import named_weights
from edgeprune.plans import Plan

SAME = (
    "its masks fit, so what differs are layers, their connections or their settings, such as an "
    "activation"
)
NO_MASKS = "its layers, their connections or their settings differ"


def difference(plan: Plan, model: Any) -> str:
    """What tells ``model`` from the one that ``plan`` was made for, as far as the plan knows it: a
    weight that is not there or has another shape, else that all fit."""
    shapes = {name: tuple(weight.shape) for name, weight in named_weights(model).items()}
    for mask in plan.masks:
        if mask.weight not in shapes:
            return f"it has no weight {mask.weight!r}"
        if shapes[mask.weight] != mask.keep.shape:
            return (
                f"its {mask.weight!r} is of shape {shapes[mask.weight]}, the plan's of "
                f"{mask.keep.shape}"
            )
    return SAME if plan.masks else NO_MASKS
