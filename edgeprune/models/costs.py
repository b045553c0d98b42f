"""What a model costs: parameters, non-zeros, multiply-accumulates.

A multiply-accumulate (MAC) is one product of an activation with a kernel element, or of two
activations inside attention. Biases, normalisation, activations, pooling and element-wise sums are
not counted, as is usual; the batch counts as one, and so does an axis whose length is free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from edgeprune.models.calls import Call, Shape, calls, function_of
from edgeprune.models.names import kernels, named_layers, named_weights


def parameters(model: Any) -> int:
    """Number of weight elements, non-trainable ones included, each shared one once."""
    return sum(_size(weight) for weight in named_weights(model).values())


def nonzero(model: Any) -> int:
    """Number of weight elements that are not zero."""
    return sum(_nonzero(weight) for weight in named_weights(model).values())


def kernel_elements(model: Any) -> int:
    """Number of connections: elements of dense, convolution, depthwise, recurrent and embedding
    kernels."""
    return sum(_size(kernel.variable) for kernel in kernels(model).values())


def kernel_nonzero(model: Any) -> int:
    """Number of connections that are not zero."""
    return sum(_nonzero(kernel.variable) for kernel in kernels(model).values())


def sparsity(model: Any, original: Any) -> float:
    """1 - (non-zero connections of ``model``) / (connections of ``original``), which strip does
    not change; 0 for an original without connections."""
    total = kernel_elements(original)
    return 1.0 - kernel_nonzero(model) / total if total else 0.0


def macs(model: Any) -> int:
    """Multiply-accumulates for one example.

    In a Functional or Sequential model every call counts, shared layers as often as they are
    called; in any other model each layer with kernels counts once, at one position.
    """
    function = function_of(model)
    if function is None:
        return sum(
            _size(variable)
            for kernel in kernels(model).values()
            for variable in (kernel.variable,)
            if kernel.kind != "embedding"
        )
    return sum(call_macs(call) for call in calls(function) if call.inputs)


def call_macs(call: Call) -> int:
    """Multiply-accumulates of one call, for one example."""
    layer = call.layer
    if not isinstance(layer, keras.Layer):
        return 0
    if function_of(layer) is not None:
        return macs(layer)
    if isinstance(layer, keras.layers.TimeDistributed):
        return _time_distributed(call)
    sizes = kernel_sizes(layer)
    counted = sum(sizes[name] * times for name, times in kernel_uses(call).items() if name in sizes)
    return counted + _attention(call)


def kernel_sizes(layer: Any) -> dict[str, int]:
    """Elements of each kernel inside ``layer``, by its name inside the layer."""
    return {name: _size(kernel.variable) for name, kernel in kernels(layer).items()}


def kernel_uses(call: Call) -> Mapping[str, int]:
    """How often each element of each kernel of a layer is multiplied, for one example.

    Keys are names inside the layer (``kernel``, ``cell/recurrent_kernel``).
    """
    for kind in type(call.layer).__mro__:
        rule = _USES.get(kind)
        if rule is not None:
            return rule(call)
    positions = _count(call.out_shapes[0][:-1]) if call.outputs else 1
    return {
        name: positions
        for name, kernel in kernels(call.layer).items()
        if kernel.kind != "embedding"
    }


def _every_kernel(call: Call, positions: int) -> dict[str, int]:
    return dict.fromkeys(kernels(call.layer), positions)


def _dense(call: Call) -> dict[str, int]:
    return _every_kernel(call, _count(call.in_shapes[0][:-1]))


def _spatial(call: Call, shape: Shape) -> dict[str, int]:
    first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    return _every_kernel(call, _count(shape[1:] if first else shape[:-1]))


def _convolution(call: Call) -> dict[str, int]:
    return _spatial(call, call.out_shapes[0])


def _transposed(call: Call) -> dict[str, int]:
    return _spatial(call, call.in_shapes[0])


def _einsum(call: Call) -> dict[str, int]:
    # Every letter of the equation is a loop; those of the kernel are its own elements.
    terms, output = call.layer.equation.split("->")
    first, kernel = terms.split(",")
    shape = call.in_shapes[0]
    lengths = dict(zip(reversed(first.replace("...", "")), reversed(shape), strict=False))
    outside = [
        lengths.get(letter) for letter in dict.fromkeys(first + output) if letter not in kernel
    ]
    # The batch letter has no length here: shapes come without it.
    return _every_kernel(call, _count(tuple(outside)))


def _recurrent(call: Call) -> dict[str, int]:
    return _every_kernel(call, _count(call.in_shapes[0][:1]))


def _recurrent_convolution(call: Call) -> dict[str, int]:
    shape = call.layer.compute_output_shape((None, *call.in_shapes[0]))
    shape = shape[0] if isinstance(shape, list) else shape
    rank = call.layer.rank if hasattr(call.layer, "rank") else len(call.in_shapes[0]) - 2
    spatial = _count(tuple(shape[-1 - rank : -1]))
    return _every_kernel(call, spatial * _count(call.in_shapes[0][:1]))


def _embedding(call: Call) -> dict[str, int]:
    return {}


_USES: Mapping[type, Callable[[Call], dict[str, int]]] = {
    keras.layers.Dense: _dense,
    keras.layers.EinsumDense: _einsum,
    keras.layers.Embedding: _embedding,
    keras.layers.Conv1D: _convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.Conv3D: _convolution,
    keras.layers.DepthwiseConv1D: _convolution,
    keras.layers.DepthwiseConv2D: _convolution,
    keras.layers.SeparableConv1D: _convolution,
    keras.layers.SeparableConv2D: _convolution,
    keras.layers.Conv1DTranspose: _transposed,
    keras.layers.Conv2DTranspose: _transposed,
    keras.layers.Conv3DTranspose: _transposed,
    keras.layers.ConvLSTM1D: _recurrent_convolution,
    keras.layers.ConvLSTM2D: _recurrent_convolution,
    keras.layers.ConvLSTM3D: _recurrent_convolution,
    keras.layers.RNN: _recurrent,
    keras.layers.Bidirectional: _recurrent,
    keras.layers.MultiHeadAttention: lambda call: dict(_projections(call)),
    keras.layers.GroupQueryAttention: lambda call: dict(_projections(call)),
}


def _projections(call: Call) -> Iterator[tuple[str, int]]:
    """Projections of attention: the query's and the output's run over the queries' positions,
    the key's and the value's over theirs."""
    queries = _count(call.in_shapes[0][:-1])
    sources = _count(call.in_shapes[1 if len(call.in_shapes) > 1 else 0][:-1])
    for name in kernels(call.layer):
        yield name, sources if name.startswith(("key", "value")) else queries


def _attention(call: Call) -> int:
    """Products of activations with activations: scores, and the weighted sum of values."""
    layer = call.layer
    if not isinstance(layer, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        return 0
    queries = _count(call.in_shapes[0][:-1])
    sources = _count(call.in_shapes[1 if len(call.in_shapes) > 1 else 0][:-1])
    config = layer.get_config()
    heads = config.get("num_heads") or config.get("num_query_heads")
    width = config.get("key_dim") or config.get("head_dim")
    value = config.get("value_dim") or width
    return int(heads * (width + value) * queries * sources)


def _time_distributed(call: Call) -> int:
    inner = call.layer.layer
    steps = _count(call.in_shapes[0][:1])
    if function_of(inner) is not None:
        return steps * macs(inner)
    one = Call(
        inner,
        tuple(keras.KerasTensor((None, *shape[1:])) for shape in call.in_shapes),
        tuple(keras.KerasTensor((None, *shape[1:])) for shape in call.out_shapes),
    )
    return steps * call_macs(one)


def _count(shape: Shape) -> int:
    return math.prod(length or 1 for length in shape)


def _size(weight: Any) -> int:
    return math.prod(weight.shape)


def _nonzero(weight: Any) -> int:
    return int(np.count_nonzero(keras.ops.convert_to_numpy(weight)))


def layer_macs(model: Any) -> dict[str, int]:
    """Multiply-accumulates by name of the layer, shared layers summed over their calls."""
    function = function_of(model)
    if function is None:
        return {}
    names = {id(layer): name for name, layer in named_layers(model).items()}
    found: dict[str, int] = {}
    for call in calls(function):
        if call.inputs and id(call.layer) in names:
            name = names[id(call.layer)]
            found[name] = found.get(name, 0) + call_macs(call)
    return found
