"""The verb: from a model and batches to scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, kernels, make_objective, named_weights
from edgeprune.models.forward import parts_of
from edgeprune.models.sending import Map
from edgeprune.progress import SILENT, Progress
from edgeprune.scores import FloatArray, Scores
from edgeprune.scoring.formulas import METHODS, Formula
from edgeprune.scoring.gathering import Hands, gather
from edgeprune.scoring.hiring import Terms, hired
from edgeprune.scoring.judging import check_reduced
from edgeprune.scoring.normalizing import normalized
from edgeprune.scoring.own_labels import OWN, Kind, kinds_of
from edgeprune.scoring.shards import gather_apart
from edgeprune.scoring.statistics import Statistics, values_of


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
    apart: Map | None = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score every connection (or channel) of ``model`` by one formula; see :func:`score_all`."""
    (scores,) = score_all(
        model, batches, [method], loss=loss, graph=graph, microbatch=microbatch, chunk=chunk,
        normalize=normalize, seed=seed, apart=apart, progress=progress,
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
    apart: Map | None = None,
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
        chunk: most examples that go through the model at once; the scores do not depend on it.
        normalize: see :func:`edgeprune.scoring.normalizing.normalized`.
        seed: of what is drawn (``random``, ``obd``, labels of its own).
        apart: takes the shards of the data to other processes (an executor's ``map``); the scores
            are the same bits. One after the other in this one where absent.
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
    scorer = Scorer(model, methods, loss=loss, graph=graph, seed=seed)
    return scorer.scores(
        batches, microbatch=microbatch, chunk=chunk, normalize=normalize, apart=apart,
        progress=progress,
    )  # fmt: skip


class Scorer:
    """Scores of one model again and again while its values change; compiled once.

    Args:
        model: a built Keras model; its variables are read anew at each score.
        methods, loss, graph, seed: as for :func:`score_all`.
        loss_name: what the facts of the scores call the loss; its own name where absent.

    Raises:
        InputError: an unknown method, no loss where one is needed, or one without a reduction.
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
        self._model, self._loss_name = model, loss_name
        self._formulas = [_formula(method) for method in methods]
        needs = frozenset().union(*(formula.needs for formula in self._formulas))
        self._labelled = any(formula.labels for formula in self._formulas)
        self._own = loss if self._labelled and isinstance(loss, str) and loss in OWN else None
        objective = None
        if self._labelled and self._own is None:
            objective = make_objective(loss, model=model)
            check_reduced(objective)
        self._terms = Terms(objective, needs, graph, seed)
        self._hands: Hands | None = None
        self._digest = architecture_digest(model)

    def scores(
        self,
        batches: Iterable[Any] | None,
        *,
        microbatch: int | None = None,
        chunk: int | None = None,
        normalize: str = "none",
        apart: Map | None = None,
        progress: Progress = SILENT,
    ) -> dict[str, Scores]:
        """By method, of the values that the model has now; as :func:`score_all`."""
        terms = self._terms
        _check(self._formulas, batches, terms.graph)
        found: dict[str, Any] = {}
        facts: dict[str, Any] = {}
        if terms.needs:
            assert batches is not None
            if self._own is not None and terms.own is None:
                kinds, batches = _looked_at(self._model, batches, self._own)
                terms = self._terms = replace(terms, own=(self._own, kinds))
            how: dict[str, Any] = {"microbatch": microbatch, "chunk": chunk, "progress": progress}
            if self._hands is None:
                self._hands = hired(self._model, terms)
            if apart is None:
                found = gather(self._model, batches, self._hands, **how)
            else:
                found = gather_apart(self._model, batches, terms, self._hands, apart, **how)
            facts = {name: found[name] for name in ("examples", "batches", "microbatch")}
            if self._labelled:
                facts = {"loss": self._loss_name or self._own or terms.judge.name, **facts}
        statistics = Statistics(
            values_of(self._model),
            graph=terms.graph,
            scales=_scales(self._model),
            seed=terms.seed,
            **found,
        )
        kinds_of_kernels = {name: kernel.kind for name, kernel in kernels(self._model).items()}
        return {
            formula.name: _scores(
                formula, statistics, self._digest, kinds_of_kernels, facts, normalize
            )
            for formula in self._formulas
        }


def _looked_at(
    model: Any, batches: Iterable[Any], loss: str
) -> tuple[tuple[Kind, ...], Iterable[Any]]:
    """What is drawn for each output, and the batches, of which the first was looked at."""
    waiting = iter(batches)
    first = next(waiting, None)
    if first is None:
        return (), batches
    if waiting is batches:
        batches = itertools.chain([first], waiting)
    return kinds_of(model, parts_of(first, model), loss), batches


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
