"""Batch norm folded into the layer before it.

At inference a batch norm multiplies each channel and adds to it, γ (x − μ) / √(σ² + ε) + β (Ioffe
and Szegedy, https://arxiv.org/abs/1502.03167, section 3.1), which the weights that make the channel
can do themselves. The outputs stay to rounding; the statistics are gone, so that training goes on
without a batch norm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.models.cloning import rebuilt
from edgeprune.surgery.constants import arrays
from edgeprune.surgery.tracing import Step, Trace, traced

Array = npt.NDArray[Any]
_L = keras.layers
_MAKES: Mapping[type, tuple[str, tuple[int, ...]]] = {
    _L.Dense: ("kernel", (-1,)),
    **dict.fromkeys((_L.Conv1D, _L.Conv2D, _L.Conv3D), ("kernel", (-1,))),
    **dict.fromkeys(
        (_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose), ("kernel", (-2,))
    ),
    **dict.fromkeys((_L.DepthwiseConv1D, _L.DepthwiseConv2D), ("kernel", (-2, -1))),
    **dict.fromkeys((_L.SeparableConv1D, _L.SeparableConv2D), ("pointwise_kernel", (-1,))),
}
"""By class the kernel that makes the channels of a layer, and on which of its axes."""


def fold_batchnorm(model: Any) -> tuple[Any, tuple[str, ...]]:
    """A new model without the batch norms that the layer before them can stand for, and their
    names; ``model`` itself where there is none.

    That layer is a dense one or a convolution without activation that nothing else reads, and each
    of the two is called once.
    """
    trace = traced(model)
    weights = arrays(model)
    values: dict[str, Array] = {}
    biased: set[str] = set()
    passed: dict[int, int] = {}
    folded = []
    for before, norm in _pairs(trace):
        values |= _folded(before, norm, weights)
        biased.add(before.name)
        passed[id(norm.node.call.outputs[0])] = 0
        folded.append(norm.name)
    if not folded:
        return model, ()

    def edit(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**config, "use_bias": True} if name in biased else config

    return rebuilt(model, values, edit, passed=passed), tuple(folded)


def _pairs(trace: Trace) -> list[tuple[Step, Step]]:
    """The layers and the batch norms that they can stand for."""
    makers = {number: step for step in trace.steps for number in step.node.outputs}
    reads = Counter(number for step in trace.steps for number in step.node.inputs)
    reads.update(trace.outputs)
    calls = Counter(step.name for step in trace.steps)
    found = []
    for step in trace.steps:
        if type(step.node.call.layer) is not _L.BatchNormalization or step.rule is None:
            continue
        if set(step.node.outputs) & set(trace.outputs):
            continue  # losses and signatures know an output by its layer's name
        (number,) = step.node.inputs
        before = makers[number]
        alone = reads[number] == 1 and calls[before.name] == calls[step.name] == 1
        if alone and before.rule is not None and _linear(before) and _on_channels(before, step):
            found.append((before, step))
    return found


def _linear(step: Step) -> bool:
    layer = step.node.call.layer
    if getattr(layer, "activity_regularizer", None) is not None:
        return False  # its output counts in the loss as it is
    activation = getattr(layer, "activation", None)
    return type(layer) in _MAKES and activation in (None, keras.activations.linear)


def _on_channels(before: Step, norm: Step) -> bool:
    """Whether the batch norm's axis is the one on which ``before`` has its channels."""
    rank = len(norm.node.call.in_shapes[0])
    axis = norm.node.call.layer.axis
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    first = getattr(before.node.call.layer, "data_format", "channels_last") == "channels_first"
    return bool(axis % (rank + 1) == (1 if first else rank))


def _folded(before: Step, norm: Step, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The kernel and the bias of the layer when they do what the batch norm does."""
    own = {inner: np.asarray(weights[name], np.float64) for inner, name in norm.weights.items()}
    slope = own.get("gamma", 1.0) / np.sqrt(own["moving_variance"] + norm.node.call.layer.epsilon)
    inner, axes = _MAKES[type(before.node.call.layer)]
    kernel = weights[before.weights[inner]]
    bias = np.asarray(weights[before.weights["bias"]], np.float64) if _biased(before) else 0.0
    shape = [1] * kernel.ndim
    for axis in axes:
        shape[axis] = kernel.shape[axis]
    return {
        before.weights[inner]: (kernel * slope.reshape(shape)).astype(kernel.dtype),
        before.weights.get("bias", f"{before.name}/bias"): (
            (bias - own["moving_mean"]) * slope + own.get("beta", 0.0)
        ).astype(kernel.dtype),
    }


def _biased(step: Step) -> bool:
    return "bias" in step.weights
