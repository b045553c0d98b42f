"""The steps of recovery, one function a step: the same in rounds, after strip, and by themselves.

A new step is a name in :mod:`edgeprune.recoveries` and a function in :data:`STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edgeprune.datasets import Dataset
from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.graphs import Graph
from edgeprune.models import Task
from edgeprune.pipeline.reconstructing import reconstructed
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recoveries import NEEDS
from edgeprune.recovery import (
    Growth,
    History,
    Pace,
    Teaching,
    batch_norms,
    check_features,
    distill,
    fine_tune,
    kept_features,
    reestimate_batchnorm,
)

RECOVERY_BATCH = 256
"""Examples per batch where nothing is trained."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How a model recovers.

    Attributes:
        steps: names of :mod:`edgeprune.recoveries`, in order.
        epochs, learning_rate, batch, patience, decay: of the steps that train.
        teaching: of the step "distill".
    """

    steps: tuple[str, ...] = ("finetune",)
    epochs: int = 3
    learning_rate: float = 1e-3
    batch: int = 128
    patience: int | None = None
    decay: Literal["none", "cosine"] = "none"
    teaching: Teaching = field(default_factory=Teaching)


@dataclass(frozen=True)
class Ground:
    """What the steps of one recovery work with.

    Attributes:
        settings: which steps, and how they train.
        calibrate: inputs for the steps that do not train; labels are not read.
        train, validation, task: for those that train.
        dense: the model before pruning, for the steps that need it.
        seed: of a step by its name.
        plan: whose zeros are held, beside those that are there.
        made_by: the plan that made the model of ``dense``, where it is not that of the zeros.
        trace: how a plan's cuts are held; see :func:`edgeprune.recovery.hold`.
        growth: zeros that come on the way of the first step that trains; the steps after it hold
            them.
        checkpoint: folder for the states of the steps that train.
        stripped: channels have left since the features of a teacher were named: of those, the
            layers that kept their width are compared.
        progress: where the work is shown.
    """

    settings: Settings
    calibrate: Dataset
    train: Dataset | None = None
    validation: Dataset | None = None
    task: Task | None = None
    dense: Any = None
    seed: Callable[[str], int] = lambda step: 0
    plan: Plan | None = None
    made_by: Plan | None = None
    trace: Callable[[Any], Graph] | None = None
    growth: Growth | None = None
    checkpoint: Path | None = None
    stripped: bool = False
    progress: Progress = SILENT

    def place(self, number: int, step: str) -> Path | None:
        """Where step ``number`` (from 1) of the recovery keeps its state."""
        return None if self.checkpoint is None else self.checkpoint / f"{number}-{step}"


def recovered(model: Any, ground: Ground) -> tuple[Any, list[Facts]]:
    """The steps in their order; zeros stay. Those that train are left out where there are no
    epochs.

    Returns:
        The new model, and what each step that was done says of it; JSON values.
    """
    told = []
    for number, step in enumerate(ground.settings.steps, 1):
        if NEEDS[step].trains and not ground.settings.epochs:
            continue
        model, facts = STEPS[step](model, ground, number)
        told.append({"method": step, **facts})
        if NEEDS[step].trains and ground.growth is not None:
            ground = replace(ground, plan=ground.growth.plan, growth=None)
    return model, told


def check_steps(steps: Sequence[str], model: Any = None, teaching: Teaching | None = None) -> None:
    """Refuse a name that is no step, and features that ``model``, the original, has not.

    Raises:
        InputError: with the nearest name that is.
    """
    for step in steps:
        if step not in NEEDS:
            near = nearest(str(step), tuple(NEEDS))
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(NEEDS)}"
            raise InputError(f"no recovery step {step!r}; {hint}")
    if teaching is not None and "distill" in steps:
        check_features(model, model, teaching.features)


def idle_steps(model: Any, steps: Sequence[str]) -> tuple[str, ...]:
    """Of recovery steps that have nothing to do on ``model``, a line each."""
    if "batchnorm" not in steps or batch_norms(model):
        return ()
    return ("recover: 'batchnorm' has nothing to do, this model has no batch norms",)


def _finetune(model: Any, ground: Ground, number: int) -> tuple[Any, Facts]:
    settings = ground.settings
    assert ground.train is not None and ground.task is not None
    new, history = fine_tune(
        model,
        ground.train,
        ground.validation,
        task=ground.task,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch,
        patience=settings.patience,
        decay=settings.decay,
        seed=ground.seed("finetune"),
        plan=ground.plan,
        trace=ground.trace,
        growth=ground.growth,
        checkpoint=ground.place(number, "finetune"),
        progress=ground.progress,
    )
    return new, _trained(history, ground)


def _distill(model: Any, ground: Ground, number: int) -> tuple[Any, Facts]:
    settings = ground.settings
    assert ground.train is not None
    teaching = settings.teaching
    if ground.stripped:
        left = kept_features(model, ground.dense, teaching.features)
        teaching = replace(teaching, features=left)
    new, history = distill(
        model,
        ground.dense,
        ground.train,
        ground.validation,
        pace=Pace(
            settings.epochs,
            settings.learning_rate,
            settings.batch,
            settings.patience,
            ground.seed("distill"),
            settings.decay,
        ),
        task=ground.task,
        teaching=teaching,
        plan=ground.plan,
        trace=ground.trace,
        growth=ground.growth,
        checkpoint=ground.place(number, "distill"),
        progress=ground.progress,
    )
    return new, _trained(history, ground)


def _trained(history: History, ground: Ground) -> Facts:
    return {
        "metric": history.metric,
        "before": history.epochs[0].metric,
        "after": history.best_metric,
        "best_epoch": history.best,
        "validation_examples": ground.validation.examples if ground.validation else 0,
    }


def _batchnorm(model: Any, ground: Ground, number: int) -> tuple[Any, Facts]:
    batches = ground.calibrate.batches(RECOVERY_BATCH)
    new = reestimate_batchnorm(model, batches, progress=ground.progress)
    return new, {"batch_norms": len(batch_norms(model))}


def _reconstruct(model: Any, ground: Ground, number: int) -> tuple[Any, Facts]:
    new, report = reconstructed(
        model,
        ground.dense,
        ground.calibrate.batches(RECOVERY_BATCH),
        plan=ground.made_by or ground.plan,
        seed=ground.seed("reconstruct"),
        progress=ground.progress,
    )
    return new, report.facts()


STEPS: Mapping[str, Callable[[Any, Ground, int], tuple[Any, Facts]]] = {
    "finetune": _finetune,
    "batchnorm": _batchnorm,
    "distill": _distill,
    "reconstruct": _reconstruct,
}
"""By the names of :data:`edgeprune.recoveries.NEEDS`: model, ground and the step's place (from 1)
to a new model and facts."""
