"""TensorFlow's functions that Keras 2 let stand between layers, as operations of Keras 3."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from edgeprune.errors import ModelError

_SAME_NAMES = {
    "math": (
        "abs add multiply subtract negative square sqrt rsqrt exp log log1p maximum minimum "
        "sigmoid tanh sin cos floor ceil round sign erf softplus"
    ),
    "nn": "relu relu6 sigmoid tanh silu elu selu softplus softsign",
    "": "abs add multiply subtract negative square sqrt exp maximum minimum sigmoid tanh round",
}
_TWO = {"x": "x1", "y": "x2"}
_REDUCE = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims"}
# TensorFlow's function: Keras' operation, and what its arguments are called there.
_OPERATIONS: dict[str, tuple[Callable[..., Any], Mapping[str, str]]] = {
    "__operators__.add": (ops.add, _TWO),
    "math.divide": (ops.divide, _TWO),
    "math.truediv": (ops.divide, _TWO),
    "math.pow": (ops.power, _TWO),
    "math.reduce_mean": (ops.mean, _REDUCE),
    "math.reduce_sum": (ops.sum, _REDUCE),
    "math.reduce_max": (ops.max, _REDUCE),
    "math.reduce_min": (ops.min, _REDUCE),
    "math.reduce_prod": (ops.prod, _REDUCE),
    "nn.softmax": (ops.softmax, {"logits": "x", "axis": "axis"}),
    "nn.log_softmax": (ops.log_softmax, {"logits": "x", "axis": "axis"}),
    "nn.gelu": (ops.gelu, {"features": "x", "approximate": "approximate"}),
    "nn.leaky_relu": (ops.leaky_relu, {"features": "x", "alpha": "negative_slope"}),
    "nn.swish": (ops.silu, {"features": "x"}),
    "reshape": (ops.reshape, {"tensor": "x", "shape": "newshape"}),
    "transpose": (ops.transpose, {"a": "x", "perm": "axes"}),
    "concat": (ops.concatenate, {"values": "xs", "axis": "axis"}),
    "stack": (ops.stack, {"values": "x", "axis": "axis"}),
    "expand_dims": (ops.expand_dims, {"input": "x", "axis": "axis"}),
    "squeeze": (ops.squeeze, {"input": "x", "axis": "axis"}),
    "tile": (ops.tile, {"input": "x", "multiples": "repeats"}),
    "cast": (ops.cast, {"x": "x", "dtype": "dtype"}),
    "clip_by_value": (
        ops.clip,
        {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"},
    ),
    "linalg.matmul": (ops.matmul, {"a": "x1", "b": "x2"}),
}


def operation(layer: Any, where: str) -> Callable[..., Any]:
    """What a ``TFOpLambda`` or ``SlicingOpLambda`` of Keras 2 does, on tensors of Keras 3.

    Raises:
        ModelError: it is none of those that have a counterpart.
    """
    symbol = str(layer.get_config()["function"]).removeprefix("compat.v1.")
    if symbol == "__operators__.getitem":
        return _sliced
    if symbol in _OPERATIONS:
        made, names = _OPERATIONS[symbol]
        return _Renamed(layer.function, made, names, symbol, where)
    family, _, name = symbol.rpartition(".")
    if name in _SAME_NAMES.get(family, "").split():
        return _Positional(layer.function, getattr(ops, name))
    raise ModelError(
        f"layer {where!r}: tf.{symbol} between layers has no counterpart here; use a layer of "
        "Keras where the model was made"
    )


class _Renamed:
    """Arguments bound by TensorFlow's names and given by those of Keras."""

    def __init__(
        self,
        function: Any,
        made: Callable[..., Any],
        names: Mapping[str, str],
        symbol: str,
        where: str,
    ) -> None:
        self._function, self._made, self._names = function, made, names
        self._symbol, self._where = symbol, where

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(self._function).bind(*args, **kwargs).arguments
        renamed = {}
        for key, value in given.items():
            if key in self._names:
                if value is not None:
                    renamed[self._names[key]] = value
            elif key != "name" and value not in (None, False):
                raise ModelError(
                    f"layer {self._where!r}: {key} of tf.{self._symbol} has no counterpart here; "
                    "use a layer of Keras where the model was made"
                )
        return self._made(**renamed)


class _Positional:
    """Arguments in the order of TensorFlow's signature; its ``name`` leaves."""

    def __init__(self, function: Any, made: Callable[..., Any]) -> None:
        self._function, self._made = function, made

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(self._function).bind(*args, **kwargs).arguments
        return self._made(*(value for key, value in given.items() if key != "name"))


def _sliced(tensor: Any, slice_spec: Any, var: Any = None) -> Any:
    many = isinstance(slice_spec, list | tuple)
    spec = tuple(_slice(each) for each in (slice_spec if many else [slice_spec]))
    return tensor[spec]


def _slice(each: Any) -> Any:
    if isinstance(each, Mapping):
        return slice(each["start"], each["stop"], each["step"])
    return each
