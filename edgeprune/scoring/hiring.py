"""Which gatherers the formulas need; the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from edgeprune.graphs import Graph
from edgeprune.models import Objective, make_objective
from edgeprune.scoring.first_order import READING, FirstOrder
from edgeprune.scoring.gathering import Hands
from edgeprune.scoring.own_labels import Kind, OwnLabels
from edgeprune.scoring.squares import Curvature, Squares
from edgeprune.scoring.statistics import Gatherer


class _Unjudged(Objective):
    def __call__(self, labels: Any, outputs: Any, weights: Any = ()) -> Any:
        return tf.constant(0.0)


@dataclass(frozen=True, eq=False)
class Terms:
    """What is gathered, of whichever copy of the model.

    Attributes:
        objective: the loss; ``None`` where no formula asks for one, or the labels are drawn.
        needs: fields of :class:`~edgeprune.scoring.statistics.Statistics`.
        graph: of the model, for the fields by group.
        seed: of what is drawn.
        own: where labels are drawn, the loss' name and what is drawn for each output.
    """

    objective: Objective | None
    needs: frozenset[str]
    graph: Graph | None
    seed: int
    own: tuple[str, tuple[Kind, ...]] | None = None

    @property
    def judge(self) -> Objective:
        """The loss of data with labels; one that is zero where nobody asks."""
        return self.objective or _Unjudged("none", (), ())


def hired(model: Any, terms: Terms) -> Hands:
    """What gathers, for this copy of the model."""
    objective, own = terms.judge, None
    if terms.own is not None:
        own = OwnLabels(model, terms.own[0], terms.seed, terms.own[1])
        objective = make_objective(own.losses or "mean_squared_error", model=model)
    return Hands(objective, _gatherers(model, objective, terms), own)


def _gatherers(model: Any, objective: Objective, terms: Terms) -> list[Gatherer]:
    needs = terms.needs
    found: list[Gatherer] = []
    if needs & {"gradient", "group_square", *READING}:
        found.append(FirstOrder(model, objective, needs, terms.graph))
    if "square" in needs:
        found.append(Squares(model, objective))
    if "curvature" in needs:
        found.append(Curvature(model, objective, terms.seed))
    return found
