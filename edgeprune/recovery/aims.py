"""What a training strives for, and what it is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeprune.errors import InputError
from edgeprune.models import Task
from edgeprune.models.forward import outputs_of

Decay = Literal["none", "cosine"]


@dataclass(frozen=True)
class Aim:
    """Of one model in training.

    Attributes:
        word: of the training, in messages.
        name: of the loss, in messages.
        loss: ``(inputs, labels, weights)``, flat tuples of tensors, to a scalar tensor; runs the
            model in training mode.
        metric: name of what judges.
        judge: that of the model now, over batches.
        improves: whether a new metric is better than an old one (``None``: there was none).
        higher_is_better: its direction.
    """

    word: str
    name: str
    loss: Callable[[Any, Any, Any], Any]
    metric: str
    judge: Callable[[Iterable[Any]], float]
    improves: Callable[[float, float | None], bool]
    higher_is_better: bool


@dataclass(frozen=True)
class Aiming:
    """An aim before its model is there.

    Attributes:
        at: from the model in training to its aim.
        facts: JSON values that tell this aim from others; part of a checkpoint's key.
    """

    at: Callable[[Any], Aim]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pace:
    """How a training goes.

    Attributes:
        epochs: at most; each sees every example once.
        learning_rate: of Adam, > 0.
        batch_size: examples a step; the last step of an epoch may have fewer.
        patience: stop after that many epochs without a better metric; ``None``: never.
        seed: of everything random.
        decay: ``"cosine"`` lets the rate fall to 0 over all steps (Loshchilov and Hutter, "SGDR",
            2017, one cycle); ``"none"`` keeps it.

    Raises:
        InputError: a number out of range.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    patience: int | None = None
    seed: int = 0
    decay: Decay = "none"

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError(f"epochs = {self.epochs}: 0 or more are needed")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(
                f"learning_rate = {self.learning_rate}: a finite number above 0 is needed"
            )
        if self.batch_size < 1:
            raise InputError(f"batch_size = {self.batch_size}: at least 1 is needed")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience = {self.patience}: at least 1 epoch is needed")
        if self.decay not in ("none", "cosine"):
            raise InputError(f"decay = {self.decay!r}: 'none' or 'cosine'")

    def facts(self) -> list[Any]:
        """All numbers, for a key."""
        return [
            self.epochs, self.learning_rate, self.batch_size, self.patience, self.seed, self.decay,
        ]  # fmt: skip


def by_labels(task: Task) -> Aiming:
    """The task's loss on the labels, judged by its metric."""

    def at(model: Any) -> Aim:
        predict = task.model_predict(model)

        def loss(inputs: Any, labels: Any, weights: Any) -> Any:
            return task.loss(labels, outputs_of(model, inputs, training=True), weights)

        return Aim(
            word="fine-tuning",
            name=task.loss.name,
            loss=loss,
            metric=task.metric_name,
            judge=lambda batches: task.evaluate(predict, batches),
            improves=task.improves,
            higher_is_better=task.higher_is_better,
        )

    return Aiming(at, task.facts())
