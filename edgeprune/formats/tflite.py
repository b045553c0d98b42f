"""What is in a ``.tflite``: read with every offset checked, no engine and no framework asked.

Field numbers: ``tensorflow/lite/schema/schema.fbs``, version 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError
from edgeprune.formats.facts import Contents, Damage, unused
from edgeprune.formats.flatbuffer import Table
from edgeprune.formats.sparsity import check_sparsity, dense_elements

TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64"),
    *("int8", "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16"),
    *("int4", "bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2"),
)
"""numpy's name for each TensorType, by its number."""

_WEIGHTS = {"float32": 4, "float16": 2, "float64": 8, "int8": 1, "uint8": 1, "int16": 2}
"""Types whose values are weights, with their bytes; integers of shapes and biases are not."""


@dataclass(frozen=True)
class _File:
    model: Table
    subgraphs: list[Table]
    tensors: list[list[Table]]
    buffers: list[Table]


def read_tflite(data: bytes, name: str) -> Contents:
    """The facts of a TFLite file.

    Args:
        data: the whole file.
        name: of the file, for the message.

    Raises:
        ArtifactError: not a TFLite file, truncated, or damaged.
    """
    try:
        file = _opened(data)
        density: dict[str, float] = {}
        stored: dict[str, str] = {}
        shifted = []
        types = set()
        counted: dict[tuple[int, str, int], int] = {}
        for tensors in file.tensors:
            for tensor in tensors:
                kind = _type(tensor)
                values = _constant(file, tensor, data)
                if kind not in _WEIGHTS or values is None or not len(tensor.numbers(0, np.int32)):
                    continue
                key = unused(tensor.text(3), density)
                density[key], stored[key] = _weight(tensor, kind, values, counted)
                types.add(kind)
                if np.any(_quantization(tensor)[1]):
                    shifted.append(key)
        inputs, outputs = _ports(file)
        variant = _variant(file, data, types, bool(set(stored.values()) - {"dense"}))
    except Damage as damage:
        raise ArtifactError(
            f"{name}: not a sound .tflite file ({damage}); export or copy it again"
        ) from None
    return Contents(variant, inputs, outputs, density, stored, tuple(shifted))


def _variant(file: _File, data: bytes, types: set[str], sparse: bool) -> str:
    """What the file is called among variants; ``"unknown"`` for files of others."""
    inside, ends = _computed(file, data)
    floats = any(kind.startswith(("float", "bfloat")) for kind in inside)
    found = "unknown"
    if types <= {"float32"} and not inside & {"int8", "uint8", "int16"}:
        found = "fp32"
    elif types <= {"float32", "float16"} and "float16" in types:
        found = "fp16"
    elif types <= {"float32", "int8", "int16"} and "int8" in types:
        if floats:
            found = "dynamic" if not (inside | types - {"int8"}) & {"int8", "int16"} else "unknown"
        elif "float32" not in types:
            whole = "int16x8" if "int16" in inside | ends else "int8"
            found = "int8-float-io" if whole == "int8" and "float32" in ends else whole
    return f"{found}-sparse" if sparse and found != "unknown" else found


def _computed(file: _File, data: bytes) -> tuple[set[str], set[str]]:
    """Types of what is computed: inside, and at the ends, where a converter may leave floats."""
    inside: set[str] = set()
    outside: set[str] = set()
    for graph, tensors in zip(file.subgraphs, file.tensors, strict=True):
        ends = {int(index) for field in (1, 2) for index in graph.numbers(field, np.int32)}
        for index, tensor in enumerate(tensors):
            if _constant(file, tensor, data) is None:
                (outside if index in ends else inside).add(_type(tensor))
    return inside, outside


def _opened(data: bytes) -> _File:
    model = Table.root(data, b"TFL3")
    subgraphs, buffers = model.tables(2), model.tables(4)
    if not subgraphs:
        raise Damage("it holds no graph")
    tensors = [graph.tables(0) for graph in subgraphs]
    codes = len(model.tables(1))
    for graph, held in zip(subgraphs, tensors, strict=True):
        _check_graph(graph, len(held), codes)
        for tensor in held:
            if tensor.number(2, "<I") >= max(len(buffers), 1):
                raise Damage(f"tensor {tensor.text(3)!r} has its values in no buffer")
    return _File(model, subgraphs, tensors, buffers)


def _check_graph(graph: Table, tensors: int, codes: int) -> None:
    for field in (1, 2):
        _check_indices(graph.numbers(field, np.int32), tensors, 0)
    for operator in graph.tables(3):
        if operator.number(0, "<I") >= codes:
            raise Damage("an operator of no known code")
        for field in (1, 2):
            # -1 stands for an optional input that is not given.
            _check_indices(operator.numbers(field, np.int32), tensors, -1)


def _check_indices(indices: npt.NDArray[Any], tensors: int, lowest: int) -> None:
    if len(indices) and (indices.min() < lowest or indices.max() >= tensors):
        raise Damage("it names a tensor that it does not have")


def _type(tensor: Table) -> str:
    number = tensor.number(1, "<b")
    if not 0 <= number < len(TYPES):
        raise Damage(f"tensor {tensor.text(3)!r} is of the unknown type {number}")
    return TYPES[number]


def _constant(file: _File, tensor: Table, data: bytes) -> npt.NDArray[np.uint8] | None:
    """The bytes of a constant; ``None`` for what is computed."""
    index = tensor.number(2, "<I")
    if index >= len(file.buffers):
        return None
    buffer = file.buffers[index]
    offset, size = buffer.number(1, "<Q"), buffer.number(2, "<Q")
    if offset > 1:
        # Files over 2 GB keep their values after the flatbuffer.
        if offset + size > len(data):
            raise Damage(f"the values of {tensor.text(3)!r} lie after the end of the file")
        return np.frombuffer(data, np.uint8, size, offset)
    values = buffer.numbers(0, np.uint8)
    return values if len(values) else None


def _weight(
    tensor: Table,
    kind: str,
    values: npt.NDArray[np.uint8],
    counted: dict[tuple[int, str, int], int],
) -> tuple[float, str]:
    shape = tuple(int(size) for size in tensor.numbers(0, np.int32))
    elements = dense_elements(shape)
    sparsity = tensor.table(6)
    count, stored = (elements, "dense") if sparsity is None else check_sparsity(sparsity, shape)
    if count * _WEIGHTS[kind] != len(values):
        raise Damage(
            f"tensor {tensor.text(3)!r} should hold {count * _WEIGHTS[kind]} bytes, "
            f"and has {len(values)}"
        )
    # Many tensors may share one buffer: count it once.
    zeros = _quantization(tensor)[1]
    zero = int(zeros[0]) if len(zeros) == 1 else 0
    key = (tensor.number(2, "<I"), kind, zero)
    if key not in counted:
        numbers = values.view(np.dtype(kind).newbyteorder("<"))
        counted[key] = int(np.count_nonzero(numbers != zero))
    return (counted[key] / elements if elements else 0.0), stored


def _ports(file: _File) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    graph, tensors = file.subgraphs[0], file.tensors[0]
    names: tuple[dict[int, str], dict[int, str]] = ({}, {})
    for signature in file.model.tables(7):
        if signature.number(4, "<I") != 0:
            continue
        for field in (0, 1):
            for entry in signature.tables(field):
                names[field].setdefault(entry.number(1, "<I"), entry.text(0))
        break
    ports = []
    for field in (0, 1):
        indices = [int(index) for index in graph.numbers(field + 1, np.int32)]
        ports.append(tuple(_port(tensors[index], names[field].get(index)) for index in indices))
    return ports[0], ports[1]


def _port(tensor: Table, name: str | None) -> Port:
    shape = tensor.numbers(7, np.int32)
    if not len(shape):
        shape = tensor.numbers(0, np.int32)
    scales, zeros = _quantization(tensor)
    kind = _type(tensor)
    whole = kind in ("int8", "uint8", "int16") and len(scales) == 1 and 0 < scales[0] < np.inf
    return Port(
        name or tensor.text(3),
        tuple(int(size) for size in shape),
        kind,
        scale=float(scales[0]) if whole else None,
        zero_point=int(zeros[0]) if whole and len(zeros) else 0,
    )


def _quantization(tensor: Table) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Scales and zero points of a tensor; both may be empty."""
    found = tensor.table(4)
    if found is None:
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    return found.numbers(2, np.float32), found.numbers(3, np.int64)
