"""Digests of a model: of its architecture, and of its values."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from edgeprune.files import canonical_json, digest_of
from edgeprune.models.names import named_weights

_LEFT_OUT = frozenset(
    {
        "trainable", "dtype", "dtype_policy", "build_config", "build_input_shape", "module",
        "registered_name", "compile_config", "autocast", "seed", "sparse", "ragged", "optional",
    }
)  # fmt: skip
_LEFT_OUT_ENDINGS = ("_initializer", "_regularizer", "_constraint")


def architecture_digest(model: Any) -> str:
    """sha256 (hex) of layer classes, connections, weight names and shapes and the config that
    changes them; not of values, the top model's name, compile state, dtype policy, batch size,
    ``trainable``, initialisers, regularisers or constraints.

    The same in memory, after save and load, and after ``clone_model``.
    """
    return digest_of(
        {
            "config": _config(model),
            "weights": {name: list(w.shape) for name, w in named_weights(model).items()},
        }
    )


def values_digest(model: Any) -> str:
    """sha256 (hex) of the architecture and of every weight's value.

    It is a digest of content: two saves of one model differ in bytes, not in this.
    """
    total = hashlib.sha256(architecture_digest(model).encode())
    for name, weight in named_weights(model).items():
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        total.update(canonical_json([name, str(value.dtype), list(value.shape)]))
        total.update(value.tobytes())
    return total.hexdigest()


def _config(model: Any) -> Any:
    try:
        config = dict(model.get_config())
    except (NotImplementedError, AttributeError, TypeError):
        return type(model).__name__
    config.pop("name", None)
    return _scrubbed(config)


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): [None, *_scrubbed(item)[1:]]
            if key in ("batch_shape", "batch_input_shape") and item
            else _scrubbed(item)
            for key, item in value.items()
            if key not in _LEFT_OUT and not str(key).endswith(_LEFT_OUT_ENDINGS)
        }
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
