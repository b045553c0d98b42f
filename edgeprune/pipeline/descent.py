"""A model on its way down: silenced in memory as far as a plan goes, and scored there again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeprune.graphs import Graph
from edgeprune.models.cloning import clone
from edgeprune.models.sending import Map
from edgeprune.planning import Budgets, Constraints, Stage, least_macs, rescored
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Part, Progress
from edgeprune.scores import Scores
from edgeprune.scoring import OWN, Scorer, own_labels
from edgeprune.surgery import zero_in_place

LEAST = 0.05
"""Of the MACs: how far down a front goes where no budget is given."""
UNCONSTRAINED = Constraints()


@dataclass
class Descent:
    """Scores of one model as it is after each of some plans, every plan within the next.

    Attributes:
        model: never changed; a copy of it is silenced, once and for all plans.
        graph: of it.
        method: name of the score.
        batches: calibration data, read anew at each score.
        loss: as :func:`edgeprune.scoring.score_model` takes it; labels that the model gives itself
            are those of ``model``, before anything went.
        seed: of what is drawn.
        apart: who takes the shards of the data; see :func:`edgeprune.scoring.score_model`.
        progress: told every score.
    """

    model: Any
    graph: Graph
    method: str
    batches: Iterable[Any] | None
    loss: Any = None
    seed: int = 0
    apart: Map | None = None
    progress: Progress = SILENT
    _copy: Any = field(default=None, init=False)
    _scorer: Scorer | None = field(default=None, init=False)
    _taken: int = field(default=0, init=False)
    _whole: Scores | None = field(default=None, init=False)

    @property
    def silenced(self) -> Any:
        """The model as the last plan left it: to be looked at, as it changes with the next."""
        if self._copy is None:
            self._copy = clone(self.model)
        return self._copy

    def carry_out(self, plan: Plan) -> None:
        """Silence what ``plan`` takes."""
        zero_in_place(self.silenced, plan, self.graph)

    def score(self, plan: Plan | None) -> Scores:
        """Of the model when ``plan`` has been carried out; of the model as it came, taken once,
        without one.

        Raises:
            InputError, DataError, TrainingError: as :func:`edgeprune.scoring.score_model`.
        """
        if plan is None and self._whole is not None:
            return self._whole
        if plan is not None:
            self.carry_out(plan)
        self._taken += 1
        shown = Part(self.progress, f"step {self._taken}") if self._taken > 1 else self.progress
        found = self._scored().scores(self.batches, apart=self.apart, progress=shown)[self.method]
        if plan is None:
            self._whole = found
        return found

    def stages(self, **asked: Any) -> Iterator[Stage]:
        """As :func:`edgeprune.planning.rescored`, by these scores."""
        return rescored(self.score, self.graph, **asked)

    def front(self, points: int, **asked: Any) -> Iterator[tuple[int, Plan]]:
        """Plans along the way, each within the next: the number of the point, from 1, and its
        plan; ``asked`` as for :meth:`stages`."""
        for stage in self.stages(points=points, **asked):
            if stage.point is not None:
                yield stage.point, stage.plan

    def far(
        self, *, exclude: Sequence[str] = (), constraints: Constraints = UNCONSTRAINED
    ) -> Budgets:
        """The budget of a front for which none is given: :data:`LEAST` of the MACs, or the least
        that is possible."""
        whole = self.graph.cost({}).macs
        least = least_macs(self.score(None), self.graph, exclude=exclude, constraints=constraints)
        return Budgets(max_macs=LEAST if least <= LEAST * whole else least)

    def _scored(self) -> Scorer:
        if self._scorer is None:
            loss, name = self.loss, None
            if isinstance(loss, str) and loss in OWN and self.batches is not None:
                name = loss
                loss, drawn = own_labels(self.model, self.batches, loss, self.seed)
                self.batches = list(drawn)
            self._scorer = Scorer(
                self.silenced,
                [self.method],
                loss=loss,
                graph=self.graph,
                seed=self.seed,
                loss_name=name,
            )
        return self._scorer
