"""What a model is for, and how its inputs are scaled, where nobody says: guessed, and said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.errors import InputError

LOOKED_AT = 512
"""Examples that a guess rests on."""

FROM_LOGITS = '''"""Loss and metric of a model whose last layer has no {activation}."""

import keras


def loss(y_true, y_pred):
    return keras.losses.{loss}(y_true, y_pred, from_logits=True)


def metric():
    return keras.metrics.{metric}
'''


@dataclass(frozen=True)
class Guess:
    """A task, as a recipe says it.

    Attributes:
        loss, metric: names, or ``module:function`` of ``code``.
        why: for the comment.
        code: a module to write beside the recipe; ``""``: none is needed.
        higher_is_better: ``None`` where the metric's name tells.
    """

    loss: str
    metric: str
    why: str
    code: str = ""
    higher_is_better: bool | None = None


def guess_task(
    outputs: Sequence[npt.NDArray[Any]], labels: Sequence[npt.NDArray[Any]], module: str
) -> Guess:
    """Loss and metric from what a model answers and what it should.

    Args:
        outputs: of the model for some examples, one array an output.
        labels: of the same examples, as the model is fed.
        module: name for a module of its own, should one be needed.

    Raises:
        InputError: several outputs of unlike kinds.
    """
    guesses = [_guess_one(o, y, module) for o, y in zip(outputs, labels, strict=True)]
    if any(guess != guesses[0] for guess in guesses[1:]):
        raise InputError(
            "the model is not compiled and its outputs are of unlike kinds; compile it, or name "
            "the loss as module:function (--loss)"
        )
    return guesses[0]


def _guess_one(outputs: npt.NDArray[Any], y: npt.NDArray[Any], module: str) -> Guess:
    width = outputs.shape[-1]
    whole = y.dtype.kind in "iu" or bool((y == np.floor(y)).all())
    same = y.shape == outputs.shape
    if width > 1 and not same:
        return _classes(outputs, module, "Sparse", "whole-number labels")
    if width > 1 and whole and np.isin(y, (0, 1)).all() and (y.sum(axis=-1) == 1).all():
        return _classes(outputs, module, "", "one-hot labels")
    if width == 1 and whole and set(np.unique(y)) == {0, 1}:
        if _within(outputs):
            return Guess("binary_crossentropy", "accuracy", "labels 0 and 1, a probability out")
        return _logits("binary_crossentropy", "BinaryAccuracy(threshold=0.0)", "sigmoid", module)
    return Guess("mean_squared_error", "mean_absolute_error", "numbers as targets")


def _classes(outputs: npt.NDArray[Any], module: str, kind: str, labels: str) -> Guess:
    loss = "sparse_categorical_crossentropy" if kind else "categorical_crossentropy"
    if _within(outputs) and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3):
        return Guess(loss, "accuracy", f"{labels}, probabilities out")
    return _logits(loss, f"{kind}CategoricalAccuracy()", "softmax", module)


def _within(outputs: npt.NDArray[Any]) -> bool:
    return bool((outputs >= 0).all() and (outputs <= 1 + 1e-6).all())


def _logits(loss: str, metric: str, activation: str, module: str) -> Guess:
    return Guess(
        f"{module}:loss",
        f"{module}:metric",
        f"the last layer has no {activation}, so the loss takes logits: see {module}.py",
        FROM_LOGITS.format(loss=loss, metric=metric, activation=activation),
        True,
    )
