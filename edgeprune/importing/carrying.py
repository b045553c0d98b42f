"""Values from layers of Keras 2 to those of Keras 3."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgeprune.errors import ModelError
from edgeprune.importing.configs import SLOPE
from edgeprune.importing.standing_in import is_stand_in


def carry(where: str, source: Any, new: Any) -> list[str]:
    """Give ``new`` the values of ``source``; both hold them in the same order.

    Returns:
        Notes: what had to change.

    Raises:
        ModelError: their number or a shape differs.
    """
    given = _values(source)
    taken = _variables(new)
    shapes, wanted = [v.shape for v in given], [tuple(v.shape) for v in taken]
    if shapes != wanted:
        raise ModelError(
            f"layer {where!r} ({type(source).__name__}): its weights have the shapes {shapes} in "
            f"Keras 2 and {wanted} in Keras 3; replace it where the model was made"
        )
    for variable, value in zip(taken, given, strict=True):
        variable.assign(value)
    if isinstance(new, keras.layers.Normalization):
        new.finalize_state()
    return _steeper_gates(where, new)


def _values(source: Any) -> list[Any]:
    if is_stand_in(source):
        return [np.asarray(variable.value) for variable in source.inner.weights]
    # Keras 2 counts in Normalization how many examples it has seen.
    return [
        np.asarray(weight)
        for weight in source.weights
        if not (weight.name.split("/")[-1].startswith("count") and not weight.shape.rank)
    ]


def _variables(new: Any) -> list[Any]:
    """The weights of a layer; Keras 3 lists the states of stateful ones among them."""
    layers = new._flatten_layers()
    states = {
        id(state)
        for layer in layers
        for state in keras.tree.flatten(_states(layer))
        if state is not None
    }
    return [v for v in new.weights if id(v) not in states and v.path.split("/")[-1] != "count"]


def _states(layer: Any) -> Any:
    states = getattr(layer, "states", None)
    return [] if states is None else states


def _steeper_gates(where: str, new: Any) -> list[str]:
    """Gates with Keras 2's hard_sigmoid: 0.2 x = (1.2 x) / 6, so what makes x is scaled."""
    notes = []
    for cell in new._flatten_layers():
        if getattr(cell, "recurrent_activation", None) is not keras.activations.hard_sigmoid:
            continue
        if not hasattr(cell, "recurrent_kernel"):
            continue
        # i f c o in an LSTM, z r h in a GRU: what stands for c or h is no gate.
        width = int(cell.recurrent_kernel.shape[-1])
        units = int(getattr(cell, "units", 0) or cell.filters)
        scale = np.full(width, SLOPE, np.float32)
        scale[2 * units : 3 * units] = 1
        for name in ("kernel", "recurrent_kernel", "bias"):
            variable = getattr(cell, name, None)
            if variable is not None:
                variable.assign(keras.ops.convert_to_numpy(variable) * scale)
        notes.append(
            f"layer {where!r}: hard_sigmoid rises by 0.2 in Keras 2 and by 1/6 in Keras 3; the "
            f"weights of its gates are {SLOPE} times as large"
        )
    return notes
