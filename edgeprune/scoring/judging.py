"""How the loss goes by the model's outputs: that of a micro-batch, in however many chunks it goes
through the model, and that of each example alone.

A loss may be anything of all outputs of a micro-batch: a sum, a mean over the positions that a mask
leaves or by the weights of its examples, the root of a mean. So what its chunks give must not be
added up. The chain rule parts it exactly: the outputs of all chunks first, then the slope of the
loss by them, which each chunk carries back through the model by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from keras.src.backend import get_keras_mask, set_keras_mask

from edgeprune.errors import InputError
from edgeprune.models import Objective
from edgeprune.models.forward import FreeBatch, Parts, outputs_of
from edgeprune.scoring.one_each import Over

Face = Mapping[str, Any]
"""Of an output, the tensors that Keras' losses may read: itself (``"output"``) or, by the name of
the operation that made it, what that squashed; beside it what it was made of (``"logits"``) and the
places that count (``"mask"``), where it carries them. Examples along axis 0 of each."""
Pull = Mapping[str, Any]
"""Of a face, the slope of a loss by each tensor of it that has an influence, in its shape."""
_SQUASHED = {"Softmax": tf.nn.softmax, "Sigmoid": tf.sigmoid}
"""Operations whose input cross-entropies take in place of their output, which may round to 0."""


def check_reduced(objective: Objective) -> None:
    """Refuse a loss that is no number, but one for each example or place.

    Raises:
        InputError: a Keras loss without a reduction.
    """
    for loss in objective.losses:
        if getattr(loss, "reduction", "mean") in (None, "none"):
            raise InputError(
                f"loss {objective.name!r} has no reduction, and scores are of one number; give it "
                "reduction='sum_over_batch_size'"
            )


def faces_of(outputs: Sequence[Any]) -> tuple[Face, ...]:
    """Of each output of a model (in a graph), its face."""
    return tuple(map(_face, outputs))


def _face(output: Any) -> Face:
    mask, logits = get_keras_mask(output), getattr(output, "_keras_logits", None)
    beside = {} if mask is None else {"mask": mask}
    if logits is not None:
        return {"output": output, "logits": logits, **beside}
    if output.op.type in _SQUASHED:
        return {output.op.type: output.op.inputs[0], **beside}
    return {"output": output, **beside}


def with_values(outputs: Sequence[Any], values: Sequence[Any]) -> tuple[Face, ...]:
    """As :func:`faces_of`, of outputs that have these values and came from nowhere."""
    masks = map(get_keras_mask, outputs)
    return tuple(
        {"output": value} if mask is None else {"output": value, "mask": mask}
        for value, mask in zip(values, masks, strict=True)
    )


def shown(faces: Sequence[Face]) -> tuple[Any, ...]:
    """Outputs that have these faces, to Keras' losses as those of the model themselves."""
    return tuple(map(_shown, faces))


def _shown(face: Face) -> Any:
    squashed = next((name for name in _SQUASHED if name in face), None)
    output = _SQUASHED[squashed](face[squashed]) if squashed else tf.identity(face["output"])
    if "logits" in face:
        output._keras_logits = face["logits"]
    if "mask" in face:
        set_keras_mask(output, face["mask"])
    return output


def of_all(
    objective: Objective, labels: Sequence[Any], faces: Sequence[Face], weights: Sequence[Any]
) -> tuple[Any, tuple[Pull, ...]]:
    """n E and its slope by each face, E the loss of all n examples."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(_floating(faces)))
        loss = objective(labels, shown(faces), weights)
        total = loss * tf.cast(tf.shape(tf.nest.flatten(faces)[0])[0], loss.dtype)
    return total, _pulls(tape, total, faces)


def losses_of_each(
    over: Over,
    objective: Objective,
    labels: Sequence[Any],
    faces: Sequence[Face],
    weights: Sequence[Any],
) -> Any:
    """(n,) losses, each of a batch of that example alone; float32. They can be differentiated."""

    def of_one(example: Any) -> Any:
        mine, face, weight = tf.nest.map_structure(lambda array: array[None], example)
        return tf.cast(objective(mine, shown(face), weight), tf.float32)

    examples = (tuple(labels), tuple(faces), tuple(weights))
    return over(of_one, examples, tf.TensorSpec([], tf.float32))


def of_each(
    over: Over,
    objective: Objective,
    labels: Sequence[Any],
    faces: Sequence[Face],
    weights: Sequence[Any],
) -> tuple[Any, tuple[Pull, ...]]:
    """Σ E_b and its slope by each face, E_b the loss of example b alone."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(list(_floating(faces)))
        total = tf.reduce_sum(losses_of_each(over, objective, labels, faces, weights))
    return total, _pulls(tape, total, faces)


def pulled(
    tape: Any, faces: Sequence[Face], pulls: Sequence[Pull], sources: Sequence[Any]
) -> list[Any]:
    """The gradients by ``sources``, from the slopes by the faces; ``None`` where there is none."""
    targets = [face[key] for face, pull in zip(faces, pulls, strict=True) for key in pull]
    slopes = [slope for pull in pulls for slope in pull.values()]
    if not targets or not sources:
        return [None] * len(sources)
    found: list[Any] = tape.gradient(targets, list(sources), output_gradients=slopes)
    return found


class Judge:
    """The slope of the loss of a micro-batch that goes through the model in several chunks.

    Args:
        model: to score.
        objective: the loss.
    """

    def __init__(self, model: Any, objective: Objective) -> None:
        self._model, self._objective = model, objective
        self._forward = FreeBatch(self._answered)
        self._slope = FreeBatch(self._sloped)

    def __call__(self, chunks: Sequence[Parts]) -> tuple[float, list[tuple[Pull, ...]]]:
        """n E and, by chunk and face, its slope, E the loss of all n examples.

        Where the arrays of the chunks differ in more than the number of examples no loss can take
        them all; E is then the mean over the runs of those that do not, weighted by examples.
        Memory: the outputs of the micro-batch and their slopes.
        """
        answers = [(labels, self._forward(inputs), weights) for inputs, labels, weights in chunks]
        total = 0.0
        pulls: list[tuple[Pull, ...]] = []
        for _, alike in itertools.groupby(answers, _kinds):
            run = list(alike)
            loss, slopes = self._slope(*tf.nest.map_structure(_joined, *run))
            total += float(loss)
            pulls += _cut(slopes, [len(tf.nest.flatten(faces)[0]) for _, faces, _ in run])
        return total, pulls

    def _answered(self, inputs: Any) -> Any:
        return faces_of(outputs_of(self._model, inputs, training=False))

    def _sloped(self, labels: Any, faces: Any, weights: Any) -> Any:
        return of_all(self._objective, labels, faces, weights)


def _floating(faces: Sequence[Face]) -> Iterator[Any]:
    return (tensor for face in faces for tensor in face.values() if tensor.dtype.is_floating)


def _pulls(tape: Any, total: Any, faces: Sequence[Face]) -> tuple[Pull, ...]:
    slopes = iter(tape.gradient(total, list(_floating(faces))))
    found = [
        {key: next(slopes) for key, tensor in face.items() if tensor.dtype.is_floating}
        for face in faces
    ]
    return tuple(
        {key: tf.convert_to_tensor(slope) for key, slope in pull.items() if slope is not None}
        for pull in found
    )


def _kinds(answer: Any) -> Any:
    """What two chunks have in common that one loss can take together."""
    return tf.nest.map_structure(
        lambda array: (tuple(array.shape[1:]), tf.as_dtype(array.dtype).name), answer
    )


def _joined(*arrays: Any) -> Any:
    return tf.concat(arrays, axis=0)


def _cut(pulls: tuple[Pull, ...], sizes: Sequence[int]) -> Iterator[tuple[Pull, ...]]:
    start = 0
    for size in sizes:
        stop = start + size
        yield tuple({key: slope[start:stop] for key, slope in pull.items()} for pull in pulls)
        start = stop
