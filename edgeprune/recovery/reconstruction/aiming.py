"""Where a layer's output is compared: behind what only scales, shifts or adds to it.

A batch norm at inference multiplies each channel and shifts it, and a sum adds what another branch
gives. What the net goes on with is their result, so a layer is solved for that: then it also makes
up for what the other branch of a residual does wrong, and for statistics that have moved (He,
Zhang and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", 2017, section 3.2,
solve the last layer of a residual branch so).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call, calls, function_of
from edgeprune.models.names import named_layers

_L = keras.layers
_SAME = (
    _L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D, _L.GaussianNoise,
    _L.GaussianDropout, _L.AlphaDropout, _L.ActivityRegularization,
)  # fmt: skip
"""What gives its input at inference."""


@dataclass(frozen=True, eq=False)
class Aim:
    """Behind one layer.

    Attributes:
        path: names of the layers and operations passed, from the layer on; empty where its own
            output, before the activation, is compared.
        at: the last of them.
        norms: the batch norms among them.
    """

    path: tuple[str, ...] = ()
    at: Any = None
    norms: tuple[Any, ...] = ()

    def scale(self, columns: int) -> npt.NDArray[np.float64]:
        """What a change of each channel is multiplied with on the way."""
        total = np.ones(columns)
        for norm in self.norms:
            variance = np.asarray(norm.moving_variance, np.float64)
            gamma = np.asarray(norm.gamma, np.float64) if norm.scale else 1.0
            total = total * gamma / np.sqrt(variance + norm.epsilon)
        return total


OWN = Aim()


def aims(model: Any, order: Mapping[int, int]) -> dict[int, Aim]:
    """By ``id`` of a layer that is solved, where its output is compared.

    Args:
        model: any; what no Functional graph calls once has its own output alone.
        order: by ``id`` of each layer that is solved, its number in the order of the data.
    """
    found: dict[int, Aim] = {}
    for layer in named_layers(model).values():
        function = function_of(layer)
        if function is not None:
            found |= _Graph(function, order).aims()
    return found


@dataclass(eq=False)
class _Graph:
    """One Functional graph: who reads each tensor, and the last solved layer before it."""

    function: Any
    order: Mapping[int, int]
    uses: dict[int, list[Call]] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    made: dict[int, list[Call]] = field(default_factory=dict)

    def aims(self) -> dict[int, Aim]:
        for call in calls(self.function):
            before = max((self.last.get(id(one), -1) for one in call.inputs), default=-1)
            own = max((self.order.get(id(one), -1) for one in _within(call.layer)), default=-1)
            for tensor in call.outputs:
                self.last[id(tensor)] = max(before, own)
            for tensor in {id(one): one for one in call.inputs}.values():
                self.uses.setdefault(id(tensor), []).append(call)
            for one in _makers(call.layer):
                self.made.setdefault(id(one), []).append(call)
        ends = {id(tensor) for tensor in self.function.outputs}
        return {
            maker: self._behind(maker, made[0].outputs[0], ends)
            for maker, made in self.made.items()
            if maker in self.order and len(made) == 1 and len(made[0].outputs) == 1
        }

    def _behind(self, maker: int, tensor: Any, ends: set[int]) -> Aim:
        path: list[str] = []
        norms: list[Any] = []
        aim = OWN
        while id(tensor) not in ends and len(self.uses.get(id(tensor), ())) == 1:
            (call,) = self.uses[id(tensor)]
            if len(self.made[id(call.layer)]) > 1 or not self._passes(maker, tensor, call):
                break
            path.append(call.layer.name)
            if isinstance(call.layer, _L.BatchNormalization):
                norms.append(call.layer)
            (tensor,) = call.outputs
            aim = Aim(tuple(path), call.layer, tuple(norms))
        return aim

    def _passes(self, maker: int, tensor: Any, call: Call) -> bool:
        """Whether a call multiplies and shifts each channel, and nothing else."""
        layer = call.layer
        if type(layer) is _L.BatchNormalization:
            return call.settings.get("mask") is None
        if type(layer) in _SAME:
            return True
        if type(layer) is _L.Activation:
            return layer.activation is keras.activations.linear
        if not isinstance(layer, _L.Add | numeric.Add) or len(call.inputs) < 2:
            return False
        others = [one for one in call.inputs if one is not tensor]
        alike = all(one.shape == tensor.shape for one in others)
        # The last layer before the sum makes up for all that came before.
        later = max((self.last.get(id(one), -1) for one in others), default=-1)
        return len(others) + 1 == len(call.inputs) and alike and later < self.order[maker]


def _within(layer: Any) -> Iterator[Any]:
    yield layer
    if isinstance(layer, keras.Layer):
        yield from named_layers(layer).values()


def _makers(layer: Any) -> Iterator[Any]:
    """The layers that make what a call gives: itself, or of attention its last projection."""
    yield layer
    if isinstance(layer, _L.MultiHeadAttention | _L.GroupQueryAttention):
        yield layer._output_dense


def marks(model: Any) -> list[Any]:
    """The layers and operations that may stand behind a layer that is solved."""
    kinds = (*_SAME, _L.BatchNormalization, _L.Activation, _L.Add, numeric.Add)
    functions = (function_of(layer) for layer in named_layers(model).values())
    return [
        call.layer
        for function in functions
        if function is not None
        for call in calls(function)
        if isinstance(call.layer, kinds)
    ]
