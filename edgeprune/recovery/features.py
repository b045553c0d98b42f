"""Outputs of layers inside a model and its teacher, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from edgeprune.errors import InputError
from edgeprune.files import nearest

AUTO = ("auto",)


def shared_features(model: Any, dense: Any, asked: Sequence[str]) -> tuple[str, ...]:
    """Names of the layers whose outputs are compared: those ``asked`` for, or of ``("auto",)`` all
    with weights whose outputs have the same shape in both.

    Raises:
        InputError: as :func:`check_features`.
    """
    if tuple(asked) != AUTO:
        check_features(model, dense, asked)
        return tuple(asked)
    ends = {id(tensor) for tensor in model.outputs}
    wanted = _outputs(dense)
    return tuple(
        layer.name
        for layer in model.layers
        if layer.weights
        and (mine := _output(layer)) is not None
        and id(mine) not in ends
        and (theirs := wanted.get(layer.name)) is not None
        and tuple(mine.shape) == tuple(theirs.shape)
    )


def check_features(model: Any, dense: Any, asked: Sequence[str]) -> None:
    """Refuse layers that cannot be compared.

    Raises:
        InputError: a layer that one of the two has not, that is called more than once or gives no
            single tensor, or whose outputs have other shapes.
    """
    if tuple(asked) == AUTO:
        return
    found, wanted = _outputs(model), _outputs(dense)
    for name in asked:
        for which, outputs in (("pruned", found), ("dense", wanted)):
            if outputs.get(name) is None:
                near = nearest(name, tuple(outputs))
                hint = f"; did you mean {near!r}?" if near and near != name else ""
                raise InputError(
                    f"features: the {which} model has no layer {name!r} with one output, called "
                    f"once{hint}"
                )
        shapes = tuple(found[name].shape), tuple(wanted[name].shape)
        if shapes[0] != shapes[1]:
            raise InputError(
                f"features: layer {name!r} gives {shapes[0]} in the pruned model and {shapes[1]} "
                "in the dense one; name layers that kept their width, or 'auto' for all that did"
            )


def kept_features(model: Any, dense: Any, asked: Sequence[str]) -> tuple[str, ...]:
    """Of ``asked``, the layers that have the same shape in both still."""
    found, wanted = _outputs(model), _outputs(dense)

    def shape(outputs: dict[str, Any], name: str) -> Any:
        output = outputs.get(name)
        return None if output is None else tuple(output.shape)

    if tuple(asked) == AUTO:
        return AUTO
    return tuple(
        name
        for name in asked
        if shape(found, name) is not None and shape(found, name) == shape(wanted, name)
    )


def _outputs(model: Any) -> dict[str, Any]:
    return {layer.name: _output(layer) for layer in model.layers}


def _output(layer: Any) -> Any:
    """A layer's output, where it has one: it is called once, and gives one tensor."""
    try:
        output = layer.output
    except (AttributeError, ValueError):
        return None
    return output if isinstance(output, keras.KerasTensor) else None


def showing(model: Any, names: Sequence[str]) -> Any:
    """``model`` with the outputs of these layers behind its own; it shares every variable."""
    if not names:
        return model
    outputs = [*model.outputs, *(model.get_layer(name).output for name in names)]
    return keras.Model(model.inputs, outputs)


def features_apart(wanted: Sequence[Any], given: Sequence[Any]) -> Any:
    """The mean over layers of Σ (f_s - f_t)² / Σ f_t²; 0 without any."""
    if not wanted:
        return 0.0
    apart = [
        tf.reduce_sum(tf.math.squared_difference(_floats(mine), _floats(theirs)))
        / (tf.reduce_sum(_floats(theirs) ** 2) + keras.backend.epsilon())
        for theirs, mine in zip(wanted, given, strict=True)
    ]
    return tf.add_n(apart) / len(apart)


def _floats(value: Any) -> Any:
    return tf.cast(value, tf.float32)
