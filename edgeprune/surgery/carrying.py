"""A decision carried out: weights sliced, constants folded, configs changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.models.cloning import rebuilt
from edgeprune.surgery.deciding import Decision, makes
from edgeprune.surgery.rules.base import flat
from edgeprune.surgery.slicing import sliced
from edgeprune.surgery.tracing import Step

Array = npt.NDArray[Any]


def carried_out(decision: Decision, model: Any) -> Any:
    """The model that ``decision`` leaves of ``model``, which stays as it was."""
    trace = decision.trace
    orders = [decision.orders.get(origin.name) for origin in trace.origins]
    values: dict[str, Array] = dict(decision.weights)
    configs: dict[str, tuple[Step, int, bool]] = {}
    for step in trace.steps:
        if step.sent is None:
            continue
        delta = _folded(decision, step)
        if delta is not None and "bias" in step.weights:
            values[step.weights["bias"]] = delta
        for part in step.sent.parts:
            name = step.weights[part.weight]
            keep = sliced(part.ids, trace, orders)
            if keep.size < part.ids.size or (keep[1:] < keep[:-1]).any():
                values[name] = np.take(values[name], keep, axis=part.axis)
        last = step.sent.ids.reshape(-1, step.sent.ids.shape[-1])[0]
        stays = sliced(last, trace, orders)
        biased = delta is not None and "bias" not in step.weights
        if delta is not None and biased:
            values[f"{step.name}/bias"] = np.take(delta, stays)
        configs[step.name] = (step, stays.size, biased)

    def edit(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return _edited(*configs[name], config) if name in configs else config

    return rebuilt(model, values, edit)


def _edited(step: Step, width: int, biased: bool, config: Mapping[str, Any]) -> Mapping[str, Any]:
    changed = dict(config)
    if step.rule and step.sent and width != step.sent.ids.shape[-1]:
        changed = dict(step.rule.resized(step.call, config, width))
    if biased:
        changed["use_bias"] = True
    return changed


def _folded(decision: Decision, step: Step) -> Array | None:
    """The bias of ``step`` with the constants of leaving channels in it; ``None`` without any."""
    reads = [part for part in step.sent.parts if part.role == "reads"] if step.sent else []
    for part in reads:
        leaves = (part.ids >= 0) & decision.gone[np.maximum(part.ids, 0)]
        value = flat(decision.values[id(step.call.inputs[0])])
        value = np.where(leaves & np.isfinite(value), value, 0.0)
        kernel = decision.weights[step.weights[part.weight]]
        axes = (part.axis, makes(step, part).axis)
        matrix = np.moveaxis(np.asarray(kernel, np.float64), axes, (-2, -1))
        delta = value @ matrix.sum(axis=tuple(range(matrix.ndim - 2)))
        if delta.any():
            name = step.weights.get("bias")
            bias = np.zeros(delta.size) if name is None else decision.weights[name]
            return (np.asarray(bias, np.float64) + delta).astype(kernel.dtype)
    return None
