"""Initialisers that hold a whole weight, cut as the weight is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Slice = Callable[[str, Array], Array | None]
"""From a weight's full name and an array for it to what is left of the array; ``None`` where the
array does not fit the weight."""
_ENDING = "_initializer"
_ELSEWHERE = {"layer": "forward_layer"}
"""By its key in a config, the attribute in which a layer holds another one."""


def fitted(config: Any, weights: Mapping[str, str], left: Slice) -> dict[str, Any]:
    """A layer's config whose ``Constant`` initialisers hold no more than is left.

    Args:
        config: of the layer; the layers that are serialised in it are walked.
        weights: full names by the names inside the layer.
        left: what is left of an array.
    """
    found = dict(config)
    for key, value in config.items():
        if key.endswith(_ENDING):
            found[key] = _initializer(value, _owners(key.removesuffix(_ENDING), weights), left)
        elif isinstance(value, list):
            found[key] = [
                _inside(item, _below(f"{key}/{place}", weights), left)
                for place, item in enumerate(value)
            ]
        else:
            found[key] = _inside(value, _below(_ELSEWHERE.get(key, key), weights), left)
    return found


def _inside(value: Any, weights: Mapping[str, str], left: Slice) -> Any:
    if not weights or not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        return value
    return {**value, "config": fitted(value["config"], weights, left)}


def _below(place: str, weights: Mapping[str, str]) -> dict[str, str]:
    start = f"{place}/"
    return {
        inner.removeprefix(start): name
        for inner, name in weights.items()
        if inner.startswith(start)
    }


def _owners(stem: str, weights: Mapping[str, str]) -> list[str]:
    """The weights that an initialiser starts: ``depthwise_initializer`` starts a kernel that is
    called ``depthwise_kernel`` or, where there is no other, ``kernel``."""
    names = {stem, f"{stem}_kernel", *(("kernel",) if stem == "depthwise" else ())}
    return [name for inner, name in weights.items() if inner.rpartition("/")[2] in names]


def _initializer(value: Any, owners: list[str], left: Slice) -> Any:
    held = _array_in(value)
    if held is None:
        return value
    arrays = [array for name in owners if (array := left(name, held)) is not None]
    if not arrays or not all(np.array_equal(array, arrays[0]) for array in arrays):
        return value
    return keras.initializers.serialize(keras.initializers.Constant(arrays[0]))


def _array_in(initializer: Any) -> Array | None:
    """The array of a serialised ``Constant``; ``None`` for any other initialiser or number."""
    if not isinstance(initializer, dict) or initializer.get("class_name") != "Constant":
        return None
    value = keras.initializers.deserialize(initializer).value
    return np.asarray(value) if np.ndim(value) else None
