"""Keras to TFLite: weights as constants, built-in operators only, a signature with Keras' names."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgeprune.errors import ExportError
from edgeprune.exporting.mending import mended
from edgeprune.exporting.padding import padded
from edgeprune.exporting.quiet import quiet
from edgeprune.exporting.rebuilding import opened, rebuilt
from edgeprune.exporting.signatures import flat, signature
from edgeprune.models import named_layers


def tflite_bytes(model: Any, *, sparse: bool, batch: int | None) -> bytes:
    """The model as float32 TFLite; ``sparse`` lets the converter encode mostly-zero weights,
    hidden axes padded for its blocks, and replaces what it encodes wrongly.

    Raises:
        ExportError: an operator that TFLite has not (named), or any other refusal.
    """
    wanted = signature(padded(flat(model)) if sparse else model, batch)
    keys = [f"{index:04d}" for index in range(len(wanted.outputs))]
    with quiet() as chatter:
        try:
            # Variables that stay variables end up as READ_VARIABLE: a file without weights.
            live = tf.function(wanted.function(keys), autograph=False)
            frozen = convert_variables_to_constants_v2(live.get_concrete_function(*wanted.specs))
            dense = _converted(frozen, sparse=False)
            encoded = _converted(frozen, sparse=True) if sparse else None
        except Exception as error:
            raise ExportError(_explained(model, error, chatter.tail())) from error
    file = opened(dense)
    return rebuilt(file if encoded is None else mended(opened(encoded), file), wanted)


def _converted(frozen: Any, *, sparse: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.allow_custom_ops = False
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    return converter.convert()


def _other_precision(model: Any) -> tuple[str, str] | None:
    """The first layer that does not compute in float32, and its policy."""
    for name, layer in named_layers(model).items():
        if layer.weights and "float" in layer.compute_dtype and layer.compute_dtype != "float32":
            return name, str(layer.dtype_policy.name)
    return None


def _explained(model: Any, error: Exception, said: str) -> str:
    text = f"{error}\n{said}"
    operators = sorted(set(re.findall(r"'(tf\.\w+)' op is neither a custom op nor", text)))
    operators = operators or re.findall(r"(?:TF Select|Flex) ops: ([\w, ]+)", text)[:1]
    other = _other_precision(model) if operators else None
    if other is not None:
        name, policy = other
        return (
            f"model {model.name!r}: layer {name!r} computes in another precision ({policy}), for "
            f"which TFLite has no {', '.join(operators)}; build the model with dtype float32 and "
            "give it these weights, or export to ONNX"
        )
    if operators:
        return (
            f"model {model.name!r}: TFLite has no operator for {', '.join(operators)}; "
            "replace the layer that makes it, or export to ONNX"
        )
    short = " ".join(str(error).split())[:300]
    return f"model {model.name!r} does not convert to TFLite ({type(error).__name__}: {short})"
