"""What a model costs: parameters, non-zeros, multiply-accumulates.

A multiply-accumulate (MAC) is one product of an activation with a kernel element, or of two
activations where products are summed: attention, ``Dot``, ``keras.ops.matmul`` and ``einsum`` of
two tensors. Biases, normalisation, activations, pooling, element-wise sums and products are not
counted, as is usual; the batch counts as one, and so does an axis whose length is free.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from edgeprune.models.calls import Call, calls, function_of
from edgeprune.models.names import kernels, named_layers, named_weights
from edgeprune.models.works import counted, works


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
    if function_of(layer) is not None:
        return macs(layer)
    if isinstance(layer, keras.layers.TimeDistributed):
        return _time_distributed(call)
    shapes = {}
    if isinstance(layer, keras.Layer) and layer.weights:
        shapes = {name: weight.shape for name, weight in named_weights(layer).items()}
    return sum(counted(call, work, shapes) for work in works(call))


def _time_distributed(call: Call) -> int:
    inner = call.layer.layer
    steps = call.in_shapes[0][0] or 1
    if function_of(inner) is not None:
        return steps * macs(inner)
    one = Call(
        inner,
        tuple(keras.KerasTensor((None, *shape[1:])) for shape in call.in_shapes),
        tuple(keras.KerasTensor((None, *shape[1:])) for shape in call.out_shapes),
    )
    return steps * call_macs(one)


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
