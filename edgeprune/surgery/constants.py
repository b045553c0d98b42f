"""Which channels are constant, whatever the data: sent forward through every call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.models.names import named_weights
from edgeprune.surgery.rules.base import Values
from edgeprune.surgery.tracing import Step, Trace

Array = npt.NDArray[Any]


def arrays(model: Any) -> dict[str, Array]:
    """Every weight of ``model`` as an array, by name."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(weight))
        for name, weight in named_weights(model).items()
    }


def constants(trace: Trace, weights: Mapping[str, Array]) -> dict[int, Values]:
    """The constant at each channel of each tensor, by ``id`` of the tensor; NaN for none.

    Constants come from weights and activations alone: a kernel whose weights for a unit are zero,
    a gamma of zero, and what is computed from such channels. All in float64.
    """
    found: dict[int, Values] = {}
    for step in trace.steps:
        for tensor in step.call.outputs:
            found[id(tensor)] = np.full(trace.ids[id(tensor)].shape, np.nan)
        if step.rule is None or step.sent is None:
            continue
        made = step.rule.constant(
            step.call, _own(step, weights), [found[id(tensor)] for tensor in step.call.inputs]
        )
        if made.shape == step.sent.ids.shape:
            found[id(step.call.outputs[0])] = made
    return found


def _own(step: Step, weights: Mapping[str, Array]) -> dict[str, Array]:
    return {
        inner: np.asarray(weights[name], np.float64)
        for inner, name in step.weights.items()
        if np.issubdtype(np.asarray(weights[name]).dtype, np.floating)
    }
