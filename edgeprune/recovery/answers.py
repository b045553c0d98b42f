"""How far a model's outputs are from a teacher's, by what the outputs are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import keras
import tensorflow as tf

from edgeprune.models import Task

LEAST = 1e-30
"""Of a probability whose logarithm is taken."""
Kind = Literal["classes", "class logits", "bits", "bit logits", "numbers"]
"""Probabilities that are 1 together; their logits; probabilities each for itself; their logits;
anything else."""


def kinds_of(model: Any, task: Task | None) -> tuple[Kind, ...]:
    """What each output is: a cross-entropy tells, and ``from_logits`` of it; else the activation
    that the output comes out of. Neither: numbers."""
    tensors = getattr(model, "outputs", None) or ()
    losses = list(task.loss.losses) if task is not None else []
    losses = losses * len(tensors) if len(losses) == 1 else losses
    kinds = []
    for place, tensor in enumerate(tensors):
        loss = losses[place] if place < len(losses) else None
        kinds.append(_by_loss(loss) or _by_activation(tensor))
    return tuple(kinds)


def distance(kind: Kind, temperature: float) -> Callable[[Any, Any], Any]:
    """From one output of teacher and student to a value an example (and position).

    - classes: T² · KL(softmax(z_t / T) ‖ softmax(z_s / T)), z the logits (Hinton, Vinyals and Dean,
      "Distilling the Knowledge in a Neural Network", 2015, section 2: the T² keeps the gradients'
      size). Of a softmax's output z is its logarithm, which differs from the logits by a constant
      that softmax does not see.
    - bits: the same of two classes for each number, the mean over the last axis; z = log p − log(1
      − p).
    - numbers: the squared difference, the mean over the last axis. Of logits that nobody says are
      logits it is the limit of a high temperature (the same paper, section 2.1).
    """
    if kind in ("classes", "class logits"):
        return lambda teacher, student: (
            _of_classes(_logits(teacher, kind) / temperature, _logits(student, kind) / temperature)
            * (temperature**2)
        )
    if kind in ("bits", "bit logits"):
        return lambda teacher, student: (
            _of_bits(_logits(teacher, kind) / temperature, _logits(student, kind) / temperature)
            * (temperature**2)
        )
    return lambda teacher, student: _over_last(tf.math.squared_difference(teacher, student))


def averaged(values: Any, weight: Any) -> Any:
    """The mean of values an example (and position), each weighted by its example as Keras does."""
    if weight is None:
        return tf.reduce_mean(values)
    weight = tf.cast(weight, values.dtype)
    weight = tf.reshape(weight, [-1, *[1] * (len(values.shape) - 1)])
    return tf.reduce_mean(values * weight)


def _by_loss(loss: Any) -> Kind | None:
    name = loss if isinstance(loss, str) else str(getattr(loss, "name", ""))
    if "crossentropy" not in name or name == "crossentropy":
        return None
    logits = bool(getattr(loss, "from_logits", False))
    if "binary" in name:
        return "bit logits" if logits else "bits"
    return "class logits" if logits else "classes"


def _by_activation(tensor: Any) -> Kind:
    operation, _, place = getattr(tensor, "_keras_history", (None, 0, 0))
    inner = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
    if inner:
        return _by_activation(inner[place])
    if isinstance(operation, keras.layers.Wrapper):
        operation = operation.layer
    if isinstance(operation, keras.layers.Softmax) and operation.axis == -1:
        return "classes"
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    if name == "softmax" and tensor.shape[-1] != 1:
        return "classes"
    return "bits" if name == "sigmoid" else "numbers"


def _logits(output: Any, kind: Kind) -> Any:
    if kind == "classes":
        return tf.math.log(tf.maximum(output, LEAST))
    if kind == "bits":
        eps = keras.backend.epsilon()
        output = tf.clip_by_value(output, eps, 1 - eps)
        return tf.math.log(output) - tf.math.log1p(-output)
    return output


def _of_classes(teacher: Any, student: Any) -> Any:
    wanted = tf.nn.softmax(teacher)
    return tf.reduce_sum(
        wanted * (tf.nn.log_softmax(teacher) - tf.nn.log_softmax(student)), axis=-1
    )


def _of_bits(teacher: Any, student: Any) -> Any:
    wanted = tf.nn.sigmoid(teacher)
    crossed = tf.nn.sigmoid_cross_entropy_with_logits
    return _over_last(crossed(wanted, student) - crossed(wanted, teacher))


def _over_last(values: Any) -> Any:
    return tf.reduce_mean(values, axis=-1) if len(values.shape) > 1 else values
