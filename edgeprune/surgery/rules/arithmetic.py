"""Keras operations used as layers that compute element by element.

``x + y``, ``keras.ops.relu(x)``, ``keras.ops.where(x > 0, x, y)``: in a Functional graph each is an
object of a class in Keras' source, which has no public name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras.src.ops import core, image, math, nn
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Array,
    Book,
    Demand,
    Flow,
    Sent,
    Values,
    Wall,
    joined,
    product,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights, only_one
from edgeprune.surgery.rules.pointwise import (
    ElementwiseRule,
    FilledRule,
    GluRule,
    MixingRule,
    UnboundedRule,
    arrived_bounded,
    bounded,
)
from edgeprune.surgery.rules.shapes import PoolingRule, ResizingRule


class ArithmeticRule(Rule):
    """Operands are tensors or numbers: what meets at a position is one channel. A constant operand
    with one number a channel loses those of the channels that leave.

    Args:
        combine: the same on arrays; NaN where it is not known what comes out.
        count: of operands.
    """

    many = True
    alone = True

    def __init__(self, combine: Callable[..., Any], count: int = 2) -> None:
        self._combine = combine
        self._count = count

    def refusal(self, call: Call) -> str | None:
        if len(self._operands(call)) != self._count:
            return "it is called with named operands"
        return super().refusal(call)

    def passes(self, call: Call, values: Sequence[Values]) -> int | None:
        if self._combine not in (np.add, np.subtract) or len(call.inputs) != 2:
            return None
        first = self._places(call)[0] if self._combine is np.subtract else None
        return only_one(call, values, first)

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        places = self._places(call)
        flows = [inputs[place] for place in places.values()]
        flow = joined(flows, [call.in_shapes[place] for place in places.values()], book)
        if any(np.ndim(given) > len(flow) + 1 for given in self._given(call).values()):
            raise Wall("it meets a constant of more axes")
        return Sent((flow,))

    def instead(self, call: Call, after: After) -> Any:
        given = {
            operand: self._left(np.asarray(value), after)
            for operand, value in self._given(call).items()
            if np.ndim(value)
        }

        def called(*operands: Any) -> Any:
            return call.layer(*(given.get(place, one) for place, one in enumerate(operands)))

        return called if given else None

    @staticmethod
    def _left(constant: Array, after: After) -> Array:
        kept = [
            next((keep for keep in axes if keep is not None), None)
            for axes in zip(*after.kept, strict=True)
        ]
        for back, keep in enumerate(reversed(kept), start=1):
            if keep is not None and back <= constant.ndim and constant.shape[-back] > 1:
                constant = np.take(constant, keep, axis=-back)
        return constant

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        sides = self._sides(call, values)
        with np.errstate(all="ignore"):
            made = np.asarray(self._combine(*sides), np.float64)
        return np.where(np.isfinite(made), made, np.nan)

    @staticmethod
    def _operands(call: Call) -> tuple[Any, ...]:
        return call.args

    def _sides(self, call: Call, values: Sequence[Values]) -> list[Values]:
        """The constants of every operand."""
        places = self._places(call)
        rank = len(call.out_shapes[0])
        return [
            values[places[operand]] if operand in places else _numbers(given, rank)
            for operand, given in enumerate(self._operands(call))
        ]

    def _given(self, call: Call) -> dict[int, Any]:
        """The operands that are constants."""
        places = self._places(call)
        return {n: one for n, one in enumerate(self._operands(call)) if n not in places}

    def _places(self, call: Call) -> dict[int, int]:
        """Which operand is which input."""
        order = {id(tensor): place for place, tensor in enumerate(call.inputs)}
        return {
            operand: order[id(given)]
            for operand, given in enumerate(self._operands(call))
            if id(given) in order
        }


class DivisionRule(ArithmeticRule):
    """A quotient or a power, infinite at some numbers."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        (flow,) = super().send(call, inputs, book).outputs
        return Sent((flow,), (), bounded(call, flow))

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        return arrived_bounded(call.layer.call, self._sides(call, values), demand)


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison whose outcome is unknown where a side is."""
    return lambda one, other: np.where(np.isnan(one + other), np.nan, compare(one, other))


def _divided(one: Any, other: Any) -> Any:
    return np.where(other == 0, 0.0, one / other)


def _where(condition: Any, one: Any, other: Any) -> Any:
    """Known where the condition is, or where it does not matter."""
    chosen = np.where(condition != 0, one, other)
    return np.where(np.isnan(condition) & (one != other), np.nan, chosen)


def _numbers(given: Any, rank: int) -> Values:
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        return unknown(rank)
    array = array.reshape((1,) * max(0, rank - array.ndim) + array.shape)
    return array[0] if array.ndim > rank else array


_UNARY = {
    numeric: (
        "Absolute", "Abs", "Negative", "Square", "Sqrt", "Exp", "Expm1", "Sin", "Cos", "Tan",
        "Tanh", "Sinh", "Cosh", "Arctan", "Sign", "Clip", "Floor", "Ceil", "Round", "Rint",
        "Trunc", "Exp2", "Cbrt", "LogicalNot", "Isfinite", "Isinf", "Isnan", "NanToNum", "Fabs",
        "Copy", "Arcsinh", "Sinc", "Signbit", "Deg2rad", "Rad2deg",
    ),
    nn: (
        "Relu", "Relu6", "Sigmoid", "SparseSigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid",
        "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "HardTanh",
        "HardShrink", "SoftShrink", "TanhShrink", "Squareplus", "SparsePlus", "Threshold",
    ),
    math: ("Erf", "Erfc"),
    core: ("StopGradient",),
}  # fmt: skip
_UNBOUNDED = {
    numeric: (
        "Log", "Log1p", "Log2", "Log10", "Reciprocal", "Arccosh", "Arctanh", "Arcsin", "Arccos",
    ),
    math: ("Rsqrt", "Erfinv"),
}  # fmt: skip
"""Infinite, or no number at all, at some."""

OPERATIONS: Mapping[type, Rule] = {
    numeric.Add: ArithmeticRule(np.add),
    numeric.Subtract: ArithmeticRule(np.subtract),
    numeric.Multiply: ArithmeticRule(product),
    numeric.Divide: DivisionRule(np.divide),
    numeric.TrueDivide: DivisionRule(np.divide),
    numeric.Maximum: ArithmeticRule(np.maximum),
    numeric.Minimum: ArithmeticRule(np.minimum),
    numeric.Power: DivisionRule(np.power),
    numeric.Mod: DivisionRule(np.mod),
    numeric.FloorDivide: DivisionRule(np.floor_divide),
    numeric.DivideNoNan: ArithmeticRule(_divided),
    numeric.Arctan2: ArithmeticRule(np.arctan2),
    numeric.Logaddexp: ArithmeticRule(np.logaddexp),
    numeric.Greater: ArithmeticRule(_compared(np.greater)),
    numeric.GreaterEqual: ArithmeticRule(_compared(np.greater_equal)),
    numeric.Less: ArithmeticRule(_compared(np.less)),
    numeric.LessEqual: ArithmeticRule(_compared(np.less_equal)),
    numeric.Equal: ArithmeticRule(_compared(np.equal)),
    numeric.NotEqual: ArithmeticRule(_compared(np.not_equal)),
    numeric.LogicalAnd: ArithmeticRule(_compared(np.logical_and)),
    numeric.LogicalOr: ArithmeticRule(_compared(np.logical_or)),
    numeric.LogicalXor: ArithmeticRule(_compared(np.logical_xor)),
    numeric.Where: ArithmeticRule(_where, 3),
    numeric.OnesLike: FilledRule(1.0),
    numeric.ZerosLike: FilledRule(0.0),
    core.Cast: ElementwiseRule(),
    nn.Softmax: MixingRule(),
    nn.LogSoftmax: MixingRule(),
    nn.Glu: GluRule(),
    # Older Keras 3 lacks some.
    **{
        getattr(nn, name): PoolingRule()
        for name in ("MaxPool", "AveragePool", "AdaptiveMaxPool", "AdaptiveAveragePool")
        if hasattr(nn, name)
    },
    image.Resize: ResizingRule(),
    **{
        getattr(module, name): rule()
        for rule, table in ((ElementwiseRule, _UNARY), (UnboundedRule, _UNBOUNDED))
        for module, names in table.items()
        for name in names
        if hasattr(module, name)
    },
}
"""By exact class."""
