"""What is in an ``.onnx``: read without trust, no engine asked."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError
from edgeprune.formats.facts import Contents, Damage, unused

_WEIGHTS = {"float32", "float16", "float64", "int8", "uint8", "int16"}


def read_onnx(data: bytes, name: str) -> Contents:
    """The facts of an ONNX file.

    Args:
        data: the whole file.
        name: of the file, for the message.

    Raises:
        ArtifactError: not an ONNX file, truncated, damaged, or with its weights in other files.
    """
    try:
        return _contents(_parsed(data))
    except Damage as damage:
        raise ArtifactError(
            f"{name}: not a sound .onnx file ({damage}); export or copy it again"
        ) from None


def _parsed(data: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:
        raise Damage("its bytes are no protocol buffer, or are cut off") from error
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise Damage("it holds no graph, or one without outputs")
    return model


def _contents(model: onnx.ModelProto) -> Contents:
    density: dict[str, float] = {}
    stored: dict[str, str] = {}
    types = set()
    for graph in graphs(model.graph):
        for tensor in graph.initializer:
            values = _values(tensor)
            if values.dtype.name in _WEIGHTS and values.ndim:
                key = unused(tensor.name, density)
                density[key] = float(np.count_nonzero(values)) / values.size if values.size else 0.0
                stored[key] = "dense"
                types.add(values.dtype.name)
        for sparse in graph.sparse_initializer:
            key = unused(sparse.values.name, density)
            density[key], kind = _sparse(sparse)
            stored[key] = "coo"
            types.add(kind)
    constants = {tensor.name for tensor in model.graph.initializer}
    constants |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    inputs = tuple(_port(value) for value in model.graph.input if value.name not in constants)
    outputs = tuple(_port(value) for value in model.graph.output)
    variant = "onnx-fp32" if types <= {"float32"} else "unknown"
    return Contents(variant, inputs, outputs, density, stored)


def graphs(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    """``graph`` and every graph inside its nodes' attributes (bodies of Loop, If, Scan)."""
    found, waiting = [], [graph]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for node in current.node:
            for attribute in node.attribute:
                waiting.extend(attribute.graphs)
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
    return found


def _values(tensor: onnx.TensorProto) -> npt.NDArray[Any]:
    """The values of a tensor, after its size is known to fit its shape."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise Damage(f"tensor {tensor.name!r} keeps its values in another file")
    if any(size < 0 for size in tensor.dims):
        raise Damage(f"tensor {tensor.name!r} has shape {tuple(tensor.dims)}")
    try:
        kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError, ValueError) as error:
        raise Damage(f"tensor {tensor.name!r} is of no known type") from error
    wanted = prod(tensor.dims)
    if tensor.HasField("raw_data") and kind.itemsize > 1 and kind.kind in "fiu":
        found = len(tensor.raw_data)
        if found != wanted * kind.itemsize:
            raise Damage(
                f"tensor {tensor.name!r} should hold {wanted * kind.itemsize} bytes, has {found}"
            )
    elif wanted > 8 * tensor.ByteSize():
        raise Damage(f"tensor {tensor.name!r} has more elements than bytes")
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        raise Damage(f"the values of tensor {tensor.name!r} do not fit its shape") from error


def _sparse(sparse: onnx.SparseTensorProto) -> tuple[float, str]:
    values, indices = _values(sparse.values), _values(sparse.indices)
    name, size = sparse.values.name, prod(sparse.dims)
    if any(length < 0 for length in sparse.dims) or indices.dtype != np.int64:
        raise Damage(f"sparse tensor {name!r} has no sound shape or indices")
    if indices.ndim == 2 and indices.shape == (values.size, len(sparse.dims)):
        limits = np.asarray(sparse.dims, np.int64)
    elif indices.shape == (values.size,):
        limits = np.asarray([size], np.float64)
    else:
        raise Damage(f"sparse tensor {name!r} has {values.size} values for {indices.shape} indices")
    if indices.size and (indices.min() < 0 or np.any(indices >= limits)):
        raise Damage(f"sparse tensor {name!r} has an index outside its shape")
    if values.size > size or (indices.ndim == 1 and np.any(np.diff(indices) <= 0)):
        raise Damage(f"sparse tensor {name!r} has indices that are not in order")
    return (float(np.count_nonzero(values)) / size if size else 0.0), values.dtype.name


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise Damage(f"{value.name!r} is no tensor")
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except (KeyError, TypeError, ValueError) as error:
        raise Damage(f"{value.name!r} is of no known type") from error
    shape = tuple(
        int(size.dim_value) if size.HasField("dim_value") else -1 for size in tensor.shape.dim
    )
    return Port(value.name, shape, dtype)
