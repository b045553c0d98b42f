"""A TFLite file written anew, so that its bytes are a function of its model alone.

The converter names a tensor after whichever of several merged operations it met first, which
changes from one run to the next, and gives a file without signature. Here constants are named
after Keras' weights, the rest by number, and inputs and outputs as Keras names them.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgeprune.errors import ExportError
from edgeprune.exporting.naming import WeightNames
from edgeprune.exporting.signatures import Signature

ALIGNMENT = 16
"""Of a buffer's first byte, as schema.fbs asks (``force_align: 16``)."""
KEY = "serving_default"
_WEIGHTS = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
}
_RENAMED = (b"tfl.pseudo_qconst", b"arith.constant")
_LIMIT = 2**31 - 2**20


def opened(data: bytes) -> Any:
    """A file in the schema's object form, a ``ModelT``.

    Raises:
        ExportError: the file is over 2 GB.
    """
    if len(data) > _LIMIT:
        raise ExportError(f"the file would have {len(data)} bytes; TFLite takes 2 GB")
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


def rebuilt(model: Any, wanted: Signature) -> bytes:
    """The converter's file with canonical names and a signature.

    Args:
        model: a ``ModelT``; it is changed.
        wanted: what the file must be to those who run it.

    Raises:
        ExportError: the file has other inputs or outputs than the model.
    """
    names = WeightNames(wanted.model)
    for number, graph in enumerate(model.subgraphs):
        graph.name = b"main" if number == 0 else f"graph_{number}".encode()
        hints = _hints(graph)
        for index, tensor in enumerate(graph.tensors):
            otherwise = f"tensor_{number}_{index}"
            tensor.name = _name(model, names, tensor, hints.get(index, ""), otherwise).encode()
    _sign(model, wanted)
    for index, buffer in enumerate(model.buffers):
        model.buffers[index] = _Aligned(buffer)
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + 65536)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _hints(graph: Any) -> dict[int, str]:
    """What the converter calls a constant; one that its quantiser named anew, by its reader."""
    found: dict[int, bytes] = {}
    for operator in graph.operators or ():
        read = () if operator.inputs is None else [int(index) for index in operator.inputs]
        made = () if operator.outputs is None else [int(index) for index in operator.outputs]
        for index in read:
            if index >= 0 and made:
                found.setdefault(index, graph.tensors[made[0]].name)
    for index, tensor in enumerate(graph.tensors):
        if not tensor.name.startswith(_RENAMED):
            found[index] = tensor.name
    return {index: name.decode("utf-8", errors="replace") for index, name in found.items()}


def _name(model: Any, names: WeightNames, tensor: Any, hint: str, otherwise: str) -> str:
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data) or tensor.type not in _WEIGHTS or tensor.shape is None:
        return otherwise
    shape = tuple(int(size) for size in tensor.shape)
    values = np.asarray(data, np.uint8).view(_WEIGHTS[tensor.type])
    return names.of(values, shape, hint)


def _sign(model: Any, wanted: Signature) -> None:
    main = model.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = KEY.encode(), 0
    signature.inputs = _ports(main, main.inputs, wanted.inputs, "inputs")
    signature.outputs = _ports(main, main.outputs, wanted.outputs, "outputs")
    model.signatureDefs = [signature]


def _ports(graph: Any, indices: Any, names: tuple[str, ...], noun: str) -> list[Any]:
    if len(indices) != len(names):
        raise ExportError(
            f"the converter gave {len(indices)} {noun} for the model's {len(names)} "
            f"({', '.join(names)})"
        )
    entries = []
    for index, name in zip(indices, names, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(index)
        graph.tensors[index].name = name.encode()
        entries.append(entry)
    return entries


class _Aligned(schema.BufferT):
    """A buffer whose data begin where kernels may read them; the generated code forgets that."""

    def __init__(self, buffer: Any) -> None:
        super().__init__()
        self.data = buffer.data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 (the generated code's name)
        spot = None
        if self.data is not None and len(self.data):
            raw = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(raw), ALIGNMENT)
            head = builder.Head() - len(raw)
            builder.head = head
            builder.Bytes[head : head + len(raw)] = raw
            spot = builder.EndVector()
        schema.BufferStart(builder)
        if spot is not None:
            schema.BufferAddData(builder, spot)
        return schema.BufferEnd(builder)
