"""A model's forward pass over batches: inputs and outputs as flat tuples, one trace for any batch
size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeprune.errors import DataError

Parts = tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]


def parts_of(batch: Any, model: Any) -> Parts:
    """A batch as ``(inputs, labels, sample weights)``, each a flat tuple of arrays.

    Args:
        batch: ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``; each an array, a tuple of arrays
            in the model's order, or a dict by input (output) name.
        model: gives the order of names.

    Raises:
        DataError: the batch is no such tuple, or holds another number of inputs than the model.
    """
    if not isinstance(batch, tuple | list) or not 1 <= len(batch) <= 3:
        raise DataError(
            f"a batch is (x, y) or (x, y, sample_weight); got {type(batch).__name__}"
            + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
        )
    x, y, weight = (*batch, None, None)[:3]
    inputs = flat(x, input_names(model))
    wanted = len(getattr(model, "inputs", None) or inputs)
    if len(inputs) != wanted:
        raise DataError(f"a batch holds {len(inputs)} inputs; the model takes {wanted}")
    names = output_names(model)
    return inputs, flat(y, names), flat(weight, names)


def flat(value: Any, names: Sequence[str]) -> tuple[Any, ...]:
    """``value`` (``None``, an array, a sequence or a dict of arrays) as a tuple of arrays."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        if set(names) == set(value):
            return tuple(_array(value[name]) for name in names)
        return tuple(_array(item) for item in keras.tree.flatten(dict(value)))
    if isinstance(value, tuple | list):
        return tuple(_array(item) for item in value)
    return (_array(value),)


def input_names(model: Any) -> list[str]:
    """Names of the model's inputs, in order; empty for a model that has none (subclassed).

    They are the names of the input layers: a tensor's own changes when its model is saved.
    """
    return [tensor._keras_history.operation.name for tensor in getattr(model, "inputs", None) or ()]


def output_names(model: Any) -> list[str]:
    """Names of the model's outputs, in order; empty for a model that has none (subclassed)."""
    return list(getattr(model, "output_names", None) or ())


def examples_of(parts: Parts) -> int:
    """How many examples a batch holds."""
    return int(np.shape(parts[0][0])[0])


def outputs_of(model: Any, inputs: Sequence[Any], *, training: bool) -> tuple[Any, ...]:
    """The model's outputs (tensors, in order) for inputs in order, in whatever structure it takes
    and gives them."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is not None:
        given = keras.tree.pack_sequence_as(structure, list(inputs))
    else:
        given = inputs[0] if len(inputs) == 1 else tuple(inputs)
    return tuple(keras.tree.flatten(model(given, training=training)))


class FreeBatch:
    """``function`` compiled once for any number of examples.

    It takes tuples of arrays with the examples along axis 0. Other axes are free as soon as two
    batches differ in them, which costs one more trace. What ``function`` raises comes out as it
    is (autograph, which Keras leaves out too, would make a text of many lines of it).

    Raises:
        DataError: TensorFlow refuses the values or shapes as it computes.
    """

    def __init__(self, function: Callable[..., Any], *, jit: bool | None = None) -> None:
        self._function = function
        self._jit = jit
        self._signature: Any = None
        self._compiled: Any = None

    def __call__(self, *arguments: tuple[Any, ...]) -> Any:
        tensors = self.traced(*arguments)
        try:
            return self._compiled(*tensors)
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"the data does not go through the model: {_cause(error)}") from error

    def traced(self, *arguments: tuple[Any, ...]) -> Any:
        """The arguments as tensors, when ``function`` is compiled for them; it does not run."""
        tensors = tf.nest.map_structure(tf.convert_to_tensor, arguments)
        if self._signature is None or not _fits(self._signature, tensors):
            signature = _widened(self._signature, tf.nest.map_structure(_free, tensors))
            # Concrete: TensorFlow warns of the many traces that many models rightly make.
            self._compiled = tf.function(
                self._function,
                input_signature=signature,
                jit_compile=self._jit,
                autograph=False,
            ).get_concrete_function()
            self._signature = signature
        return tensors


def predictor(model: Any) -> Callable[[Any], Any]:
    """``x -> outputs`` in inference mode, numpy in and out, compiled for any number of examples.

    The outputs are one array, or a tuple of arrays where the model has several.
    """
    forward = FreeBatch(lambda inputs: outputs_of(model, inputs, training=False))
    names = input_names(model)

    def predict(x: Any) -> Any:
        outputs = tuple(output.numpy() for output in forward(flat(x, names)))
        return outputs[0] if len(outputs) == 1 else outputs

    return predict


def _array(value: Any) -> Any:
    if isinstance(value, tf.Tensor):
        return tf.cast(value, tf.float32) if value.dtype == tf.float64 else value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _cause(error: tf.errors.OpError) -> str:
    """Of the lines that a failed graph writes, the one that says what failed."""
    lines = [line.strip() for line in error.message.splitlines()]
    ends = [place for place, line in enumerate(lines) if line.startswith("[[{{node")]
    text = lines[ends[0] - 1] if ends and ends[0] else " ".join(lines)
    return text.partition("[[{{node")[0].strip()[:160]


def _free(tensor: Any) -> Any:
    return tf.TensorSpec([None, *tensor.shape[1:]] if tensor.shape.rank else [], tensor.dtype)


def _fits(signature: Any, tensors: Any) -> bool:
    try:
        tf.nest.assert_same_structure(signature, tensors)
    except (ValueError, TypeError):
        return False
    pairs = zip(tf.nest.flatten(signature), tf.nest.flatten(tensors), strict=True)
    return all(spec.is_compatible_with(tensor) for spec, tensor in pairs)


def _widened(old: Any, new: Any) -> Any:
    try:
        return tf.nest.map_structure(lambda a, b: b.most_specific_compatible_type(a), new, old)
    except (ValueError, TypeError, AttributeError):
        return new
