"""No labels at all: each example is judged by an answer that the model itself might have given.

At its own output the gradients of KL divergence and of the squared error are zero, so that output
cannot be the target. One draw from it can: of a class by its probability, or of the output with
normal noise. The expectation of the gradient is still zero, that of its absolute value and of its
square is not; the expected square is the diagonal of the true Fisher matrix (Martens, "New insights
and perspectives on the natural gradient method", 2014, section 5; Kunstner et al., "Limitations of
the empirical Fisher approximation", NeurIPS 2019).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.errors import InputError
from edgeprune.models.forward import Parts, examples_of, outputs_of, parts_of

OWN = ("own-kl", "own-mse")
"""Names of losses that need no labels."""
_SUM = 1e-3
"""How far probabilities may be from 1 together."""
Array = npt.NDArray[Any]
Kind = Literal["class", "bit", "normal"]
"""One of several classes, a number that is 0 or 1 by itself, or any number."""
_LOSSES: Mapping[Kind, Any] = {
    "class": keras.losses.CategoricalCrossentropy,
    "bit": keras.losses.BinaryCrossentropy,
    "normal": keras.losses.MeanSquaredError,
}


class OwnLabels:
    """Labels that are drawn, in place of those of the data. The draw goes by the number of the
    example, not by the batch that it comes in.

    Args:
        model: whose outputs are taken.
        loss: one of :data:`OWN`.
        seed: of the draws.
        kinds: by output; see :func:`kinds_of`.
    """

    def __init__(self, model: Any, loss: str, seed: int, kinds: Sequence[Kind]) -> None:
        self._model, self._seed, self._kinds = model, seed, tuple(kinds)
        self.name = loss

    @property
    def losses(self) -> list[Any]:
        """A Keras loss for each output."""
        return [_LOSSES[kind]() for kind in self._kinds]

    def labelled(self, parts: Parts, first: int) -> Parts:
        """``parts`` with drawn labels; its first example is number ``first`` of all, from 0."""
        inputs, _, weights = parts
        answers = zip(_answers(self._model, inputs), self._kinds, strict=True)
        labels = tuple(
            np.stack(
                [
                    _draw(one, kind, np.random.default_rng((self._seed, place, first + number)))
                    for number, one in enumerate(answer)
                ]
            )
            for place, (answer, kind) in enumerate(answers)
        )
        return inputs, labels, weights


def own_labels(
    model: Any, batches: Iterable[Any], loss: str, seed: int
) -> tuple[list[Any], Iterator[tuple[Any, ...]]]:
    """A Keras loss for each output, and each batch with labels that ``model`` draws, in place of
    those that it had: for a model that is to be judged by the answers of another.

    Args:
        model: whose outputs are taken.
        batches: ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; read one by one.
        loss: one of :data:`OWN`.
        seed: of the draws.

    Raises:
        InputError: ``own-kl`` of outputs that are no probabilities.
    """
    waiting = (parts_of(batch, model) for batch in batches)
    first = next(waiting, None)
    if first is None:
        return [keras.losses.MeanSquaredError()], iter(())
    own = OwnLabels(model, loss, seed, kinds_of(model, first, loss))
    return own.losses, _drawn(own, itertools.chain([first], waiting))


def _drawn(own: OwnLabels, batches: Iterable[Parts]) -> Iterator[tuple[Any, ...]]:
    seen = 0
    for parts in batches:
        inputs, labels, weights = own.labelled(parts, seen)
        seen += examples_of(parts)
        yield (inputs, labels, weights) if weights else (inputs, labels)


def kinds_of(model: Any, parts: Parts, loss: str) -> tuple[Kind, ...]:
    """What is drawn for each output, by the answers to one batch.

    Raises:
        InputError: ``own-kl`` of outputs that are no probabilities.
    """
    return tuple(_kind(output, loss) for output in _answers(model, parts[0]))


def _answers(model: Any, inputs: Any) -> list[Array]:
    return [np.asarray(each) for each in outputs_of(model, inputs, training=False)]


def _kind(output: Array, loss: str) -> Kind:
    if loss == "own-mse":
        return "normal"
    if output.min() < 0 or output.max() > 1 + _SUM:
        raise InputError(
            "own-kl draws labels by probabilities, and the model's outputs are none (they go from "
            f"{output.min():.3g} to {output.max():.3g}); end it in softmax or sigmoid, or take "
            "own-mse"
        )
    several = output.ndim > 1 and output.shape[-1] > 1
    together = several and np.abs(output.sum(axis=-1) - 1).max() <= _SUM
    return "class" if together else "bit"


def _draw(answer: Array, kind: Kind, rng: np.random.Generator) -> Array:
    """A label for one example of one output."""
    if kind == "normal":
        return np.asarray(answer + rng.standard_normal(answer.shape), answer.dtype)
    if kind == "bit":
        return np.asarray(rng.random(answer.shape) < answer, answer.dtype)
    # The class at which the running sum passes a number that is drawn for each position.
    steps = np.cumsum(answer, axis=-1, dtype=np.float64)
    place = (steps < rng.random((*answer.shape[:-1], 1)) * steps[..., -1:]).sum(axis=-1)
    return np.asarray(np.eye(answer.shape[-1])[place], answer.dtype)
