"""A teacher: the dense model that a pruned one learns from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from edgeprune.errors import DataError, InputError, ModelError
from edgeprune.models import Task, values_digest
from edgeprune.models.forward import FreeBatch, examples_of, outputs_of, parts_of
from edgeprune.recovery.aims import Aim, Aiming
from edgeprune.recovery.answers import averaged, distance, kinds_of
from edgeprune.recovery.features import features_apart, shared_features, showing

METRIC = "distillation loss"


@dataclass(frozen=True)
class Teaching:
    """How a teacher teaches.

    Attributes:
        temperature: T > 0, by which logits are divided; of outputs that are numbers none.
        alpha: from 0 (the teacher alone) to 1 (labels alone): how much the task's loss on the
            labels counts.
        features: names of layers whose outputs are to be the teacher's too, or ``("auto",)``:
            all with weights whose outputs have the same shape in both.
        features_weight: how much they count, ≥ 0. Each is judged by Σ (f_s - f_t)² / Σ f_t² over
            a batch, and the mean of these is added (after Romero et al., "FitNets", 2015, without
            the regressor: shapes must agree).

    Raises:
        InputError: a number out of range.
    """

    temperature: float = 2.0
    alpha: float = 0.0
    features: tuple[str, ...] = ()
    features_weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"temperature = {self.temperature}: a finite number above 0 is needed")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"alpha = {self.alpha}: a share from 0 to 1 is needed")
        if not (math.isfinite(self.features_weight) and self.features_weight >= 0):
            raise InputError(
                f"features_weight = {self.features_weight}: a finite number from 0 up is needed"
            )


def by_teacher(dense: Any, teaching: Teaching, task: Task | None, *, labels: bool) -> Aiming:
    """The teacher's outputs on the inputs, mixed with the task's loss where labels count.

    Args:
        dense: the teacher; any architecture with the same inputs and outputs. Not trained.
        teaching: see there.
        task: judges by its metric where there are labels; tells what the outputs are.
        labels: whether the data has some. Without, the loss to the teacher on the validation data
            judges.

    Raises:
        InputError: ``alpha`` without labels, or without a task.
        ModelError: (when the model is there) other inputs or outputs than the teacher's.
    """
    judged = labels and task is not None
    if teaching.alpha and not judged:
        raise InputError(
            f"alpha = {teaching.alpha} mixes in labels, and there "
            f"{'is no loss to judge them by' if labels else 'are none in the data'}; "
            "leave alpha at 0, or give some"
        )
    facts = {
        "teacher": values_digest(dense),
        "teaching": [
            teaching.temperature,
            teaching.alpha,
            list(teaching.features),
            teaching.features_weight,
        ],
        "task": task.facts() if task is not None else None,
        "labels": judged,
    }

    def at(model: Any) -> Aim:
        return _aim(model, dense, teaching, task, judged)

    return Aiming(at, facts)


def _aim(model: Any, dense: Any, teaching: Teaching, task: Task | None, judged: bool) -> Aim:
    check_teacher(model, dense)
    names = shared_features(model, dense, teaching.features)
    student, teacher = showing(model, names), showing(dense, names)
    count = len(model.outputs)
    kinds = kinds_of(dense, task)
    apart = [distance(kind, teaching.temperature) for kind in kinds]
    factors: Sequence[float] = (task.loss.weights if task is not None else ()) or (1.0,)
    factors = list(factors) * count if len(factors) == 1 else factors

    def taught(inputs: Any, weights: Any, *, training: bool) -> tuple[Any, tuple[Any, ...]]:
        wanted = [tf.stop_gradient(each) for each in outputs_of(teacher, inputs, training=False)]
        given = outputs_of(student, inputs, training=training)
        weights = weights * count if len(weights) == 1 else weights
        total: Any = 0.0
        for place in range(count):
            values = apart[place](_float(wanted[place]), _float(given[place]))
            weight = weights[place] if place < len(weights) else None
            total = total + factors[place] * averaged(values, weight)
        return total + teaching.features_weight * features_apart(
            wanted[count:], given[count:]
        ), given

    def loss(inputs: Any, labels: Any, weights: Any) -> Any:
        total, given = taught(inputs, weights, training=True)
        if not teaching.alpha:
            return total
        assert task is not None
        told = tf.cast(task.loss(labels, given[:count], weights), total.dtype)
        return teaching.alpha * told + (1 - teaching.alpha) * total

    judge: Callable[[Iterable[Any]], float]
    if judged:
        assert task is not None
        predict, known = task.model_predict(model), task
        judge = lambda batches: known.evaluate(predict, batches)  # noqa: E731
        metric, improves, higher = task.metric_name, task.improves, task.higher_is_better
    else:
        forward = FreeBatch(lambda inputs: taught(inputs, (), training=False)[0])
        judge = lambda batches: _mean(forward, batches, model)  # noqa: E731
        metric, improves, higher = METRIC, _lower, False
    return Aim("distillation", METRIC, loss, metric, judge, improves, higher)


def check_teacher(model: Any, dense: Any) -> None:
    """Refuse a teacher of other inputs or outputs.

    Raises:
        ModelError: they differ, or a model has no symbolic ones.
    """
    for noun in ("inputs", "outputs"):
        shapes = []
        for each in (dense, model):
            tensors = getattr(each, noun, None)
            if not tensors:
                raise ModelError(f"{each.name!r}: a teacher and its model are Functional models")
            shapes.append([tuple(tensor.shape) for tensor in tensors])
        if [shape[1:] for shape in shapes[0]] != [shape[1:] for shape in shapes[1]]:
            shown = [", ".join(str(shape) for shape in each) for each in shapes]
            raise ModelError(
                f"the dense model has {noun} {shown[0]}, the pruned one {shown[1]}: a teacher "
                "answers the same question; give the model that this one was pruned from"
            )


def _float(value: Any) -> Any:
    return tf.cast(value, tf.float32)


def _mean(forward: Any, batches: Iterable[Any], model: Any) -> float:
    total, seen = 0.0, 0
    for batch in batches:
        parts = parts_of(batch, model)
        count = examples_of(parts)
        total += float(forward(parts[0])) * count
        seen += count
    if not seen:
        raise DataError("no examples to evaluate on")
    return total / seen


def _lower(new: float, old: float | None) -> bool:
    return not np.isnan(new) and (old is None or bool(np.isnan(old)) or new < old)
