"""Keras to TFLite: weights as constants, built-in operators only, a signature with Keras' names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_sparsify
from tensorflow.lite.python.util import modify_model_io_type
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from edgeprune.errors import ExportError
from edgeprune.exporting.mending import densified, holds_sparse, mended
from edgeprune.exporting.padding import padded
from edgeprune.exporting.quiet import quiet
from edgeprune.exporting.rebuilding import opened, rebuilt
from edgeprune.exporting.signatures import Signature, flat, signature
from edgeprune.exporting.unrolling import loops, unrolled
from edgeprune.models import named_layers
from edgeprune.variants import Variant

Array = npt.NDArray[Any]
_OPERATORS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


class TfliteForms:
    """One model as TFLite, traced once; what forms share is converted once.

    A second trace is made only where a form needs another graph: hidden axes padded for the blocks
    of a sparse float kernel, recurrent layers unrolled for whole numbers.
    """

    def __init__(self, model: Any, batch: int | None) -> None:
        self._model = model
        self._batch = batch
        self._traces: dict[str, tuple[Signature, Any]] = {}
        self._dense: dict[str, bytes] = {}

    def file(self, form: Variant, calibration: Sequence[Array] | None = None) -> bytes:
        """The file of a variant; ``calibration`` has one array an input, in the model's order, and
        is read for whole numbers alone.

        Raises:
            ExportError: an operator that the form has not (named), or any other refusal.
        """
        graph = self._graph(form)
        dense = self._converted(graph, form.precision, calibration)
        return self._written(graph, self._mended(dense) if form.sparse else opened(dense))

    def fewer(self, form: Variant) -> bytes | None:
        """Of a sparse file that was made, the same with the kernels of fully connected layers
        stored dense; ``None`` where none is sparse, or nothing else."""
        graph = self._graph(form)
        file = self._mended(self._dense[f"{graph} {form.precision}"])
        if not densified(file) or not holds_sparse(file):
            return None
        return self._written(graph, file)

    def twin(self, form: Variant) -> bytes:
        """Of a sparse file that was made, the same conversion with every zero stored."""
        graph = self._graph(form)
        return self._written(graph, opened(self._dense[f"{graph} {form.precision}"]))

    def _written(self, graph: str, file: Any) -> bytes:
        return rebuilt(file, self._traces[graph][0])

    def _mended(self, dense: bytes) -> Any:
        with quiet() as chatter:
            try:
                sparse = _sparsified(dense)
            except Exception as error:
                raise ExportError(_explained(self._model, error, chatter.tail())) from error
        return mended(opened(sparse), opened(dense))

    def _graph(self, form: Variant) -> str:
        """Which trace a form starts from; it is made."""
        if form.name == "fp32-sparse":
            whole = flat(self._model)
            wider = padded(whole)
            if wider is not whole:
                return self._traced("padded", wider)
        plain = self._traced("plain", self._model)
        if not form.calibrated or not loops(self._traces[plain][1]):
            return plain
        return self._traced("unrolled", self._model)

    def _traced(self, graph: str, model: Any) -> str:
        if graph in self._traces:
            return graph
        wanted = signature(unrolled(model) if graph == "unrolled" else model, self._batch)
        keys = [f"{index:04d}" for index in range(len(wanted.outputs))]
        with quiet() as chatter:
            try:
                # Variables that stay variables end up as READ_VARIABLE: a file without weights.
                live = tf.function(wanted.function(keys), autograph=False)
                concrete = live.get_concrete_function(*wanted.specs)
                frozen = convert_variables_to_constants_v2(concrete)
            except Exception as error:
                raise ExportError(_explained(self._model, error, chatter.tail())) from error
        self._traces[graph] = (wanted, frozen)
        return graph

    def _converted(self, graph: str, precision: str, calibration: Sequence[Array] | None) -> bytes:
        """The converter's dense file; what is inside of int8 is the same whatever its ends."""
        key = f"{graph} {precision}"
        if key not in self._dense:
            frozen = self._traces[graph][1]
            with quiet() as chatter:
                try:
                    if precision == "int8":
                        inside = self._converted(graph, "int8-float-io", calibration)
                        self._dense[key] = bytes(modify_model_io_type(inside, tf.int8, tf.int8))
                    else:
                        self._dense[key] = _converted(
                            frozen, precision, calibration, steps=graph == "unrolled"
                        )
                except ExportError:
                    raise
                except Exception as error:
                    raise ExportError(_explained(self._model, error, chatter.tail())) from error
        return self._dense[key]


def _converted(
    frozen: Any, precision: str, calibration: Sequence[Array] | None, *, steps: bool = False
) -> bytes:
    """``steps``: of recurrent layers written out, of which the newer quantiser makes other files
    from run to run."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    kind = precision.removesuffix("-float-io")
    converter.target_spec.supported_ops = [_OPERATORS.get(kind, tf.lite.OpsSet.TFLITE_BUILTINS)]
    converter.allow_custom_ops = False
    if precision != "fp32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in _OPERATORS:
        assert calibration is not None
        shapes = [tuple(tensor.shape) for tensor in frozen.inputs]
        converter.representative_dataset = lambda: _batches(calibration, shapes[0][0] or 1)
        converter.experimental_new_quantizer = not steps
    return bytes(converter.convert())


def _batches(arrays: Sequence[Array], size: int) -> Iterator[list[Array]]:
    """Whole batches; the last is filled up with what comes first."""
    count = len(arrays[0])
    for start in range(0, count, size):
        index = np.arange(start, start + size) % count
        yield [array[index] for array in arrays]


def _sparsified(dense: bytes) -> bytes:
    """As the converter does it for Optimize.EXPERIMENTAL_SPARSITY, once a file is made."""
    return bytes(mlir_sparsify(dense))


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
