"""Which channels are constant, whatever the data: sent forward through every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeprune.models.names import named_states, named_weights
from edgeprune.models.values import array_of
from edgeprune.surgery.flows import Demand, Values, unknown

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step

Array = npt.NDArray[Any]
Constants = Mapping[int, Values]
"""By number of the tensor."""


def arrays(model: Any) -> dict[str, Array]:
    """Every weight of ``model`` and every state kept between calls as an array, by name."""
    return {
        name: array_of(weight)
        for name, weight in {**named_weights(model), **named_states(model)}.items()
    }


def constants(steps: Sequence[Step], weights: Mapping[str, Array]) -> Constants:
    """The constant at each channel of each tensor; NaN for none.

    Constants come from weights and activations alone: a kernel whose weights for a unit are zero,
    a gamma of zero, and what is computed from such channels. All in float64.
    """
    found: dict[int, Values] = {}
    for step in steps:
        call = step.node.call
        made: Any = tuple(unknown(len(shape)) for shape in call.out_shapes)
        if step.rule is not None:
            values = [found[number] for number in step.node.inputs]
            made = step.rule.constant(call, own(step, weights), values)
            made = made if isinstance(made, tuple) else (made,)
        found.update(zip(step.node.outputs, made, strict=True))
    return found


def own(step: Step, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of a call's layer by their names inside it; vectors in float64, kernels as they
    are, since most of them are looked at and few are multiplied."""
    return {
        inner: weights[name] if weights[name].ndim > 1 else np.asarray(weights[name], np.float64)
        for inner, name in step.weights.items()
        # The kind of bfloat16 is that of no number.
        if name in weights and "float" in weights[name].dtype.name
    }


def arrived(
    demand: Demand, step: Step, values: Constants, weights: Mapping[str, Array]
) -> list[Values]:
    """What arrives at each source of a demand, one for each position (or comes out, where a source
    is counted behind the inputs)."""
    assert step.rule is not None
    tensors = [values[number] for number in (*step.node.inputs, *step.node.outputs)]
    return list(step.rule.arrived(step.node.call, own(step, weights), tensors, demand))


def met(demand: Demand, sources: Sequence[Values]) -> npt.NDArray[np.bool_]:
    """At which positions of a demand an exact zero arrives."""
    zero = [source == 0 for source in sources]
    if demand.always:
        return np.zeros(demand.ids.size, bool)
    combined = np.logical_and.reduce(zero) if demand.every else np.logical_or.reduce(zero)
    return np.asarray(combined, bool)
