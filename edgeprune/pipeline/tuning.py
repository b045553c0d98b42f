"""The steps that train, on what a user has at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from edgeprune.datasets import Dataset
from edgeprune.errors import InputError
from edgeprune.feeding import as_dataset, check_fits, split
from edgeprune.models import Task, make_task
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery import Pace, Teaching, distill, fine_tune, has_labels
from edgeprune.seeds import derived_seed
from edgeprune.surgery import trace


def fine_tuned(
    model: Any,
    data: Any,
    *,
    loss: Any,
    metric: Any,
    epochs: int,
    learning_rate: float,
    batch: int,
    patience: int | None,
    decay: Literal["none", "cosine"],
    validation: float,
    plan: Plan | None,
    seed: int,
    checkpoint: Path | str | None,
    progress: Progress = SILENT,
) -> Any:
    """See :func:`edgeprune.fine_tune`."""
    _check_epochs(epochs)
    task = make_task(loss, metric, None, None, model=model, base=None).told(progress)
    train, held_out = _parted(_opened(data, model), validation, seed)
    return fine_tune(
        model,
        train,
        held_out,
        task=task,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch,
        patience=patience,
        decay=decay,
        seed=seed,
        plan=plan,
        trace=trace,
        checkpoint=_folder(checkpoint),
        progress=progress,
    )[0]


def distilled(
    model: Any,
    dense: Any,
    data: Any,
    *,
    loss: Any,
    metric: Any,
    temperature: float,
    alpha: float,
    features: tuple[str, ...],
    features_weight: float,
    epochs: int,
    learning_rate: float,
    batch: int,
    patience: int | None,
    decay: Literal["none", "cosine"],
    validation: float,
    plan: Plan | None,
    seed: int,
    checkpoint: Path | str | None,
    progress: Progress = SILENT,
) -> Any:
    """See :func:`edgeprune.distill`."""
    _check_epochs(epochs)
    teaching = Teaching(temperature, alpha, features, features_weight)
    pace = Pace(epochs, learning_rate, batch, patience, seed, decay)
    # One array is a pair to nobody else; here it is all that is needed.
    whole = _opened((data,) if hasattr(data, "shape") else data, model)
    train, held_out = _parted(whole, validation, seed)
    return distill(
        model,
        dense,
        train,
        held_out,
        pace=pace,
        task=_task(model, dense, loss, metric, progress) if has_labels(whole) else None,
        teaching=teaching,
        plan=plan,
        trace=trace,
        checkpoint=_folder(checkpoint),
        progress=progress,
    )[0]


def _check_epochs(epochs: int) -> None:
    """A training of none would give the model back, and look like one that gained nothing."""
    if epochs < 1:
        raise InputError(f"epochs = {epochs}: at least 1 is needed")


def _task(model: Any, dense: Any, loss: Any, metric: Any, progress: Progress) -> Task | None:
    """Of the labels, where a loss is given or either model has one; else the teacher judges."""
    for each in (model, dense):
        if loss is not None or getattr(each, "compiled", False):
            return make_task(loss, metric, None, None, model=each, base=None).told(progress)
    if metric is not None:
        raise InputError(f"metric {metric!r} without a loss; give the loss of the labels too")
    return None


def _opened(data: Any, model: Any) -> Dataset:
    found = as_dataset(data, model)
    check_fits(found, model, role="train")
    return found


def _parted(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    """What is trained on, and what judges."""
    if not 0 <= share < 1:
        raise InputError(f"validation = {share}: a share from 0 to below 1 is needed")
    if not share:
        return data, None
    return split(data, share, derived_seed(seed, "validation"))


def _folder(checkpoint: Path | str | None) -> Path | None:
    return None if checkpoint is None else Path(checkpoint)
