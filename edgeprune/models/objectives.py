"""The task's loss: by name, by ``module:function``, or the compiled one; for one output or many."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras.src.losses.losses import LossFunctionWrapper

from edgeprune.errors import DataError, InputError
from edgeprune.files import nearest
from edgeprune.models.fitting import check_labels, is_sparse
from edgeprune.models.forward import output_names
from edgeprune.models.references import is_reference, one_line, referred

_BY_SHAPE = ("crossentropy", "ce")
"""Keras' own shorthand: binary, categorical or sparse as labels and outputs have it."""

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss over all outputs: the weighted sum of one Keras loss an output.

    Attributes:
        name: for messages and facts.
        losses: per output a Keras loss, ``"crossentropy"``, or ``None`` (output not judged).
        weights: per output.
    """

    name: str
    losses: tuple[Any, ...]
    weights: tuple[float, ...]

    def __call__(
        self, labels: Sequence[Any], outputs: Sequence[Any], weights: Sequence[Any] = ()
    ) -> Any:
        """The loss of a batch, a scalar tensor (Keras' reduction, the mean over the batch).

        Args:
            labels: one array an output.
            outputs: of the model, in order.
            weights: none, one array for all outputs, or one an output.

        Raises:
            DataError: other numbers of labels than outputs, labels of the kind that the loss does
                not take, or shapes that it refuses.
        """
        losses = self.losses * len(outputs) if len(self.losses) == 1 else self.losses
        factors = self.weights * len(outputs) if len(self.weights) == 1 else self.weights
        judged = [place for place, loss in enumerate(losses) if loss is not None]
        labels = _spread(labels, judged, len(outputs), "labels")
        weights = _spread(weights, judged, len(outputs), "sample weights") if weights else ()
        total: Any = 0.0
        for place in judged:
            loss = _by_shape(losses[place], labels[place], outputs[place])
            weight = weights[place] if weights else None
            check_labels("loss", _name(loss), loss, labels[place], outputs[place])
            try:
                value = loss(labels[place], outputs[place], sample_weight=weight)
            except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
                raise DataError(
                    f"loss {self.name!r} does not fit labels of shape "
                    f"{tuple(labels[place].shape)} and outputs of shape "
                    f"{tuple(outputs[place].shape)} ({one_line(error, 120)})"
                ) from error
            total = total + factors[place] * _undivided(loss, value)
        return total

    def __getstate__(self) -> Any:
        """To another process: Keras would send a function as a name that nobody there knows."""
        return self.name, tuple(map(_packed, self.losses)), self.weights

    def __setstate__(self, state: Any) -> None:
        name, losses, weights = state
        found = {"name": name, "losses": tuple(map(_unpacked, losses)), "weights": weights}
        for field, value in found.items():
            object.__setattr__(self, field, value)


def _undivided(loss: Any, value: Any) -> Any:
    """Under a strategy of several devices Keras divides a mean by their number; who adds up the
    devices' losses here counts each by its examples."""
    devices = tf.distribute.get_strategy().num_replicas_in_sync
    mean = getattr(loss, "reduction", None) in _MEANS
    return value * tf.cast(devices, value.dtype) if mean and devices > 1 else value


def _packed(loss: Any) -> Any:
    if type(loss) is LossFunctionWrapper:
        return loss.fn, loss.name
    return (type(loss), loss.get_config()) if isinstance(loss, keras.losses.Loss) else loss


def _unpacked(sent: Any) -> Any:
    if not isinstance(sent, tuple):
        return sent
    what, how = sent
    if isinstance(what, type):
        made: Any = what
        return made.from_config(how)
    return LossFunctionWrapper(what, name=how)


def per_example(
    objective: Objective, labels: Sequence[Any], outputs: Sequence[Any]
) -> npt.NDArray[np.float64] | None:
    """What each example adds to ``objective``, where every loss in it is a mean over examples;
    otherwise ``None``. Arguments as :meth:`Objective.__call__`."""
    losses = objective.losses * len(outputs) if len(objective.losses) == 1 else objective.losses
    factors = objective.weights * len(outputs) if len(objective.weights) == 1 else objective.weights
    judged = [place for place, loss in enumerate(losses) if loss is not None]
    labels = _spread(labels, judged, len(outputs), "labels")
    total = np.zeros(len(outputs[0]))
    for place in judged:
        loss = _by_shape(losses[place], labels[place], outputs[place])
        if getattr(loss, "reduction", "") not in ("sum_over_batch_size", "mean"):
            return None
        values = np.asarray(
            keras.ops.convert_to_numpy(loss.call(labels[place], outputs[place])), np.float64
        )
        if not values.ndim or len(values) != total.size:
            return None
        total += factors[place] * values.reshape(total.size, -1).mean(axis=1)
    return total


def make_objective(loss: Any = None, *, model: Any, base: Path | None = None) -> Objective:
    """The loss as something to call.

    Args:
        loss: a Keras name, ``"module:function"``, a Keras loss, a function
            ``(y_true, y_pred) -> per-example values``, a list (one an output) or a dict (by output
            name) of these, an :class:`Objective` (given back), or ``None`` for the compiled one.
        model: names its outputs and carries its compile state.
        base: comes first on the path when a module is imported.

    Raises:
        InputError: no such loss, or ``None`` and the model is not compiled.
    """
    if isinstance(loss, Objective):
        return loss
    factors: Any = None
    if loss is None:
        compiled = compile_state(model)
        loss, factors = compiled.get("loss"), compiled.get("loss_weights")
        if loss is None:
            raise InputError(
                "the model has no compiled loss; name one (loss=…, --loss NAME, [task] loss), "
                "for example sparse_categorical_crossentropy"
            )
    names = output_names(model)
    given = _in_order(loss, names, "loss")
    losses = tuple(_resolved(item, base) for item in given)
    weights = [1.0] if factors is None else _in_order(factors, names, "loss weight")
    if len(losses) not in (1, max(len(names), 1)):
        raise InputError(f"{len(losses)} losses for a model of {len(names)} outputs")
    return Objective(
        " + ".join(_name(item) for item in given if item is not None),
        losses,
        tuple(1.0 if weight is None else float(weight) for weight in weights),
    )


def compile_state(model: Any) -> Mapping[str, Any]:
    """What ``model.compile`` was given (``loss``, ``metrics`` …); empty where it never was."""
    if not getattr(model, "compiled", False):
        return {}
    config = getattr(getattr(model, "_compile_config", None), "config", None)
    return dict(config) if config else {"loss": getattr(model, "loss", None)}


def _in_order(value: Any, names: Sequence[str], noun: str) -> list[Any]:
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                near = nearest(str(name), names)
                hint = f"; did you mean {near!r}?" if near else ""
                raise InputError(f"{noun} for {name!r}: the model has no such output{hint}")
        return [value.get(name) for name in names]
    return list(value) if isinstance(value, list | tuple) else [value]


def _resolved(loss: Any, base: Path | None) -> Any:
    if loss is None or (isinstance(loss, str) and loss in _BY_SHAPE):
        return loss
    if isinstance(loss, str) and is_reference(loss):
        loss = referred(loss, base, InputError)
    elif isinstance(loss, str):
        loss = _by_name(loss)
    if isinstance(loss, type) and issubclass(loss, keras.losses.Loss):
        loss = loss()
    if isinstance(loss, keras.losses.Loss):
        return loss
    if callable(loss):
        # TensorFlow opens a scope of that name, and takes no <lambda>.
        return LossFunctionWrapper(loss, name=re.sub(r"\W", "", _name(loss)) or "loss")
    raise InputError(f"loss {loss!r} is neither a name nor a function")


def _by_name(name: str) -> Any:
    found = None
    with contextlib.suppress(ValueError, TypeError):
        found = keras.losses.get(name)
    if found is None:
        near = nearest(name, [known for known in dir(keras.losses) if not known.startswith("_")])
        hint = f"; did you mean {near!r}?" if near else ""
        raise InputError(f"no loss {name!r} in Keras{hint}; your own: module:function")
    return found


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return str(getattr(loss, "name", None) or getattr(loss, "__name__", type(loss).__name__))


def _spread(values: Sequence[Any], judged: list[int], count: int, noun: str) -> Sequence[Any]:
    """``values`` as one an output: one for all, one for each that is judged, or one for each."""
    if len(values) == count:
        return values
    if len(values) == len(judged):
        spread: list[Any] = [None] * count
        for place, value in zip(judged, values, strict=True):
            spread[place] = value
        return spread
    if len(values) == 1 and noun == "sample weights":
        return list(values) * count
    if not values:
        raise DataError("the batches hold no labels; give (x, y)")
    raise DataError(f"a batch holds {len(values)} {noun} for {count} outputs")


def _by_shape(loss: Any, labels: Any, outputs: Any) -> Any:
    if not isinstance(loss, str):
        return loss
    if outputs.shape[-1] == 1:
        return keras.losses.BinaryCrossentropy()
    if is_sparse(labels, outputs):
        return keras.losses.SparseCategoricalCrossentropy()
    return keras.losses.CategoricalCrossentropy()
