"""A Keras model as one function of flat inputs and outputs, with names that do not vary."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras.src.export.export_utils import _infer_input_signature_from_model

from edgeprune.errors import ExportError
from edgeprune.models.references import one_line


@dataclass(frozen=True)
class Signature:
    """What a converter is given.

    Attributes:
        model: the model with flat lists of inputs and outputs; its layers are the user's own.
        inputs: names of the Keras inputs, in the model's order, safe for every format.
        outputs: names of the Keras outputs (their layers'), likewise.
        specs: shape with the batch (``None``: free) and dtype of each input.
    """

    model: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    specs: tuple[tf.TensorSpec, ...]

    def function(self, keys: Sequence[str]) -> Callable[..., dict[str, tf.Tensor]]:
        """The model in inference mode, from positional inputs to outputs by ``keys``."""

        def infer(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            answers = keras.tree.flatten(self.model(list(values), training=False))
            return dict(zip(keys, answers, strict=True))

        return infer


def flat(model: Any) -> Any:
    """``model`` with lists of inputs and outputs, and a name that its history does not decide. A
    subclassed model gets the shapes that it was built with.

    Raises:
        ExportError: a model without inputs and outputs of known shape.
    """
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    if not inputs or not outputs:
        inputs, outputs = _called(model)
    return keras.Model(list(inputs), list(outputs), name="model")


def _called(model: Any) -> tuple[list[Any], list[Any]]:
    """Symbolic inputs and outputs of a model of the user's own code."""
    specs = _infer_input_signature_from_model(model) if model.built else None
    if not specs or len(specs) != 1:
        raise ExportError(
            f"model {model.name!r} has no inputs and outputs of known shape; call it on data once, "
            "or make it part of a Functional model: keras.Model(x, model(x)) with x = keras.Input"
        )
    count = iter(range(1, 1 + len(keras.tree.flatten(specs))))
    given = keras.tree.map_structure(
        lambda spec: keras.Input(
            batch_shape=spec.shape, dtype=spec.dtype, name=f"input_{next(count)}"
        ),
        specs[0],
    )
    try:
        outputs = model(given, training=False)
    except Exception as error:
        raise ExportError(
            f"model {model.name!r}: its call does not take symbolic tensors "
            f"({type(error).__name__}: {one_line(error)}); write it with keras.ops"
        ) from error
    return keras.tree.flatten(given), keras.tree.flatten(outputs)


def signature(model: Any, batch: int | None) -> Signature:
    """The model's inputs and outputs with this batch size (``None``: free).

    Raises:
        ExportError: no inputs of known shape, a free dimension besides the batch, a batch below 1.
    """
    if batch is not None and batch < 1:
        raise ExportError(f"batch = {batch}: a file takes at least one example at a time")
    plain = flat(model)
    # The layer's name: that of the tensor is another before a model is saved and after.
    inputs = _safe([tensor._keras_history.operation.name for tensor in plain.inputs], "input")
    outputs = _safe(plain.output_names, "output")
    specs = []
    for name, tensor in zip(inputs, plain.inputs, strict=True):
        shape = (batch, *tensor.shape[1:])
        if None in shape[1:]:
            raise ExportError(
                f"input {name!r} has shape {tuple(tensor.shape)}: fix every dimension but the first"
            )
        specs.append(tf.TensorSpec(shape, tensor.dtype, name=name))
    return Signature(plain, inputs, outputs, tuple(specs))


def _safe(names: Sequence[str], noun: str) -> tuple[str, ...]:
    """Names of letters, digits and underscores, unique, each as near to its own as that allows."""
    found: list[str] = []
    for name in names:
        base = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or noun
        base = base if base[0].isalpha() else f"{noun}_{base}"
        unique, count = base, 2
        while unique in found:
            unique, count = f"{base}_{count}", count + 1
        found.append(unique)
    return tuple(found)
