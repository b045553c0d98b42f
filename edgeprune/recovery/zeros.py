"""Which elements of which kernels are held at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, difference, kernels, named_layers, named_weights
from edgeprune.plans import Plan

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Held:
    """One weight with zeros.

    Attributes:
        name: of the weight.
        variable: the Keras variable.
        keep: bool tensor in its shape; False is zero for good.
    """

    name: str
    variable: Any
    keep: Any

    def held(self, value: Any) -> Any:
        """``value`` with the zeros in it. A choice, not a product: NaN · 0 is NaN, -1 · 0 is -0."""
        return tf.where(self.keep, value, tf.zeros((), value.dtype))


def exact_zeros(model: Any) -> list[Held]:
    """Every kernel element that is exactly zero now; kernels without any are left out."""
    return _as_held(model, {name: _value(kernel.variable) != 0 for name, kernel in _floats(model)})


def planned_zeros(model: Any, plan: Plan, graph: Graph | None = None) -> list[Held]:
    """The zeros of a plan's masks and cuts, whatever the values are now.

    A plan names channels by group, and only the model's graph knows which weights those are.
    Without it every kernel element that is zero now is held where the plan cuts, which is what
    ``zero(model, plan)`` wrote. Kernels are enough then: where every weight that
    reads a channel is zero, the gradient of every weight that makes it, biases and normalisation
    included, is exactly zero, and no optimiser moves a zero with a zero gradient.

    Raises:
        PlanError: the plan is of another architecture, or, without a graph, its cuts are not
            carried out in the model.
    """
    if plan.model != architecture_digest(model):
        raise PlanError(
            f"this plan was made for another model, this one is not it: {difference(plan, model)}; "
            "make the plan for this model, or, after strip, use hold() without a plan"
        )
    found = {mask.weight: mask.keep for mask in plan.masks}
    known = dict(_floats(model))
    for name, keep in found.items():
        if name not in known or tuple(known[name].variable.shape) != keep.shape:
            raise PlanError(f"the plan masks {name!r}, which this model lacks in that shape")
    if plan.cuts and graph is not None:
        return merged(_as_held(model, found), _cut_zeros(model, plan, graph))
    if plan.cuts:
        _check_cuts(model, plan)
        for name, kernel in known.items():
            there = _value(kernel.variable) != 0
            found[name] = found[name] & there if name in found else there
    return _as_held(model, found)


def _cut_zeros(model: Any, plan: Plan, graph: Graph) -> list[Held]:
    """What cuts write zeros into, biases and normalisation included."""
    for cut in plan.cuts:
        if cut.group not in graph:
            raise PlanError(f"the plan cuts group {cut.group!r}, which this model has not")
    weights = {
        name: variable
        for name, variable in named_weights(model).items()
        if tf.as_dtype(variable.dtype).is_floating
    }
    shapes = {name: tuple(variable.shape) for name, variable in weights.items()}
    gone = graph.zeros_of({cut.group: cut.drop for cut in plan.cuts}, shapes)
    return [Held(name, weights[name], tf.constant(~zeros)) for name, zeros in gone.items()]


def merged(first: Sequence[Held], second: Sequence[Held]) -> list[Held]:
    """What either holds."""
    found = {held.name: held for held in first}
    for held in second:
        mine = found.get(held.name)
        keep = held.keep if mine is None else tf.logical_and(mine.keep, held.keep)
        found[held.name] = Held(held.name, held.variable, keep)
    return list(found.values())


def write_zeros(held: Sequence[Held]) -> None:
    """Set what is held to zero; in a ``tf.function`` too."""
    for item in held:
        item.variable.assign(item.held(tf.convert_to_tensor(item.variable)))


def _floats(model: Any) -> list[tuple[str, Any]]:
    """Kernels of floating dtype: the others (quantised) are not trained."""
    return [
        (name, kernel)
        for name, kernel in kernels(model).items()
        if tf.as_dtype(kernel.variable.dtype).is_floating
    ]


def _as_held(model: Any, keep: dict[str, Bools]) -> list[Held]:
    known = kernels(model)
    return [
        Held(name, known[name].variable, tf.constant(there))
        for name, there in keep.items()
        if not there.all()
    ]


def _value(variable: Any) -> npt.NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _check_cuts(model: Any, plan: Plan) -> None:
    layers = named_layers(model)
    by_layer = {id(kernel.layer): kernel for kernel in kernels(model).values()}
    for cut in plan.cuts:
        kernel = by_layer.get(id(layers.get(cut.group)))
        if kernel is None:
            continue
        value = _value(kernel.variable)
        dead = max(
            int((~value.any(axis=tuple(a for a in range(value.ndim) if a != axis))).sum())
            for axis in range(value.ndim)
        )
        # A kernel of several axes per channel (depthwise with a multiplier) shows at least one.
        if not dead:
            raise PlanError(
                f"the plan cuts group {cut.group!r}, but {kernel.name!r} has no silenced channel; "
                "carry the plan out first: zero(model, plan)"
            )
