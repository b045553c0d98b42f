"""A .tflite is read without trust: what is in it comes back, what is broken is one line."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError
from edgeprune.formats.tflite import read_tflite


def level(size: int | None = None, segments: list[int] = (), indices: list[int] = ()):
    found = schema.DimensionMetadataT()
    if size is not None:
        found.format, found.denseSize = schema.DimensionType.DENSE, size
        return found
    found.format = schema.DimensionType.SPARSE_CSR
    found.arraySegmentsType = found.arrayIndicesType = schema.SparseIndexVector.Uint16Vector
    found.arraySegments, found.arrayIndices = schema.Uint16VectorT(), schema.Uint16VectorT()
    found.arraySegments.values = np.asarray(segments, np.uint16)
    found.arrayIndices.values = np.asarray(indices, np.uint16)
    return found


def sparsity(order: list[int], blocks: list[int], levels: list):
    found = schema.SparsityParametersT()
    found.traversalOrder, found.blockMap, found.dimMetadata = order, blocks or None, levels
    return found


def tensor(name: str, shape: list[int], buffer: int = 0, encoding=None, signature=None):
    found = schema.TensorT()
    found.name, found.shape, found.buffer = name.encode(), shape, buffer
    found.type, found.sparsity, found.shapeSignature = 0, encoding, signature
    return found


def built(constants: list) -> bytes:
    """A file with an input, an output and constants ``(name, shape, values, encoding)``."""
    model, graph, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT()
    buffers, tensors = [schema.BufferT()], [tensor("a", [1, 4], signature=[-1, 4])]
    for name, shape, values, encoding in constants:
        buffer = schema.BufferT()
        buffer.data = np.asarray(values, np.float32).ravel().view(np.uint8)
        buffers.append(buffer)
        tensors.append(tensor(name, shape, len(buffers) - 1, encoding))
    tensors.append(tensor("z", [1, 2]))
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = [*range(len(tensors) - 1), -1], [len(tensors) - 1]
    graph.tensors, graph.operators = tensors, [operator]
    graph.inputs, graph.outputs = [0], [len(tensors) - 1]
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = b"pixels", 0
    signature = schema.SignatureDefT()
    signature.inputs, signature.outputs, signature.signatureKey = [entry], [], b"serving_default"
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, model.signatureDefs = buffers, [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


CSR = sparsity([0, 1], [], [level(2), level(segments=[0, 1, 3], indices=[3, 0, 2])])
BLOCK = sparsity([0, 1, 2], [1], [level(2), level(segments=[0, 1, 1], indices=[1]), level(4)])
WHOLE = built(
    [
        ("dense/kernel", [2, 4], [[1, 0, 2, 0], [0, 0, 0, 3]], None),
        ("csr/kernel", [2, 4], [5, 6, 7], CSR),
        ("block/kernel", [2, 8], [1, 0, 2, 3], BLOCK),
    ]
)


def test_density_storage_names_and_shapes_come_back() -> None:
    found = read_tflite(WHOLE, "f.tflite")
    assert found.density == {
        "dense/kernel": 3 / 8,
        "csr/kernel": 3 / 8,
        "block/kernel": 3 / 16,
    }
    assert found.stored == {"dense/kernel": "dense", "csr/kernel": "csr", "block/kernel": "block"}
    assert found.variant == "fp32-sparse"
    assert found.inputs == (Port("pixels", (-1, 4), "float32"),)
    assert found.outputs == (Port("z", (1, 2), "float32"),)


def test_a_dense_file_is_fp32_and_two_tensors_of_one_name_are_told_apart() -> None:
    found = read_tflite(built([("k", [1], [0], None), ("k", [1], [1], None)]), "f.tflite")
    assert found.variant == "fp32"
    assert found.density == {"k": 0.0, "k#2": 1.0}


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        (sparsity([0, 0], [], [level(2), level(4)]), "traversal order"),
        (sparsity([0, 1], [], [level(2)]), "traversal order"),
        (sparsity([0, 1, 2], [7], [level(2), level(4), level(1)]), "no axis"),
        (sparsity([0, 1, 2], [1], [level(2), level(1), level(3)]), "blocks of 3"),
        (sparsity([0, 1], [], [level(9), level(4)]), "dense level of 9"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 3], indices=[0, 1, 2])]), "segments"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 2, 1], indices=[0])]), "segments"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 1, 4], indices=[0])]), "disagree"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 1, 2], indices=[0, 4])]), "outside"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 2, 3], indices=[1, 1, 0])]), "order"),
        (sparsity([0, 1], [], [level(2), level(segments=[0, 1, 2], indices=[0, 0])]), "bytes"),
    ],
)
def test_an_encoding_that_describes_no_such_tensor_is_refused(encoding, said) -> None:
    with pytest.raises(ArtifactError, match=said):
        read_tflite(built([("k", [2, 4], [1, 2, 3], encoding)]), "f.tflite")


def test_a_dense_constant_with_too_few_bytes_is_refused_without_allocating_it() -> None:
    with pytest.raises(ArtifactError, match="should hold"):
        read_tflite(built([("k", [2**30, 2**30], [1, 2], None)]), "f.tflite")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"PK\3\4" * 40, b"\xff" * 4 + b"TFL3"])
def test_what_is_no_tflite_is_one_line_that_names_the_file(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^f\.tflite: not a sound \.tflite") as caught:
        read_tflite(data, "f.tflite")
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused_or_harmless() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(ArtifactError):
            read_tflite(WHOLE[:length], "f.tflite")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1))
def test_flipped_bytes_give_facts_or_one_line_never_a_traceback(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    try:
        found = read_tflite(bytes(data), "f.tflite")
    except ArtifactError as error:
        assert "\n" not in str(error)
    else:
        assert all(0 <= share <= 1 for share in found.density.values())
