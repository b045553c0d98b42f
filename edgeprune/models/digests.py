"""Digests of a model: of its architecture, of its values, and of its settings."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import marshal
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from edgeprune.files import canonical_json, digest_of
from edgeprune.models.identities import own_code
from edgeprune.models.names import named_layers, named_weights
from edgeprune.models.objectives import compile_state

_LEFT_OUT = frozenset(
    {
        "trainable", "dtype", "dtype_policy", "build_config", "build_input_shape", "module",
        "registered_name", "compile_config", "autocast", "seed", "sparse", "ragged", "optional",
    }
)  # fmt: skip
_LEFT_OUT_ENDINGS = ("_initializer", "_regularizer", "_constraint")
_NO_SETTINGS = frozenset(
    {
        "module", "registered_name", "shared_object_id", "build_config", "build_input_shape",
        "compile_config", "seed",
    }
)  # fmt: skip
"""Where a class lies and in which order objects were made is of the process; what was built is in
the shapes; seeds are set anew wherever something is drawn."""


def architecture_digest(model: Any) -> str:
    """sha256 (hex) of layer classes, connections, weight names and shapes and the config that
    changes them; not of values, the top model's name, names of operations, compile state, dtype
    policy, batch size, ``trainable``, initialisers, regularisers or constraints.

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


def settings_digest(model: Any) -> str:
    """sha256 (hex) of what decides how a model trains and rounds, beside its values: the whole
    config (regularisers, constraints, initialisers, dtype policies), which weights are trainable,
    and the compile state; not of the top model's name, nor of seeds.

    The same after save to ``.keras`` and load, and whatever else the process has made. (Keras may
    spell the losses and metrics of an ``.h5`` in other words when it is saved again.)
    """
    trainable = {id(variable) for variable in model.trainable_variables}
    return digest_of(
        {
            "layers": {
                name: [type(layer).__name__, _own_config(layer), bool(layer.trainable)]
                for name, layer in named_layers(model).items()
            },
            "trainable": [n for n, w in named_weights(model).items() if id(w) in trainable],
            "compiled": _compiled(model),
        }
    )


def _own_config(layer: Any) -> Any:
    try:
        config = dict(layer.get_config())
    except (NotImplementedError, AttributeError, TypeError):
        return None  # its parts and their configs are listed all the same
    config.pop("name", None)
    return _plain(config)


def _compiled(model: Any) -> Any:
    if not getattr(model, "compiled", False):
        return None
    with contextlib.suppress(NotImplementedError, AttributeError, TypeError, ValueError):
        return _with_code(_nameless(_plain(model.get_compile_config())), model)
    return _with_code("unknown", model)


def _with_code(compiled: Any, model: Any) -> Any:
    """Keras has a user's own losses and metrics by name alone; their code counts."""
    state = compile_state(model)
    code = list(own_code([state.get(key) for key in ("loss", "metrics", "weighted_metrics")]))
    return [compiled, *code] if code else compiled


def _nameless(value: Any) -> Any:
    """Optimisers and metrics are numbered by what the process made before (``adam_1``)."""
    if isinstance(value, dict):
        return {key: _nameless(item) for key, item in value.items() if key != "name"}
    return [_nameless(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """``value`` as JSON values that tell of no process."""
    if isinstance(value, dict):
        if value.get("class_name") == "__lambda__":
            return _plain_lambda(value)
        return {str(key): _plain(item) for key, item in value.items() if key not in _NO_SETTINGS}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    # Its text may hold an address.
    own = getattr(value, "get_config", None)
    return [type(value).__name__, _plain(own()) if callable(own) else getattr(value, "name", None)]


def _plain_lambda(value: dict[str, Any]) -> Any:
    """Keras writes a lambda as marshalled code, whose bytes tell which strings the process shared;
    version 2 of that format does not."""
    config = dict(value.get("config") or {})
    code = config.pop("code", None)
    with contextlib.suppress(ValueError, TypeError, EOFError):
        code = marshal.dumps(marshal.loads(base64.b64decode(code)), 2).hex()
    return {"lambda": code, **_plain(config)}


def _config(model: Any) -> Any:
    try:
        config = dict(model.get_config())
    except (NotImplementedError, AttributeError, TypeError):
        return type(model).__name__
    config.pop("name", None)
    return _scrubbed(_ordered(config, {}))


def _ordered(value: Any, numbers: Mapping[str, str]) -> Any:
    """A config in which operations are named by their place in their model: Keras numbers them by
    what the process made before (``add_3``); ``numbers`` has the new names by the old ones."""
    if isinstance(value, dict):
        if isinstance(value.get("layers"), list):
            numbers = {
                str(layer["name"]): f"{layer['class_name']} {place}"
                for place, layer in enumerate(value["layers"])
                if _is_operation(layer)
            }
        found = {key: _ordered(item, numbers) for key, item in value.items()}
        if _is_operation(value):
            found["name"] = numbers.get(value["name"])
            found["config"] = {key: v for key, v in found["config"].items() if key != "name"}
        return found
    if isinstance(value, list | tuple):
        # A tensor: the name of what makes it, which call, and which output.
        head, *rest = value or [None]
        known = isinstance(head, str) and head in numbers and len(rest) == 2
        items = [numbers[head], *rest] if known else value
        return [_ordered(item, numbers) for item in items]
    return value


def _entry(key: str, value: Any) -> Any:
    """Without the batch's size; ``Model([x], [y])`` is the model that ``Model(x, y)`` is."""
    if key in ("batch_shape", "batch_input_shape") and value:
        return [None, *value[1:]]
    alone = key in ("input_layers", "output_layers") and isinstance(value, list) and len(value) == 1
    return value[0] if alone and isinstance(value[0], list) else value


def _is_operation(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and str(value.get("module")).startswith("keras.src.ops")
        and isinstance(value.get("config"), dict)
        and "name" in value
    )


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            str(key): _entry(key, _scrubbed(item))
            for key, item in value.items()
            if key not in _LEFT_OUT and not str(key).endswith(_LEFT_OUT_ENDINGS)
        }
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
