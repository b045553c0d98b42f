"""The verb: from a model and batches to scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.models import architecture_digest, kernels, make_objective
from edgeprune.progress import SILENT, Progress
from edgeprune.scores import Scores
from edgeprune.scoring.formulas import METHODS
from edgeprune.scoring.statistics import Statistics, gather, values_of


def score_model(
    model: Any,
    batches: Iterable[Any] | None,
    *,
    method: str = "taylor",
    loss: Any = None,
    progress: Progress = SILENT,
) -> Scores:
    """Score every connection of ``model``; its weights are not touched.

    Args:
        model: a built Keras model.
        batches: calibration data, ``(x, y)`` or ``(x, y, sample_weight)``; each batch as given is
            one micro-batch, weighted by its number of examples. ``None`` for ``magnitude``.
        method: a name of :data:`edgeprune.scoring.METHODS`.
        loss: an Objective, or what :func:`edgeprune.models.make_objective` takes; ``None`` takes
            the model's compiled loss. ``magnitude`` needs none.
        progress: told every batch.

    Returns:
        Kernels only (float32, in the weight's shape); ``channels`` is empty: planning sums them.
        ``facts``: loss, examples, batches, microbatch, unit.

    Raises:
        InputError: an unknown method, or no loss.
        DataError: no batches, or shapes that do not fit.
        TrainingError: a loss or gradient that is NaN or infinite.
    """
    if method not in METHODS:
        near = nearest(str(method), METHODS)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(METHODS)}"
        raise InputError(f"no score {method!r}; {hint}")
    formula = METHODS[method]
    facts: dict[str, Any] = {"unit": formula.unit}
    if formula.needs_data:
        if batches is None:
            raise InputError(f"score {method!r} needs calibration data; give batches of (x, y)")
        objective = make_objective(loss, model=model)
        statistics = gather(model, batches, objective, progress=progress)
        facts |= {
            "loss": objective.name,
            "examples": statistics.examples,
            "batches": statistics.batches,
            "microbatch": statistics.microbatch,
        }
    else:
        statistics = Statistics(values_of(model))
    return Scores(
        method=method,
        model=architecture_digest(model),
        weights=formula.score(statistics),
        kinds={name: kernel.kind for name, kernel in kernels(model).items()},
        facts=facts,
    )
