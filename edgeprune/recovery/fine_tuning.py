"""Fine-tuning on labels, with the zeros held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeprune.datasets import Dataset
from edgeprune.graphs import Graph
from edgeprune.models import Task
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery.aims import Decay, Pace, by_labels
from edgeprune.recovery.growth import Growth
from edgeprune.recovery.histories import History
from edgeprune.recovery.training import train as trained


def fine_tune(
    model: Any,
    train: Dataset,
    validation: Dataset | None,
    *,
    task: Task,
    epochs: int,
    learning_rate: float,
    batch_size: int = 128,
    patience: int | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    decay: Decay = "none",
    trace: Callable[[Any], Graph] | None = None,
    growth: Growth | None = None,
    checkpoint: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[Any, History]:
    """Train a copy of ``model`` with Adam; ``model`` is left as it was.

    Every kernel element that is exactly zero at the start, or that ``plan`` masks, is zero after
    every step. The order of examples and all random state of an epoch are a function of ``seed``
    and the epoch's number, so a run that was killed and goes on from ``checkpoint`` ends with the
    same bytes as one that was not (same machine, threads and versions).

    Args:
        model: any Keras model; its compile state does not matter.
        train: batches may carry sample weights.
        validation: chooses the best epoch; ``None`` keeps the last.
        task: its loss is trained (with the model's own regularisers), its metric judges.
        epochs: at most; each sees every example once.
        learning_rate: of Adam, > 0.
        batch_size: examples a step; the last step of an epoch may have fewer.
        patience: stop after that many epochs without a better metric; ``None``: never.
        seed: of everything random.
        plan: of this architecture; see :func:`edgeprune.recovery.hold`.
        decay: ``"cosine"`` lets the rate fall to 0 over all steps (Loshchilov and Hutter, "SGDR",
            2017, one cycle); ``"none"`` keeps it.
        trace: as :func:`edgeprune.recovery.hold` has it.
        growth: zeros that come on the way; no epoch before their last competes for the best.
        checkpoint: folder of the state after each epoch; a state of the same inputs is resumed.
        progress: one task of ``epochs`` times the steps of an epoch; a note after each epoch.

    Returns:
        The new model with the weights of the best epoch (the start, number 0, competes too), and
        the history.

    Raises:
        InputError: a number out of range, patience without validation data, nothing trainable,
            several workers, or a ``keras.distribution``.
        DataError: no examples, or shapes that do not fit.
        PlanError: the plan is of another model, or, without ``trace``, its cuts are not carried
            out.
        TrainingError: the loss became NaN or infinite.
        OutputError: the checkpoint cannot be written.
    """
    return trained(
        model,
        train,
        validation,
        aiming=by_labels(task),
        pace=Pace(epochs, learning_rate, batch_size, patience, seed, decay),
        plan=plan,
        trace=trace,
        growth=growth,
        checkpoint=checkpoint,
        progress=progress,
    )
