"""Activation functions: which work on each element by itself, and what they make of constants."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgeprune.surgery.flows import (
    Book,
    Flow,
    Values,
    Wall,
    held,
)

ELEMENTWISE = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "sigmoid",
    "hard_sigmoid", "hard_silu", "tanh", "hard_tanh", "softplus", "softsign", "exponential",
    "mish", "log_sigmoid", "squareplus", "tanh_shrink", "hard_shrink", "soft_shrink", "threshold",
    "sparse_plus", "sparse_sigmoid", "swish", "exp", "abs", "square", "sin",
)  # fmt: skip
"""Of those that Keras has, and TensorFlow."""
MIXING = ("softmax", "log_softmax", "sparsemax", "softmax_v2", "log_softmax_v2")


_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU)
"""Layers without weights that may be given for an activation."""


def mixing(function: Any) -> str | None:
    """``None`` where an activation works on each element by itself; else the reason it does not
    let channels go."""
    name = _known(function)
    if name in ELEMENTWISE or type(function) in _LAYERS:
        return None
    if getattr(function, "edgeprune_elementwise", False) is True:
        return None
    if name in MIXING:
        return f"{name} mixes channels"
    name = getattr(function, "__name__", None) or type(function).__name__
    return f"activation {name!r} is not known to work on each element by itself"


def _known(function: Any) -> str | None:
    """The name of a function of Keras' or of TensorFlow's; ``None`` for any other."""
    name = getattr(function, "__name__", None)
    room = str(getattr(function, "__module__", "")).partition(".")[0]
    return name if room in ("keras", "tensorflow") else None


def hold_mixed(function: Any, flow: Flow, book: Book) -> None:
    """Fix the channels that an activation mixes: all where it is not known."""
    reason = mixing(function)
    if reason is None:
        return
    if _known(function) == "glu":
        raise Wall("glu halves its channels")
    known = _known(function) in MIXING
    held(flow[-1:] if known else flow, reason, book, inexact=known)


def applied(function: Any, values: Values) -> Values:
    """An elementwise function on constants, in float64; NaN where unknown or not finite."""
    known = np.isfinite(values)
    if not known.any():
        return np.full_like(values, np.nan)
    filled = keras.ops.convert_to_tensor(np.where(known, values, 0.0), dtype="float64")
    made = np.asarray(keras.ops.convert_to_numpy(function(filled)), np.float64)
    return np.where(known & np.isfinite(made), made, np.nan)


def activated(function: Any, values: Values) -> Values:
    """Constants behind a layer's own activation; unknown where it mixes channels."""
    return np.full_like(values, np.nan) if mixing(function) else applied(function, values)
