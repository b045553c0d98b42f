"""Names of weights that are unique, and the same after save and load, clone, zero and strip.

A weight's name is the layer names from the top model down (without the top model's own), then the
place inside the layer: ``backbone/conv1/kernel``, ``bidirectional/forward_layer/cell/kernel``.
Keras' ``variable.path`` is neither unique nor stable. A shared layer is named where it first
stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras.src.models.functional import Functional

from edgeprune.scores import Kind

_BOOKKEEPING = ("_layers", "_tracker", "_functional", "_inbound_nodes", "_self_", "_unconditional_")
"""Attributes in which Keras and TensorFlow hold a layer's parts a second time."""
_AUTOMATIC = re.compile(r"variable(_\d+)?")
"""A weight that got no name: Keras numbers it by what the process made before."""


@dataclass(frozen=True)
class Kernel:
    """A weight whose elements are connections.

    Attributes:
        name: of the weight.
        variable: the Keras variable.
        layer: the layer that owns it.
        kind: which kind of kernel it is.
    """

    name: str
    variable: Any
    layer: Any
    kind: Kind


def named_layers(model: Any) -> dict[str, Any]:
    """Every layer by name, containers before what they hold; the top model itself is ``""``."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", model)]
    while waiting:
        name, layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        found[_unused(name, found)] = layer
        inside = [(f"{name}/{place}" if name else place, sub) for place, sub in _inside(layer)]
        waiting.extend(reversed(inside))
    return found


def named_weights(model: Any) -> dict[str, Any]:
    """Every weight (Keras variable, seeds excluded) by name, in the model's order of layers."""
    return {name: variable for name, variable, _ in _weights(model)}


def named_states(model: Any) -> dict[str, Any]:
    """The states that stateful recurrent layers keep between calls, by name
    (``lstm/states/0``): Keras counts them among no layer's weights and saves none."""
    found = {}
    for name, layer in named_layers(model).items():
        if isinstance(layer, keras.layers.RNN) and layer.stateful and layer.states is not None:
            for place, state in enumerate(keras.tree.flatten(layer.states)):
                found[f"{name}/states/{place}" if name else f"states/{place}"] = state
    return found


def kernels(model: Any) -> dict[str, Kernel]:
    """The weights whose elements are connections: dense, convolution, depthwise, recurrent and
    embedding kernels; biases and normalisation weights are none."""
    found = {}
    for name, variable, layer in _weights(model):
        kind = _kind(layer, variable)
        if kind is not None:
            found[name] = Kernel(name, variable, layer, kind)
    return found


def _weights(model: Any) -> Iterator[tuple[str, Any, Any]]:
    names: set[str] = set()
    seen: set[int] = set()
    layers = named_layers(model)
    for path, layer in layers.items():
        inner = {id(weight) for _, sub in _inside(layer) for weight in sub.weights}
        for weight in layer.weights:
            if id(weight) in inner or id(weight) in seen:
                continue
            seen.add(id(weight))
            own = "variable" if _AUTOMATIC.fullmatch(weight.name) else weight.name
            name = _unused(f"{path}/{own}" if path else own, names)
            names.add(name)
            yield name, weight, layer


def _inside(layer: Any) -> list[tuple[str, Any]]:
    """The layers directly inside ``layer``: by layer name in a model, by attribute elsewhere."""
    if isinstance(layer, Functional | keras.Sequential):
        return [(sub.name, sub) for sub in layer.layers]
    if not getattr(layer, "_layers", True):
        return []  # Keras tracks the layers in attributes, lists and dicts here: it has none
    places = []
    for attribute, value in vars(layer).items():
        if attribute.startswith(_BOOKKEEPING):
            continue
        for suffix, sub in _held(value):
            places.append((attribute.lstrip("_") + suffix, sub))
    return places


def _held(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, keras.Layer):
        return [("", value)]
    if isinstance(value, dict):
        return [(f"/{key}", sub) for key, sub in value.items() if isinstance(sub, keras.Layer)]
    if isinstance(value, list | tuple):
        held = enumerate(value)
        return [(f"/{place}", sub) for place, sub in held if isinstance(sub, keras.Layer)]
    return []


def _unused(name: str, taken: Any) -> str:
    if name not in taken:
        return name
    count = 1
    while f"{name}_{count}" in taken:
        count += 1
    return f"{name}_{count}"


def _kind(layer: Any, variable: Any) -> Kind | None:
    name = variable.name
    if name == "recurrent_kernel":
        return "recurrent"
    if name == "embeddings":
        return "embedding"
    if name == "depthwise_kernel":
        return "depthwise"
    if name == "pointwise_kernel":
        return "convolution"
    if name != "kernel" or len(variable.shape) < 2:
        return None
    kind = type(layer).__name__
    if kind.startswith("DepthwiseConv"):
        return "depthwise"
    if "Conv" in kind:
        return "transposed" if kind.endswith("Transpose") else "convolution"
    if kind.endswith("Cell"):
        return "recurrent"
    return "dense"
