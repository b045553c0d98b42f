"""Keras to ONNX by tf2onnx, then made canonical: the same model gives the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper

from edgeprune.errors import ExportError
from edgeprune.exporting.naming import WeightNames
from edgeprune.exporting.quiet import quiet
from edgeprune.exporting.signatures import Signature, signature
from edgeprune.formats.onnx import graphs
from edgeprune.formats.onnx_canonical import canonical, sparsify, unknown_operators, without_erfc

OPSET = 18
_LIMIT = 2**31 - 2**20


def onnx_bytes(model: Any, *, sparse: bool, batch: int | None) -> bytes:
    """The model as float32 ONNX, opset 18; ``sparse`` as :func:`export_model` has it.

    Raises:
        ExportError: an operator that ONNX has not (named), or any other refusal.
    """
    wanted = signature(model, batch)
    if (
        sum(
            variable.value.nbytes if hasattr(variable.value, "nbytes") else 0
            for variable in model.variables
        )
        > _LIMIT
    ):
        raise ExportError(f"model {model.name!r} has over 2 GB of weights; one .onnx holds 2 GB")
    keys = [f"output_{index:04d}" for index in range(len(wanted.outputs))]
    with quiet():
        try:
            function = tf.function(
                wanted.function(keys), input_signature=wanted.specs, autograph=False
            )
            with _inlined():
                traced = function.get_concrete_function(*wanted.specs)
            raw, _ = tf2onnx.convert.from_function(function, wanted.specs, opset=OPSET)
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise ExportError(
                f"model {model.name!r} does not convert to ONNX ({type(error).__name__}: {said})"
            ) from error
        _add_lost(raw, traced.graph)
        without_erfc(raw)
        _check_operators(model, raw)
        new = canonical(raw, *_ports(model, raw, wanted, keys), _namer(wanted))
        _set_shapes(new, wanted)
        if sparse:
            sparsify(new)
        try:
            onnx.checker.check_model(new)
        except onnx.checker.ValidationError as error:
            said = " ".join(str(error).split())[:300]
            raise ExportError(
                f"model {model.name!r}: onnx.checker refuses the file ({said})"
            ) from error
    return new.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """Functions that are traced inside another become part of it: Keras computes grouped
    convolutions in one of their own, compiled by XLA, which stays a call that ONNX has not."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _add_lost(raw: onnx.ModelProto, source: Any) -> None:
    """Constants that tf2onnx drops although a node still uses them (of Normalization, in front of
    a transpose), from the graph they come of."""
    made = {name for node in raw.graph.node for name in node.output}
    made.update(tensor.name for tensor in raw.graph.initializer)
    constants = {f"{op.name}:0": op for op in source.get_operations() if op.type == "Const"}
    lost = {name for node in raw.graph.node for name in node.input} - made - {""}
    for name in sorted(lost & set(constants)):
        value = tf.make_ndarray(constants[name].get_attr("value"))
        raw.graph.initializer.append(numpy_helper.from_array(value, name))


def _check_operators(model: Any, raw: onnx.ModelProto) -> None:
    unknown = unknown_operators(raw, graphs(raw.graph))
    if unknown:
        raise ExportError(
            f"model {model.name!r}: ONNX has no operator for {', '.join(unknown)}; "
            "replace the layer that makes it, or export to TFLite"
        )


def _ports(
    model: Any, raw: onnx.ModelProto, wanted: Signature, keys: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """From tf2onnx's names to Keras', in the model's order."""
    found = {value.name.split(":")[0]: value.name for value in raw.graph.input}
    made = {value.name.split(":")[0]: value.name for value in raw.graph.output}
    for names, held, noun in ((wanted.inputs, found, "input"), (keys, made, "output")):
        missing = [name for name in names if name not in held]
        if missing:
            raise ExportError(
                f"model {model.name!r}: tf2onnx lost the {noun} {missing[0]!r} (has {sorted(held)})"
            )
    inputs = {found[name]: name for name in wanted.inputs}
    outputs = {made[key]: name for key, name in zip(keys, wanted.outputs, strict=True)}
    return inputs, outputs


def _namer(wanted: Signature) -> Any:
    names = WeightNames(wanted.model)

    def name(tensor: onnx.TensorProto) -> str:
        # A value's name must differ from those of inputs, outputs and nodes: only weights have a /.
        values = numpy_helper.to_array(tensor)
        found = names.of(values, tuple(values.shape), tensor.name)
        return found if "/" in found or found.startswith("constant_") else f"{found}/value"

    return name


def _set_shapes(model: onnx.ModelProto, wanted: Signature) -> None:
    """Shapes as the Keras model has them: tf2onnx leaves some dimensions open."""
    specs = [tuple(spec.shape) for spec in wanted.specs]
    batch = specs[0][0]
    outputs = [(batch, *tensor.shape[1:]) for tensor in wanted.model.outputs]
    for values, shapes in ((model.graph.input, specs), (model.graph.output, outputs)):
        for value, shape in zip(values, shapes, strict=True):
            tensor = value.type.tensor_type
            tensor.ClearField("shape")
            for place, size in enumerate(shape):
                dimension = tensor.shape.dim.add()
                if size is not None:
                    dimension.dim_value = size
                else:
                    dimension.dim_param = "batch" if place == 0 else f"{value.name}_{place}"
