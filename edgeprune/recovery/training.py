"""Training with the zeros held: the same bytes whether it ran through or was killed between.

One loop for every aim: labels, a teacher, or both. Sparsity may grow on the way, see
:mod:`edgeprune.recovery.growth`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError, InputError
from edgeprune.files import digest_of
from edgeprune.graphs import Graph
from edgeprune.models import clone, values_digest
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery.aims import Aiming, Pace
from edgeprune.recovery.checkpoints import Checkpoint, assign
from edgeprune.recovery.distribution import check_distribution
from edgeprune.recovery.growth import Growth
from edgeprune.recovery.histories import History
from edgeprune.recovery.mirroring import Devices
from edgeprune.recovery.running import Run
from edgeprune.recovery.zeros import exact_zeros, merged, planned_zeros, write_zeros


def train(
    model: Any,
    data: Dataset,
    validation: Dataset | None,
    *,
    aiming: Aiming,
    pace: Pace,
    plan: Plan | None = None,
    trace: Callable[[Any], Graph] | None = None,
    growth: Growth | None = None,
    checkpoint: Path | None = None,
    progress: Progress = SILENT,
    title: str = "fine-tune",
) -> tuple[Any, History]:
    """Train a copy of ``model`` with Adam; ``model`` is left as it was.

    Arguments, result and errors as :func:`edgeprune.recovery.fine_tune` has them; ``aiming`` in
    place of the task, ``growth`` where zeros are to grow on the way (then no epoch before their
    last competes for the best), ``title`` for what is shown.
    """
    check_distribution()
    if pace.patience is not None and validation is None:
        raise InputError("patience needs validation data to judge by; give some or leave it out")
    if not data.examples:
        raise DataError(f"{data.name}: no examples to train on")
    key = digest_of(
        {
            "model": values_digest(model),
            "train": data.digest,
            "validation": validation.digest if validation else None,
            "plan": plan.digest() if plan else None,
            "aim": aiming.facts,
            "numbers": pace.facts(),
            "growth": growth.facts() if growth else None,
            "versions": [keras.__version__, tf.__version__],
        }
    )
    devices = Devices()
    store = Checkpoint(checkpoint, key) if checkpoint is not None else None
    with devices.scope():
        new = clone(model)
        run = _begun(new, data, aiming, pace, plan, trace, growth, devices)
        history = run.through(data, validation, store, progress, title)
    # Never the one that was trained: its variables may be on several devices.
    if devices.count > 1:
        new = clone(model)
    assign(new.variables, run.best)
    return new, history


def _begun(
    new: Any,
    data: Dataset,
    aiming: Aiming,
    pace: Pace,
    plan: Plan | None,
    trace: Callable[[Any], Graph] | None,
    growth: Growth | None,
    devices: Devices,
) -> Run:
    """The run of a copy, its zeros written."""
    if not new.trainable_variables:
        raise InputError("nothing of this model is trainable; set layer.trainable = True")
    held = exact_zeros(new)
    if plan is not None:
        traced = trace(new) if trace is not None and plan.cuts else None
        held = merged(held, planned_zeros(new, plan, traced))
        write_zeros(held)
    steps = math.ceil(data.examples / pace.batch_size)
    if growth is not None:
        held = growth.begin(new, held, pace.epochs * steps)
    return Run(new, aiming.at(new), pace, held, growth, steps, devices)
