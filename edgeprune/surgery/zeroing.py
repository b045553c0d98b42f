"""A plan carried out on the original shapes: zeros where it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.files import nearest
from edgeprune.graphs import Graph, Group
from edgeprune.models.cloning import rebuilt
from edgeprune.models.digests import architecture_digest
from edgeprune.models.loading import check_values
from edgeprune.models.names import named_weights
from edgeprune.plans import Cut, Mask, Plan, fitting
from edgeprune.surgery.tracing import trace

Array = npt.NDArray[Any]


def zero(model: Any, plan: Plan) -> Any:
    """A new model with zeros where ``plan`` says; ``model`` is left as it was.

    A cut channel loses the weights that read it, which silences it exactly whatever stands
    between, and those that make it. Names, shapes, ``trainable`` flags and compile state stay;
    the optimiser starts fresh.

    Raises:
        PlanError: made for another architecture; a group or weight that is not there, fixed, of
            another shape, or out of range; a group whose channels only leave inexactly.
        ModelError: NaN or infinite weights, or a model that cannot be rebuilt.
    """
    check_plan(model, plan)
    graph = trace(model, inexact=True) if plan.cuts else None
    for name in [cut.group for cut in plan.cuts]:
        if graph is not None and name in graph and graph[name].inexact is not None:
            raise PlanError(
                f"the plan cuts group {name!r}, which zeros do not silence: "
                f"{graph[name].inexact}; take its channels out with cut(model, plan)"
            )
    return rebuilt(model, zeroed(model, plan, graph))


def check_plan(model: Any, plan: Plan) -> None:
    """Whether ``plan`` is for ``model``, and its weights are numbers.

    Raises:
        PlanError: made for another architecture.
        ModelError: NaN or infinite weights.
    """
    found = architecture_digest(model)
    if plan.model != found:
        raise PlanError(
            f"this plan was made for the model {plan.model[:12]}, this one is {found[:12]}; "
            "make the plan for this model"
        )
    check_values(model, f"model {model.name!r}")


def zeroed(model: Any, plan: Plan, graph: Graph | None) -> dict[str, Array]:
    """By name, the weights in which ``plan`` writes zeros; ``graph`` is needed where it cuts.

    Raises:
        PlanError: as :func:`zero`.
    """
    values = _Values(model)
    for cut in plan.cuts:
        assert graph is not None
        _silence(values, fitting(graph, cut), cut)
    for mask in plan.masks:
        _mask(values, mask)
    return values.changed


class _Values:
    """Weights of a model, copied when first changed."""

    def __init__(self, model: Any) -> None:
        self.weights: Mapping[str, Any] = named_weights(model)
        self.changed: dict[str, Array] = {}

    def own(self, weight: str) -> Array:
        if weight not in self.changed:
            self.changed[weight] = np.array(keras.ops.convert_to_numpy(self.weights[weight]))
        return self.changed[weight]


def _silence(values: _Values, group: Group, cut: Cut) -> None:
    for member in group.members:
        if member.role == "follows":
            continue
        member.lead(values.own(member.weight))[np.isin(member.channel, cut.drop)] = 0


def _mask(values: _Values, mask: Mask) -> None:
    if mask.weight not in values.weights:
        near = nearest(mask.weight, values.weights)
        hint = f"; did you mean {near!r}?" if near else ""
        raise PlanError(f"the plan masks weight {mask.weight!r}, which this model has not{hint}")
    value = values.own(mask.weight)
    if mask.keep.shape != value.shape:
        raise PlanError(
            f"the plan's mask of {mask.weight!r} has shape {mask.keep.shape}, the weight "
            f"{value.shape}"
        )
    value[~mask.keep.astype(bool)] = 0
