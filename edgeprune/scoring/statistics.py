"""What the formulas need, gathered in one pass; it writes no weight."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.errors import DataError, TrainingError
from edgeprune.models import Objective, kernels
from edgeprune.models.forward import FreeBatch, examples_of, outputs_of, parts_of
from edgeprune.progress import SILENT, Progress

CAUSES = "usual causes: inputs not scaled, labels outside the outputs, from_logits the wrong way"


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of one model on one calibration set.

    Attributes:
        values: by name of the kernel, its value; float32.
        gradient: by name of the kernel, the mean over micro-batches, weighted by examples, of
            |∂E/∂w|, E the mean loss of the micro-batch; float64; empty without data.
        examples: that were seen.
        batches: micro-batches that were seen.
        microbatch: examples of the largest of them.
    """

    values: Mapping[str, npt.NDArray[np.float32]]
    gradient: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    examples: int = 0
    batches: int = 0
    microbatch: int = 0


def values_of(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The model's kernels by name, as float32."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(kernel.variable), np.float32)
        for name, kernel in kernels(model).items()
    }


def gather(
    model: Any, batches: Iterable[Any], objective: Objective, *, progress: Progress = SILENT
) -> Statistics:
    """One pass over ``batches``, each of them one micro-batch, in inference mode.

    Sums are float64 and go over the batches in order, so the result does not depend on anything
    but model and batches. Memory: one gradient and one float64 sum per kernel.

    Raises:
        DataError: no batches, no labels, or shapes that do not fit.
        TrainingError: a loss that is NaN or infinite, or that no kernel has an influence on.
    """
    found = kernels(model)
    variables = [kernel.variable.value for kernel in found.values()]
    sums = [tf.Variable(tf.zeros(v.shape, tf.float64), trainable=False) for v in variables]

    def step(inputs: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss = objective(labels, outputs_of(model, inputs, training=False), weights)
        examples = tf.cast(tf.shape(inputs[0])[0], tf.float64)
        for total, gradient in zip(sums, tape.gradient(loss, variables), strict=True):
            if gradient is not None:
                dense = tf.convert_to_tensor(gradient)  # an embedding's comes as indexed slices
                total.assign_add(examples * tf.abs(tf.cast(dense, tf.float64)))
        return loss

    compiled = FreeBatch(step)
    seen: list[int] = []
    length = operator.length_hint(batches, 0) or None
    with progress.task("score", length) as task:
        for number, batch in enumerate(batches, start=1):
            parts = parts_of(batch, model)
            loss = float(compiled(*parts))
            if not math.isfinite(loss):
                raise TrainingError(
                    f"scoring: loss {objective.name!r} is {loss} in batch {number}; {CAUSES}"
                )
            seen.append(examples_of(parts))
            task.advance()
    if not sum(seen):
        raise DataError("scoring: the calibration data is empty")
    gradient = {name: total.numpy() / sum(seen) for name, total in zip(found, sums, strict=True)}
    _check(gradient, objective)
    return Statistics(values_of(model), gradient, sum(seen), len(seen), max(seen))


def _check(gradient: Mapping[str, npt.NDArray[np.float64]], objective: Objective) -> None:
    for name, value in gradient.items():
        if not np.isfinite(value).all():
            raise TrainingError(
                f"scoring: the gradient of loss {objective.name!r} is NaN or infinite in "
                f"{name!r}; {CAUSES}"
            )
    if gradient and not any(value.any() for value in gradient.values()):
        raise TrainingError(
            f"scoring: loss {objective.name!r} does not change with any kernel; are the outputs "
            "saturated, or is it a loss without a gradient?"
        )
