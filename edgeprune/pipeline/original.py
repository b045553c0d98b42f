"""The original on a few examples before anything is trained; ``run`` and ``init`` both try it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.errors import TrainingError

CHECKED = 512
"""Examples of the validation split on which the original is tried."""
BATCH = 256
BYTE = 1 / 255
"""What brings a pixel of 0 … 255 to 0 … 1."""


@dataclass(frozen=True)
class Tried:
    """What the original did.

    Attributes:
        metric: on ``examples`` of the validation split.
        notes: what the user should know.
    """

    metric: float
    examples: int
    notes: tuple[str, ...] = ()


def tried(task: Any, model: Any, validation: Dataset, *, scaled: bool) -> Tried:
    """Judge ``model`` on a slice of ``validation``.

    Args:
        task: loss and metric; both have to fit the labels.
        model: the original.
        validation: of any size.
        scaled: the data's scale was said; otherwise another one is tried on what may be pixels.

    Raises:
        DataError: labels that the loss or the metric cannot be meant for.
        TrainingError: a metric that is no finite number.
    """
    part = validation.subset(np.arange(min(CHECKED, validation.examples)))
    (whole,) = part.batches(part.examples)
    predict = task.model_predict(model)
    task.fits(predict, whole)
    metric = task.evaluate(predict, part.batches(BATCH))
    if not np.isfinite(metric):
        raise TrainingError(
            f"{task.metric_name} of the original model is {metric} on {part.examples} examples "
            "of train: check scaling, labels and the loss's from_logits"
        )
    notes = [] if task.unjudged is None else [task.unjudged]
    if not scaled and _pixels(whole[0]):
        as_bytes = under_byte(task, predict, part.batches(BATCH))
        if task.improves(as_bytes, metric):
            notes.append(
                f"the inputs are whole numbers up to 255, fed as they are: the original's "
                f"{told(task, metric, as_bytes)}; write scale = {BYTE} for every role in [data]"
            )
    if task.at_chance(metric, whole[1]):
        notes.append(
            f"the original's {task.metric_name} is {metric:.4g} on {part.examples} examples of "
            "train, no better than chance: check scaling, label order and from_logits"
        )
    return Tried(metric, part.examples, tuple(notes))


def under_byte(task: Any, predict: Any, batches: Iterable[Any]) -> float:
    """The metric with the inputs of ``batches``, which are not scaled, times 1/255."""

    def scaled(x: Any) -> Any:
        return predict(tuple(map(_byte, x)) if isinstance(x, tuple) else _byte(x))

    return float(task.evaluate(scaled, batches))


def told(task: Any, as_is: float, as_bytes: float) -> str:
    """Both figures, for a person."""
    return f"{task.metric_name} {as_bytes:.4g} with 1/255, {task.metric_name} {as_is:.4g} with 1"


def _byte(array: Any) -> Any:
    return array * np.float32(BYTE)


def _pixels(x: Any) -> bool:
    """Whether inputs, fed as floats, may be pixels that nobody scaled."""
    return all(
        array.dtype.kind == "f"
        and 1 < array.max(initial=0) <= 255
        and array.min(initial=0) >= 0
        and bool((array == np.floor(array)).all())
        for array in (x if isinstance(x, tuple) else (x,))
    )
