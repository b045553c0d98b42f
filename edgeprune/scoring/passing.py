"""The verb: from a model and batches to scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, kernels, make_objective, named_weights
from edgeprune.models.objectives import Objective
from edgeprune.progress import SILENT, Progress
from edgeprune.scores import FloatArray, Scores
from edgeprune.scoring.first_order import READING, FirstOrder
from edgeprune.scoring.formulas import METHODS, Formula
from edgeprune.scoring.normalizing import normalized
from edgeprune.scoring.own_labels import OWN, own_labels
from edgeprune.scoring.squares import Curvature, Squares
from edgeprune.scoring.statistics import Gatherer, Statistics, gather, values_of


def score_model(
    model: Any,
    batches: Iterable[Any] | None,
    *,
    method: str = "taylor",
    loss: Any = None,
    graph: Graph | None = None,
    microbatch: int | None = None,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    progress: Progress = SILENT,
) -> Scores:
    """Score every connection (or channel) of ``model`` by one formula; see :func:`score_all`."""
    (scores,) = score_all(
        model, batches, [method], loss=loss, graph=graph, microbatch=microbatch, chunk=chunk,
        normalize=normalize, seed=seed, progress=progress,
    ).values()  # fmt: skip
    return scores


def score_all(
    model: Any,
    batches: Iterable[Any] | None,
    methods: Sequence[str],
    *,
    loss: Any = None,
    graph: Graph | None = None,
    microbatch: int | None = None,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    progress: Progress = SILENT,
) -> dict[str, Scores]:
    """Score ``model`` by several formulas in one pass over the data; no weight is touched.

    Args:
        model: a built Keras model.
        batches: calibration data, ``(x, y)`` or ``(x, y, sample_weight)``, weighted by the number
            of examples; ``None`` where no formula needs data.
        methods: names of :data:`edgeprune.scoring.METHODS`.
        loss: an Objective, or what :func:`edgeprune.models.make_objective` takes; ``None`` takes
            the model's compiled loss; ``"own-kl"`` and ``"own-mse"`` need no labels (see
            :mod:`edgeprune.scoring.own_labels`). Only formulas of the loss need one.
        graph: of ``model``; the formulas of channels need it.
        microbatch: examples over which the gradient is averaged before its absolute value is
            taken; each batch as it was given where absent. Formulas of single examples do not
            depend on it.
        chunk: most examples in memory at once; the scores do not depend on it.
        normalize: see :func:`edgeprune.scoring.normalizing.normalized`.
        seed: of what is drawn (``random``, ``obd``, labels of its own).
        progress: told every batch.

    Returns:
        By method. ``weights`` holds kernels only (float32, in the weight's shape); ``channels`` is
        empty but for formulas of channels, which have no ``weights``. ``facts``: unit, and with
        data loss, examples, batches, microbatch; unscored groups.

    Raises:
        InputError: an unknown method, no loss, data or graph where one is needed.
        DataError: no batches, or shapes that do not fit.
        TrainingError: a loss or gradient that is NaN or infinite.
    """
    formulas = [_formula(method) for method in methods]
    _check(formulas, batches, graph)
    own = loss if _labelled(formulas) and isinstance(loss, str) and loss in OWN else None
    if own is not None:
        assert batches is not None
        loss, batches = own_labels(model, batches, own, seed)
    scorer = Scorer(model, methods, loss=loss, graph=graph, seed=seed, loss_name=own)
    return scorer.scores(
        batches, microbatch=microbatch, chunk=chunk, normalize=normalize, progress=progress
    )


class Scorer:
    """Scores of one model again and again while its values change; compiled once.

    Args:
        model: a built Keras model; its variables are read anew at each score.
        methods, graph, seed: as for :func:`score_all`.
        loss: as there, but for losses without labels (:data:`~edgeprune.scoring.OWN`).
        loss_name: what the facts of the scores call the loss; its own name where absent.

    Raises:
        InputError: an unknown method, or no loss where one is needed.
    """

    def __init__(
        self,
        model: Any,
        methods: Sequence[str],
        *,
        loss: Any = None,
        graph: Graph | None = None,
        seed: int = 0,
        loss_name: str | None = None,
    ) -> None:
        self._model, self._graph, self._seed = model, graph, seed
        self._formulas = [_formula(method) for method in methods]
        needs = frozenset().union(*(formula.needs for formula in self._formulas))
        self._labelled = _labelled(self._formulas)
        self._objective = make_objective(loss, model=model) if self._labelled else UNJUDGED
        self._loss_name = loss_name or self._objective.name
        self._gatherers = _gatherers(model, self._objective, needs, graph, seed) if needs else []
        self._digest = architecture_digest(model)

    def scores(
        self,
        batches: Iterable[Any] | None,
        *,
        microbatch: int | None = None,
        chunk: int | None = None,
        normalize: str = "none",
        progress: Progress = SILENT,
    ) -> dict[str, Scores]:
        """By method, of the values that the model has now; as :func:`score_all`."""
        _check(self._formulas, batches, self._graph)
        found: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        if self._gatherers:
            assert batches is not None
            for gatherer in self._gatherers:
                gatherer.clear()
            found = gather(
                self._model, batches, self._objective, self._gatherers,
                microbatch=microbatch, chunk=chunk, progress=progress,
            )  # fmt: skip
            facts = {name: found[name] for name in ("examples", "batches", "microbatch")}
            if self._labelled:
                facts = {"loss": self._loss_name, **facts}
        statistics = Statistics(
            values_of(self._model),
            graph=self._graph,
            scales=_scales(self._model),
            seed=self._seed,
            **found,
        )
        kinds = {name: kernel.kind for name, kernel in kernels(self._model).items()}
        return {
            formula.name: _scores(formula, statistics, self._digest, kinds, facts, normalize)
            for formula in self._formulas
        }


class _Unjudged(Objective):
    def __call__(self, labels: Any, outputs: Any, weights: Any = ()) -> Any:
        return tf.constant(0.0)


UNJUDGED = _Unjudged("none", (), ())
"""Where no formula asks for a loss."""


def _formula(method: str) -> Formula:
    if method not in METHODS:
        near = nearest(str(method), METHODS)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(METHODS)}"
        raise InputError(f"no score {method!r}; {hint}")
    return METHODS[method]


def _check(formulas: Sequence[Formula], batches: Any, graph: Graph | None) -> None:
    for formula in formulas:
        if formula.needs_data and batches is None:
            raise InputError(
                f"score {formula.name!r} needs calibration data; give batches of (x, y)"
            )
        if formula.of == "channels" and graph is None:
            raise InputError(
                f"score {formula.name!r} is of channels and needs the model's graph; "
                "pass graph=trace(model)"
            )


def _labelled(formulas: Sequence[Formula]) -> bool:
    return any(formula.labels for formula in formulas)


def _gatherers(
    model: Any, objective: Objective, needs: frozenset[str], graph: Graph | None, seed: int
) -> list[Gatherer]:
    found: list[Gatherer] = []
    if needs & {"gradient", "group_square", *READING}:
        found.append(FirstOrder(model, objective, needs, graph))
    if "square" in needs:
        found.append(Squares(model, objective))
    if "curvature" in needs:
        found.append(Curvature(model, objective, seed))
    return found


def _scales(model: Any) -> dict[str, FloatArray]:
    return {
        name: np.asarray(weight, np.float32)
        for name, weight in named_weights(model).items()
        if name.endswith("gamma")
    }


def _scores(
    formula: Formula,
    statistics: Statistics,
    digest: str,
    kinds: Mapping[str, Any],
    facts: Mapping[str, Any],
    normalize: str,
) -> Scores:
    scored = normalized(formula.score(statistics), normalize)
    if not scored:
        raise InputError(
            f"score {formula.name!r} finds nothing to score in this model; choose another method"
        )
    told: dict[str, Any] = {"unit": formula.unit, **(facts if formula.needs else {})}
    if normalize != "none":
        told["normalize"] = normalize
    if formula.of == "channels":
        assert statistics.graph is not None
        names = [group.name for group in statistics.graph.free]
        told["unscored"] = [name for name in names if name not in scored]
        return Scores(formula.name, digest, {}, scored, kinds, told)
    return Scores(formula.name, digest, scored, {}, kinds, told)
