"""Whether the new model does what its source does: layer by layer, and as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from edgeprune.errors import ModelError
from edgeprune.importing.imported import Differences
from edgeprune.importing.replaying import Replay, filled, inferring

Array = npt.NDArray[Any]
TOLERANCE = 1e-5
"""Of the largest output of a layer, when it is given what its source was given."""
WHOLE = 1e-3
"""Of the largest output of the model: rounding adds up over many layers."""
_BATCH, _LENGTH = 4, 32


def compared(replay: Replay, loaded: Any) -> Differences:
    """How far the new model is from its source, on random inputs.

    Args:
        replay: source and new model.
        loaded: the source as its file has it, still wrapped.

    Raises:
        ModelError: names the layer that differs.
    """
    inputs = _random_inputs(replay.source)
    layers = _check_layers(replay, inputs)
    _forget(replay.model)
    _forget(replay.source)
    _forget(loaded)
    wanted = tf.nest.flatten(loaded(_as_given(loaded, inputs), training=False))
    found = keras.tree.flatten(replay.model(_as_given(loaded, inputs), training=False))
    _forget(replay.model)
    worst = max(_difference(a, b) for a, b in zip(wanted, found, strict=True))
    if not worst <= WHOLE:
        raise ModelError(
            f"model {loaded.name!r}: in Keras 3 its outputs differ by {worst:.2g} of the largest; "
            "this model cannot be carried over"
        )
    return Differences(layers, worst)


def _check_layers(replay: Replay, inputs: list[Any]) -> float:
    """Give each layer what its source was given: rounding does not add up.

    The source runs call by call, so that masks stay on the tensors; both Keras keep them there.
    """
    known = dict(zip(map(id, replay.source.inputs), map(tf.convert_to_tensor, inputs), strict=True))
    largest = 0.0
    for call in replay.calls:
        _forget(call.layer, *call.steps)
        kwargs = filled(call.kwargs, known)
        wanted = tf.nest.flatten(
            call.layer(*filled(call.args, known), **inferring(call.layer, kwargs))
        )
        worst = max(map(_difference, wanted, call.again(known, infer=True)))
        _forget(call.layer, *call.steps)
        known.update(zip(map(id, call.outputs), wanted, strict=True))
        if worst > _tolerance(call.layer):
            if id(call.layer) in replay.inner:
                inner = replay.inner[id(call.layer)]
                _check_layers(inner, [known[id(t)] for t in _symbols(call.args)])
            raise ModelError(
                f"layer {call.where!r} ({type(call.layer).__name__}): in Keras 3 its outputs "
                f"differ by {worst:.2g} of the largest; replace it where the model was made"
            )
        largest = max(largest, worst)
    return largest


def _symbols(value: Any) -> Iterator[Any]:
    for each in tf.nest.flatten(value):
        if hasattr(each, "_keras_history"):
            yield each


def _tolerance(layer: Any) -> float:
    policy = getattr(getattr(layer, "dtype_policy", None), "compute_dtype", "float32")
    return TOLERANCE if policy in ("float32", "float64", None) else 1e-2


def _difference(wanted: Any, found: Any) -> float:
    a, b = np.asarray(wanted), np.asarray(found)
    if a.shape != b.shape:
        return float("inf")
    if not np.issubdtype(a.dtype, np.number) or a.size == 0:
        return 0.0 if np.array_equal(a, b) else float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    # Where the source gives no number on random inputs, the new model may not either.
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return float("inf")
    a, b = a[finite], b[finite]
    largest = float(np.abs(a).max(initial=0.0))
    return float(np.abs(a - b).max(initial=0.0)) / (largest or 1.0)


def _random_inputs(source: Any) -> list[Array]:
    random = np.random.default_rng(0)
    words = _words(source)
    made = []
    for tensor in source.inputs:
        shape = [_BATCH if n is None else n for n in tensor.shape[:1]]
        shape += [_LENGTH if n is None else n for n in tensor.shape[1:]]
        made.append(_random(random, shape, np.dtype(tensor.dtype.as_numpy_dtype), words))
    return made


def _random(random: Any, shape: list[int], dtype: np.dtype[Any], words: int | None) -> Array:
    if dtype == np.bool_:
        return np.asarray(random.integers(0, 2, shape)).astype(dtype)
    if np.issubdtype(dtype, np.integer) or words is not None:
        top = words if words is not None else 256 if dtype == np.uint8 else 2
        return np.asarray(random.integers(0, top, shape)).astype(dtype)
    if np.issubdtype(dtype, np.floating):
        return np.asarray(random.standard_normal(shape)).astype(dtype)
    raise ModelError(f"an input of {dtype}: only numbers can be compared; cut it off the model")


def _words(model: Any) -> int | None:
    """How many words the smallest Embedding knows."""
    sizes = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, tf_keras.layers.Embedding)
    ]
    return min(sizes, default=None)


def _as_given(model: Any, inputs: list[Array]) -> Any:
    structure = model._nested_inputs if hasattr(model, "_nested_inputs") else model.inputs
    return tf.nest.pack_sequence_as(structure, inputs)


def _forget(*models: Any) -> None:
    """States of stateful layers back to zero."""
    for model in models:
        for layer in model._flatten_layers() if hasattr(model, "_flatten_layers") else ():
            if getattr(layer, "stateful", False) and getattr(layer, "states", None) is not None:
                layer.reset_states()
