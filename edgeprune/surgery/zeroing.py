"""A plan carried out on the original shapes: zeros where it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.files import nearest
from edgeprune.graphs import Graph, Member
from edgeprune.models.cloning import rebuilt
from edgeprune.models.digests import architecture_digest
from edgeprune.models.loading import check_values
from edgeprune.models.names import named_weights
from edgeprune.models.unfitting import difference
from edgeprune.plans import Mask, Plan, fitting
from edgeprune.surgery.constants import arrays
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
                f"{graph[name].inexact}; 'edgeprune prune MODEL --data FILE --channels X --inexact "
                "-o FILE' cuts and recovers such groups; in Python cut(model, plan) takes them out"
            )
    return rebuilt(model, Zeroed(arrays(model), plan, graph))


def nearly_zero(model: Any, plan: Plan) -> Any:
    """:func:`zero` also where zeros do not silence: on the way to an inexact cut the model learns
    with zeros in place of the channels that leave in the end.

    Raises:
        PlanError: as :func:`zero`, but for inexact groups.
        ModelError: as :func:`zero`.
    """
    check_plan(model, plan)
    graph = trace(model, inexact=True) if plan.cuts else None
    return rebuilt(model, Zeroed(arrays(model), plan, graph))


def zero_in_place(model: Any, plan: Plan, graph: Graph) -> None:
    """Write the zeros of ``plan`` into ``model`` itself: for a copy that is only looked at.

    Args:
        model: whose weights change; compiled functions of it stay good.
        plan: for it.
        graph: of it, traced by the caller.

    Raises:
        PlanError: as :func:`nearly_zero`.
    """
    zeroed = Zeroed(arrays(model), plan, graph)
    for name, variable in named_weights(model).items():
        if name in zeroed.changed:
            variable.assign(zeroed[name])


def check_plan(model: Any, plan: Plan) -> None:
    """Whether ``plan`` is for ``model``, and its weights are numbers.

    Raises:
        PlanError: made for another architecture.
        ModelError: NaN or infinite weights.
    """
    found = architecture_digest(model)
    if plan.model != found:
        raise PlanError(
            f"this plan was made for the model {plan.model[:12]}, this one is {found[:12]}: "
            f"{difference(plan, model)}; make the plan for this model"
        )
    check_values(model, f"model {model.name!r}")


class Zeroed(Mapping[str, Array]):
    """The weights of a model with zeros where a plan says, by name; each is made when it is asked
    for, so that no copy of all is held.

    Args:
        weights: as they are.
        plan: for the model that has them.
        graph: of that model; needed where the plan cuts.

    Raises:
        PlanError: as :func:`zero`.
    """

    def __init__(self, weights: Mapping[str, Array], plan: Plan, graph: Graph | None) -> None:
        self._weights = weights
        self._cut: dict[str, list[tuple[Member, Array]]] = {}
        for cut in plan.cuts:
            assert graph is not None
            for member in fitting(graph, cut).members:
                if member.role != "follows":
                    self._cut.setdefault(member.weight, []).append((member, cut.drop))
        self._masks = {mask.weight: mask.keep for mask in map(self._fitting, plan.masks)}
        self._last: tuple[str, Array] | None = None

    @property
    def changed(self) -> frozenset[str]:
        """Names of the weights that get zeros."""
        return frozenset({*self._cut, *self._masks})

    def _fitting(self, mask: Mask) -> Mask:
        if mask.weight not in self._weights:
            near = nearest(mask.weight, self._weights)
            hint = f"; did you mean {near!r}?" if near else ""
            raise PlanError(
                f"the plan masks weight {mask.weight!r}, which this model has not{hint}"
            )
        shape = self._weights[mask.weight].shape
        if mask.keep.shape != shape:
            raise PlanError(
                f"the plan's mask of {mask.weight!r} has shape {mask.keep.shape}, the weight "
                f"{shape}"
            )
        return mask

    def __getitem__(self, name: str) -> Array:
        if name not in self._cut and name not in self._masks:
            return self._weights[name]
        if self._last is None or self._last[0] != name:
            self._last = None  # before the next one is made, so that only one is held
            value = np.array(self._weights[name])
            for member, drop in self._cut.get(name, ()):
                member.lead(value)[np.isin(member.channel, drop)] = 0
            if name in self._masks:
                value[~self._masks[name].astype(bool)] = 0
            self._last = (name, value)
        return self._last[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)
