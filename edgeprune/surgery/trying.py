"""One copy of a model in which plans are tried, one after another, by writing zeros."""

from __future__ import annotations

from typing import Any

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, check_values, clone, named_weights
from edgeprune.models.forward import predictor
from edgeprune.plans import Plan
from edgeprune.surgery.constants import arrays
from edgeprune.surgery.zeroing import Zeroed


class Trial:
    """Silences in place: the copy is built, and its forward pass compiled, once.

    Args:
        model: left as it is.
        graph: of it; plans with cuts need it. Groups whose channels leave inexactly are silenced
            by zeros too, as :func:`edgeprune.surgery.zeroing.nearly_zero` does.

    Raises:
        ModelError: a model that cannot be rebuilt, or NaN or infinite weights.
    """

    def __init__(self, model: Any, graph: Graph | None = None) -> None:
        check_values(model, f"model {model.name!r}")
        self._digest = architecture_digest(model)
        self._graph = graph
        self._copy = clone(model)
        self._weights = arrays(model)
        self._variables = named_weights(self._copy)
        self._written: frozenset[str] = frozenset()
        self.predict = predictor(self._copy)
        """``x -> outputs`` of the copy as it is now."""

    def silence(self, plan: Plan) -> None:
        """Make the copy the model with zeros where ``plan`` says, whatever was tried before.

        Raises:
            PlanError: made for another architecture, or it does not fit.
        """
        if plan.model != self._digest:
            raise PlanError(
                f"this plan was made for the model {plan.model[:12]}, this one is "
                f"{self._digest[:12]}; make the plan for this model"
            )
        zeroed = Zeroed(self._weights, plan, self._graph)
        for name in self._written - zeroed.changed:
            self._variables[name].assign(self._weights[name])
        for name in zeroed.changed:
            self._variables[name].assign(zeroed[name])
        self._written = zeroed.changed
