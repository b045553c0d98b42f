"""Every sparse tensor of a converted file against the dense conversion of the same function.

The converter encodes a fully connected kernel in blocks of four along an axis that four does not
divide, and drops the weights of the last, short block: the file loads and answers wrongly. So no
encoding is believed: each is decoded and compared, and one that is not its tensor is replaced.

It also takes blocks for scattered zeros as soon as most blocks are empty, where rows are smaller:
95 % scattered zeros of a 512×512 kernel are 2.6 times the bytes in blocks. There rows are taken.

And it leaves out the DENSIFY where the runtime's kernel has no sparse form of its own: of float16
in blocks (LiteRT 2.3 answers NaN) and of int8 by rows (it refuses the file). There one is put in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edgeprune.exporting.encoding import decoded, encoded_bytes, rows

_DENSIFY = schema.BuiltinOperator.DENSIFY
_TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT8: np.int8,
}
_DIRECT = 0.03
"""Density up to which rows are read by the kernel itself, without DENSIFY: measured with LiteRT
2.3 the same kernel in rows and in blocks takes 16.3 and 18.3 µs at 3 % (x86), 28.1 and 30.8 µs at
5 %, where it needs more instructions than a dense one on ARM."""
_OVERHEAD = 512
"""Bytes that a DENSIFY, its output and the levels of an encoding take, rounded up."""


def mended(model: Any, twin: Any) -> Any:
    """``model`` with what its sparse encodings lost.

    A tensor that does not decode to its twin's values is stored by rows with a DENSIFY in front
    where that is smaller, else dense; it then runs as fast as a dense one.

    Args:
        model: the converter's sparse file, a ``ModelT``; it is changed.
        twin: the dense conversion of the same function.

    Returns:
        ``model``; or ``twin`` where no tensor stays sparse, or the two are not the same operators
        in the same order.
    """
    if len(model.subgraphs) != len(twin.subgraphs):
        return twin
    for graph, other in zip(model.subgraphs, twin.subgraphs, strict=True):
        sparse = [index for index, tensor in enumerate(graph.tensors) if tensor.sparsity]
        partners = _partners(model, graph, twin, other) if sparse else {}
        if partners is None or not partners.keys() >= set(sparse):
            return twin
        for index in sparse:
            partner = other.tensors[partners[index]]
            whole = np.asarray(twin.buffers[partner.buffer].data)
            if not _same(model, graph.tensors[index], twin, partner):
                _replace(model, graph, index, whole)
            elif _smaller_by_rows(model, graph.tensors[index], whole):
                _replace(model, graph, index, whole, direct=True)
            elif not _pays(model, graph.tensors[index], whole) or _lacks_densify(
                model, graph, index
            ):
                _replace(model, graph, index, whole)
    return model if holds_sparse(model) else twin


def holds_sparse(model: Any) -> bool:
    """Whether any tensor of a ``ModelT`` is stored sparse."""
    return any(tensor.sparsity for graph in model.subgraphs for tensor in graph.tensors)


def densified(model: Any) -> int:
    """Store the kernels of fully connected layers dense, in place; how many there were."""
    count = 0
    for graph in model.subgraphs:
        makers = _without_densify(model, graph)[1]
        read = {
            makers.get(int(index), int(index))
            for operator in graph.operators
            if _code(model, operator) == schema.BuiltinOperator.FULLY_CONNECTED
            for index in _inputs(operator)
            if index >= 0
        }
        for index in sorted(read):
            tensor = graph.tensors[index]
            if tensor.sparsity is not None and tensor.type in _TYPES:
                kind, shape = _TYPES[tensor.type], tuple(int(size) for size in tensor.shape)
                stored = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(kind)
                whole = decoded(stored, shape, tensor.sparsity)
                assert whole is not None
                _put(model, graph, index, whole.view(np.uint8).ravel())
                count += 1
    return count


def _partners(model: Any, graph: Any, twin: Any, other: Any) -> dict[int, int] | None:
    """From the tensors that operators read to those that the twin's read in the same place."""
    plain, makers = _without_densify(model, graph)
    same, _ = _without_densify(twin, other)
    if [_code(model, one) for one in plain] != [_code(twin, one) for one in same]:
        return None
    partners: dict[int, int] = {}
    for one, two in zip(plain, same, strict=True):
        read, other_read = _inputs(one), _inputs(two)
        if len(read) != len(other_read):
            return None
        for index, partner in zip(read, other_read, strict=True):
            source = makers.get(int(index), int(index))
            if partners.setdefault(source, int(partner)) != int(partner):
                return None
    return partners


def _without_densify(model: Any, graph: Any) -> tuple[list[Any], dict[int, int]]:
    """The other operators, and from what a DENSIFY gives to what it reads."""
    plain, makers = [], {}
    for operator in graph.operators or ():
        if _code(model, operator) == _DENSIFY:
            makers[int(operator.outputs[0])] = int(operator.inputs[0])
        else:
            plain.append(operator)
    return plain, makers


def _inputs(operator: Any) -> Any:
    return () if operator.inputs is None else operator.inputs


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _same(model: Any, tensor: Any, twin: Any, partner: Any) -> bool:
    kind = _TYPES.get(tensor.type)
    shape = tuple(int(size) for size in tensor.shape)
    whole = twin.buffers[partner.buffer].data
    if kind is None or partner.type != tensor.type or shape != tuple(partner.shape):
        return False
    if whole is None or partner.sparsity:
        return False
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data):
        # All zeros: the runtime takes a constant without values for one that was never given.
        return False
    found = decoded(np.asarray(data, np.uint8).view(kind), shape, tensor.sparsity)
    wanted = np.asarray(whole, np.uint8).view(kind)
    return found is not None and bool(np.array_equal(found.ravel(), wanted))


def _smaller_by_rows(model: Any, tensor: Any, whole: Any) -> bool:
    """Whether blocks hold so many zeros that rows would take fewer bytes."""
    blocked = tensor.sparsity.blockMap
    if tensor.type != schema.TensorType.FLOAT32 or blocked is None or not len(blocked):
        return False
    stored = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    values, sparsity = rows(whole.view(np.float32).reshape(tensor.shape))
    return encoded_bytes(values, sparsity) + _OVERHEAD < encoded_bytes(stored, tensor.sparsity)


def _pays(model: Any, tensor: Any, whole: Any) -> bool:
    """Whether int8 that is stored takes fewer bytes than the dense tensor: each value has an index
    of its own size."""
    stored = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    whole_numbers = tensor.type == schema.TensorType.INT8
    return not whole_numbers or encoded_bytes(stored, tensor.sparsity) + _OVERHEAD < whole.nbytes


def _lacks_densify(model: Any, graph: Any, index: int) -> bool:
    """Whether no kernel takes the tensor as it is stored, and nothing makes it dense first."""
    tensor = graph.tensors[index]
    blocked = tensor.sparsity.blockMap is not None and len(tensor.sparsity.blockMap)
    wrong = {schema.TensorType.FLOAT16: bool(blocked), schema.TensorType.INT8: not blocked}
    if not wrong.get(tensor.type, False):
        return False
    return any(
        _code(model, operator) != _DENSIFY and index in map(int, _inputs(operator))
        for operator in graph.operators
    )


def _replace(model: Any, graph: Any, index: int, data: Any, *, direct: bool = False) -> None:
    """Give a tensor these bytes of a dense one, by rows where that is smaller.

    ``direct``: its reader has a sparse kernel, and reads few values (:data:`_DIRECT`) by itself.
    """
    tensor = graph.tensors[index]
    _undensify(model, graph, index)
    tensor.sparsity = None
    if tensor.type in _TYPES and len(tensor.shape) > 1:
        values, sparsity = rows(data.view(_TYPES[tensor.type]).reshape(tensor.shape))
        if len(values) and encoded_bytes(values, sparsity) + _OVERHEAD < data.nbytes:
            tensor.sparsity = sparsity
            if not direct or len(values) > _DIRECT * data.nbytes / values.itemsize:
                _densify(model, graph, index)
            data = values.view(np.uint8)
    _store(model, tensor, data)


def _put(model: Any, graph: Any, index: int, data: Any) -> None:
    """Give a tensor the bytes of a dense one."""
    _undensify(model, graph, index)
    graph.tensors[index].sparsity = None
    _store(model, graph.tensors[index], data)


def _store(model: Any, tensor: Any, data: Any) -> None:
    held = [entry.buffer for part in model.subgraphs for entry in part.tensors]
    if held.count(tensor.buffer) > 1:
        tensor.buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
    model.buffers[tensor.buffer].data = data


def _undensify(model: Any, graph: Any, index: int) -> None:
    """Let those that read a DENSIFY of this tensor read the tensor itself."""
    kept = []
    for operator in graph.operators:
        if _code(model, operator) == _DENSIFY and int(operator.inputs[0]) == index:
            _redirect(graph, int(operator.outputs[0]), index)
        else:
            kept.append(operator)
    graph.operators = kept


def _densify(model: Any, graph: Any, index: int) -> None:
    """Put one DENSIFY between this tensor and all that read it."""
    tensor, dense = graph.tensors[index], schema.TensorT()
    dense.shape, dense.type, dense.name = tensor.shape, tensor.type, tensor.name
    dense.quantization, dense.hasRank = tensor.quantization, True
    # Without values: the first buffer of a file is empty by convention.
    dense.buffer = 0
    _redirect(graph, index, len(graph.tensors))
    operator = schema.OperatorT()
    operator.opcodeIndex = _densify_code(model)
    operator.inputs = np.asarray([index], np.int32)
    operator.outputs = np.asarray([len(graph.tensors)], np.int32)
    graph.tensors.append(dense)
    graph.operators.insert(0, operator)


def _densify_code(model: Any) -> int:
    for place, code in enumerate(model.operatorCodes):
        if code.builtinCode == _DENSIFY:
            return place
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _DENSIFY
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _redirect(graph: Any, old: int, new: int) -> None:
    for operator in graph.operators:
        if operator.inputs is not None:
            inputs = np.asarray(operator.inputs, np.int32)
            operator.inputs = np.where(inputs == old, np.int32(new), inputs)
    if graph.outputs is not None:
        outputs = np.asarray(graph.outputs, np.int32)
        graph.outputs = np.where(outputs == old, np.int32(new), outputs)
