"""Squares of gradients of one example each: the Fisher diagonal, and that of Gauss-Newton.

Both ask for one backward pass an example, taken for many examples at a time where TensorFlow can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from edgeprune.errors import InputError
from edgeprune.models import Objective, kernels
from edgeprune.models.forward import Parts, examples_of, outputs_of
from edgeprune.scoring.judging import losses_of_each, with_values
from edgeprune.scoring.microbatches import between
from edgeprune.scoring.one_each import EachStep, Over, together
from edgeprune.scoring.statistics import Floats, Sums, emptied

AT_ONCE = 2**25
"""Numbers that the gradients of the examples taken together may hold (256 MB of float64)."""
ROUNDING = 1e-6
"""Of the largest eigenvalue: what float32 leaves of a zero."""
MOST_OUTPUTS = 2048
"""The loss' Hessian is a matrix of so many outputs squared for each example."""


class Squares:
    """Gathers ``square``: Σ (∂E_b/∂w)² over examples b, E_b the loss of one.

    Args:
        model: to score.
        objective: the loss.
    """

    field = "square"

    def __init__(self, model: Any, objective: Objective) -> None:
        self._model, self._objective = model, objective
        found = kernels(model)
        self._names = list(found)
        self._variables = [kernel.variable.value for kernel in found.values()]
        size = sum(int(np.prod(v.shape)) for v in self._variables)
        self._together = max(1, AT_ONCE // max(size, 1))
        self._sums = [
            tf.Variable(tf.zeros(v.shape, tf.float64), trainable=False) for v in self._variables
        ]
        self._step = EachStep(self._taken)

    def take(self, chunks: Sequence[Parts]) -> float:
        examples, loss = 0, 0.0
        for parts in chunks:
            total = examples_of(parts)
            for start in range(0, total, self._together):
                loss += float(self._step(*between(parts, start, start + self._together)))
            examples += total
        return loss / max(examples, 1)

    def _taken(self, over: Over, inputs: Any, labels: Any, weights: Any) -> Any:
        pulled, losses = over(
            lambda example: self._of_one(*example),
            (inputs, labels, weights, *self._beside(over, inputs, labels, weights)),
            ([tf.TensorSpec(v.shape, v.dtype) for v in self._variables], tf.TensorSpec([])),
        )
        self._add(pulled)
        return tf.reduce_sum(losses)

    def _beside(self, over: Over, inputs: Any, labels: Any, weights: Any) -> tuple[Any, ...]:
        """What each example is given beside its data."""
        return ()

    def _of_one(self, *example: Any) -> Any:
        inputs, labels, weights = (tuple(a[None] for a in part) for part in example[:3])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            outputs = outputs_of(self._model, inputs, training=False)
            loss = self._objective(labels, outputs, weights)
            pulled = self._pulled(outputs, loss, *example[3:])
        gradients = tape.gradient(pulled, self._variables)
        dense = [
            tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, variable in zip(gradients, self._variables, strict=True)
        ]
        return dense, tf.cast(loss, tf.float32)

    def _pulled(self, outputs: Any, loss: Any, *beside: Any) -> Any:
        """The number whose gradient is squared; what :meth:`_beside` gives comes behind."""
        return loss

    def _add(self, pulled: Any) -> None:
        for total, gradient in zip(self._sums, pulled, strict=True):
            total.assign_add(tf.reduce_sum(tf.square(tf.cast(gradient, tf.float64)), axis=0))

    def begin(self, example: int) -> None:
        pass

    def drained(self) -> Sums:
        return {self.field: emptied(dict(zip(self._names, self._sums, strict=True)))}

    def found(self, sums: Sums, examples: int) -> Mapping[str, Mapping[str, Floats]]:
        return {self.field: {name: total / examples for name, total in sums[self.field].items()}}


class Curvature(Squares):
    """Gathers ``curvature``: the diagonal of Σ J_bᵀ H_b J_b, J_b the Jacobian of the outputs and
    H_b the Hessian of the loss by the outputs.

    For each example one vector z of independent signs is drawn; the square of J_bᵀ √H_b z has that
    diagonal as its mean (Martens, "Second-order optimization for neural networks", 2016, section
    7.1; Bekas et al., "An estimator for the diagonal of a matrix", 2007). What is drawn goes by the
    number of the example, so it does not depend on how many are in memory.

    Raises:
        InputError: more outputs than :data:`MOST_OUTPUTS`.
    """

    field = "curvature"

    def __init__(self, model: Any, objective: Objective, seed: int) -> None:
        super().__init__(model, objective)
        self._seed, self._seen = seed, tf.Variable(0, dtype=tf.int32, trainable=False)

    def begin(self, example: int) -> None:
        self._seen.assign(example)

    def _beside(self, over: Over, inputs: Any, labels: Any, weights: Any) -> tuple[Any, ...]:
        outputs = outputs_of(self._model, inputs, training=False)
        flat = _flat(outputs)
        count = flat.shape[1]
        if count is None or count > MOST_OUTPUTS:
            raise InputError(
                f"score 'obd' takes models of at most {MOST_OUTPUTS} outputs; this one has "
                f"{count or 'an open number'}; take 'fisher'"
            )
        roots = self._roots(over, flat, labels, outputs, weights)
        examples = tf.shape(flat)[0]
        numbers = self._seen + tf.range(examples)
        self._seen.assign_add(examples)
        signs = tf.map_fn(
            lambda number: tf.cast(
                tf.random.stateless_uniform(
                    [count], seed=[self._seed, number], minval=0, maxval=2, dtype=tf.int32
                ) * 2 - 1,
                flat.dtype,
            ),
            numbers,
            fn_output_signature=flat.dtype,
        )  # fmt: skip
        return (tf.linalg.matvec(roots, signs),)

    def _roots(self, over: Over, flat: Any, labels: Any, outputs: Any, weights: Any) -> Any:
        """√H of each example, (examples, outputs, outputs)."""
        sizes = [int(np.prod(output.shape[1:])) for output in outputs]
        with tf.GradientTape() as outer:
            outer.watch(flat)
            with tf.GradientTape() as inner:
                inner.watch(flat)
                parts = tf.split(flat, sizes, axis=1)
                back = [
                    tf.reshape(part, tf.shape(output))
                    for part, output in zip(parts, outputs, strict=True)
                ]
                faces = with_values(outputs, back)
                losses = losses_of_each(over, self._objective, labels, faces, weights)
            slope = inner.gradient(losses, flat)
        hessian = outer.batch_jacobian(slope, flat, experimental_use_pfor=over is together)
        hessian = tf.cast(hessian, tf.float64)
        values, vectors = tf.linalg.eigh((hessian + tf.linalg.matrix_transpose(hessian)) / 2)
        # What is zero but for rounding, or bends the other way, has no root.
        least = ROUNDING * tf.reduce_max(values, axis=1, keepdims=True)
        root = tf.where(values > least, tf.sqrt(tf.maximum(values, 0)), 0)
        return tf.cast(tf.einsum("bij,bj,bkj->bik", vectors, root, vectors), flat.dtype)

    def _pulled(self, outputs: Any, loss: Any, *beside: Any) -> Any:
        (pull,) = beside
        return tf.reduce_sum(_flat(outputs)[0] * pull)


def _flat(outputs: Any) -> Any:
    """All outputs of each example in one row."""
    rows = [tf.reshape(one, (tf.shape(one)[0], int(np.prod(one.shape[1:])))) for one in outputs]
    return tf.concat(rows, axis=1)
