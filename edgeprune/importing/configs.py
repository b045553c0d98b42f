"""From the config of a Keras 2 layer to a layer of Keras 3."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from edgeprune.errors import ModelError
from edgeprune.models.references import one_line

HARD_SIGMOID = "hard_sigmoid"
SLOPE = 1.2
"""Keras 2: clip(0.2 x + 0.5). Keras 3: clip(x / 6 + 0.5), so its argument is 1.2 times as big."""

_RENAMED = {"ThresholdedReLU": "ReLU", "SyncBatchNormalization": "BatchNormalization"}
_KEYS = {
    ("LeakyReLU", "alpha"): "negative_slope",
    ("ThresholdedReLU", "theta"): "threshold",
}
# Settings of Keras 2 that say nothing about what a layer computes, or that it does not use.
_IDLE = {
    "batch_input_shape", "input_length", "implementation", "zero_output_for_mask", "build_config",
    "query_shape", "key_shape", "value_shape", "kernel_initializer", "kernel_regularizer",
    "kernel_constraint", "autocast", "input_dim", "input_shape", "trainable", "rng_type",
}  # fmt: skip
_NEUTRAL: dict[str, Any] = {"groups": 1, "fused": True}
"""Settings that Keras 3 does not know, with the value that it means anyway."""


def made_layer(kind: str, config: Mapping[str, Any], where: str) -> Any:
    """A Keras 3 layer of class ``kind``; ``where`` names it in messages.

    Raises:
        ModelError: Keras 3 has no such layer, or a setting has no counterpart there.
    """
    made = _layer_class(kind, where)
    try:
        layer = made.from_config(_settings(kind, made, config, where))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"layer {where!r} ({kind}): Keras 3 does not build it "
            f"({type(error).__name__}: {one_line(error)}); replace it where the model was made"
        ) from error
    if not config.get("trainable", True):
        layer.trainable = False
    return layer


def own_layer(made: Any, config: Mapping[str, Any]) -> Any:
    """A layer of a user's class, from the config that it wrote itself."""
    given = {key: value for key, value in config.items() if key != "batch_input_shape"}
    given["dtype"] = _policy(given.get("dtype"))
    return made.from_config(given)


def _layer_class(kind: str, where: str) -> Any:
    short = kind[:-2] if kind.endswith(("V1", "V2")) else kind
    found = getattr(keras.layers, _RENAMED.get(short, short), None)
    if not (isinstance(found, type) and issubclass(found, keras.layers.Layer)):
        raise ModelError(
            f"layer {where!r}: Keras 3 has no {kind}; replace it where the model was made"
        )
    return found


def _settings(kind: str, made: Any, config: Mapping[str, Any], where: str) -> dict[str, Any]:
    accepted = _accepted(made)
    settings: dict[str, Any] = {}
    for key, value in config.items():
        key = _KEYS.get((kind, key), key)
        value = _value(value, f"{where}/{key}")
        if key in accepted:
            settings[key] = value
        elif key not in _IDLE and value not in (None, False, _NEUTRAL.get(key)):
            raise ModelError(
                f"layer {where!r} ({kind}): its setting {key} = {value!r} has no counterpart in "
                "Keras 3; replace it where the model was made"
            )
    settings["dtype"] = _policy(settings.get("dtype"))
    if kind.startswith("SyncBatch"):
        settings["synchronized"] = True
    axis = settings.get("axis")
    if made is keras.layers.BatchNormalization and isinstance(axis, list):
        if len(axis) != 1:
            raise ModelError(
                f"layer {where!r} ({kind}): Keras 3 normalises over one axis, not {axis}; "
                "replace it where the model was made"
            )
        settings["axis"] = axis[0]
    return settings


def _accepted(made: Any) -> set[str]:
    """The settings of a class: its own, and those of its bases where it passes ``kwargs`` on."""
    names: set[str] = {"name", "dtype"}
    for base in made.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names.update(p.name for p in parameters if p.kind is not p.VAR_KEYWORD)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


def _value(value: Any, where: str) -> Any:
    """A setting as Keras 3 takes it: layers inside are made, lists are lists."""
    if isinstance(value, Mapping):
        if _is_layer(value):
            return _serialized(value, where)
        return {str(key): _value(each, where) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_value(each, where) for each in value]
    return value


def _is_layer(value: Mapping[str, Any]) -> bool:
    found = getattr(keras.layers, str(value.get("class_name")), None)
    return isinstance(found, type) and issubclass(found, keras.layers.Layer)


def _serialized(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    layer = made_layer(str(value["class_name"]), value["config"], where)
    return dict(keras.saving.serialize_keras_object(layer))


def _policy(dtype: Any) -> Any:
    """The name of a dtype or of a policy; Keras 2 wrote the latter as an object."""
    if isinstance(dtype, Mapping):
        return dtype["config"]["name"]
    return dtype
