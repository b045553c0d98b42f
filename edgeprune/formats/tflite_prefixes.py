"""The beginnings of a ``.tflite``'s graph as files of their own: what they take, one after the
other, says what each operator adds, where an engine has no profiler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgeprune.errors import ArtifactError

UNPACKING = "DENSIFY"
"""Makes a plain constant of a sparse one; it belongs to the operator that reads it."""


@dataclass(frozen=True)
class Prefix:
    """A file that ends with one operator.

    Attributes:
        name: of that operator's output.
        op: its kind, as the schema has it: ``"FULLY_CONNECTED"``.
        data: the file.
    """

    name: str
    op: str
    data: bytes


def prefixes(data: bytes, name: str) -> Iterator[Prefix]:
    """A file for every operator but :data:`UNPACKING`, in the order of the graph; the last one is
    the whole graph.

    Args:
        data: a ``.tflite`` that was read before, so that its offsets are known to be sound.
        name: of it, for messages.

    Raises:
        ArtifactError: a graph with branches that are graphs of their own, which has no beginnings.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = {value: key for key, value in vars(schema.BuiltinOperator).items() if key.isupper()}
    whole = _opened(data)
    if len(whole.subgraphs) != 1:
        raise ArtifactError(
            f"{name}: has {len(whole.subgraphs)} graphs, one inside another, and where the time of "
            "such a file goes is not known; profile the .onnx of the same model"
        )
    (graph,) = whole.subgraphs
    codes = [kinds[max(each.builtinCode, each.deprecatedBuiltinCode)]
             for each in whole.operatorCodes]  # fmt: skip
    for number, operator in enumerate(graph.operators):
        op = codes[operator.opcodeIndex]
        if op == UNPACKING and number + 1 < len(graph.operators):
            continue
        end = operator.outputs[0]
        yield Prefix(graph.tensors[end].name.decode("utf-8", "replace"), op, _cut(data, number))


def _opened(data: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def _cut(data: bytes, last: int) -> bytes:
    """The graph up to operator ``last``, whose outputs are its own; without the constants of the
    others."""
    import flatbuffers

    model = _opened(data)
    (graph,) = model.subgraphs
    graph.operators = graph.operators[: last + 1]
    graph.outputs = graph.operators[-1].outputs
    read = {int(tensor) for each in graph.operators for tensor in each.inputs if tensor >= 0}
    kept = {graph.tensors[tensor].buffer for tensor in read}
    for number, buffer in enumerate(model.buffers):
        if number not in kept:
            buffer.data = None
    # They name outputs that are gone.
    model.signatureDefs, model.metadata, model.metadataBuffer = [], [], []
    builder = flatbuffers.Builder(len(data) + 65536)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
