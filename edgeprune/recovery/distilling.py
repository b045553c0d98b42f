"""Distillation: a pruned model learns from the dense one, with labels or without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeprune.datasets import Dataset
from edgeprune.graphs import Graph
from edgeprune.models import Task
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery.aims import Pace
from edgeprune.recovery.growth import Growth
from edgeprune.recovery.histories import History
from edgeprune.recovery.teaching import Teaching, by_teacher
from edgeprune.recovery.training import train as trained

ALONE = Teaching()


def distill(
    model: Any,
    dense: Any,
    train: Dataset,
    validation: Dataset | None,
    *,
    pace: Pace,
    task: Task | None = None,
    teaching: Teaching = ALONE,
    plan: Plan | None = None,
    trace: Callable[[Any], Graph] | None = None,
    growth: Growth | None = None,
    checkpoint: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[Any, History]:
    """Train a copy of ``model`` to answer as ``dense`` does; neither is changed.

    Zeros, determinism, checkpoint, result and errors as :func:`edgeprune.recovery.fine_tune`.

    Args:
        model: the pruned model, zeroed or stripped.
        dense: the teacher, in inference mode; any architecture with the same inputs and outputs.
        train: with labels or without.
        validation: likewise; chooses the best epoch, by the task's metric where there are labels
            and a task, else by the loss to the teacher.
        pace: epochs, learning rate and so on.
        task: loss and metric, where there are labels.
        teaching: temperature, mix with the labels, features.
        plan, trace, growth, checkpoint, progress: as in :mod:`edgeprune.recovery.training`.

    Raises:
        ModelError: inputs or outputs are not the teacher's.
        InputError: ``alpha`` without labels or task, features that do not fit.
    """
    aiming = by_teacher(dense, teaching, task, labels=has_labels(train))
    return trained(
        model,
        train,
        validation,
        aiming=aiming,
        pace=pace,
        plan=plan,
        trace=trace,
        growth=growth,
        checkpoint=checkpoint,
        progress=progress,
        title="distill",
    )


def has_labels(data: Dataset) -> bool:
    """Whether the batches of ``data`` hold some."""
    batch = next(iter(data.batches(1)), ())
    return len(batch) > 1 and batch[1] is not None
