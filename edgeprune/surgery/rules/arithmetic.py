"""Keras operations used as layers that compute element by element, reduce or multiply matrices.

``x + y``, ``keras.ops.relu(x)``, ``keras.ops.mean(x, axis=1)``: in a Functional graph each is an
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
    joined_axis,
    product,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights, only_one
from edgeprune.surgery.rules.pointwise import ElementwiseRule, GluRule, MixingRule
from edgeprune.surgery.rules.shapes import PoolingRule, ResizingRule


class ArithmeticRule(Rule):
    """Operands are tensors or numbers: what meets at a position is one channel. A constant operand
    with one number a channel loses those of the channels that leave.

    Args:
        combine: the same on arrays; NaN where it is not known what comes out.
        count: of operands.
    """

    many = True

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
        places = self._places(call)
        rank = len(call.out_shapes[0])
        sides = [
            values[places[operand]] if operand in places else _numbers(given, rank)
            for operand, given in enumerate(self._operands(call))
        ]
        with np.errstate(all="ignore"):
            made = np.asarray(self._combine(*sides), np.float64)
        return np.where(np.isfinite(made), made, np.nan)

    @staticmethod
    def _operands(call: Call) -> tuple[Any, ...]:
        return call.args

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


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison whose outcome is unknown where a side is."""
    return lambda one, other: np.where(np.isnan(one + other), np.nan, compare(one, other))


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


class ReductionRule(Rule):
    """Sum, mean, largest over axes: channels on other axes pass. On the axis itself a sum can do
    without a channel that arrives as zero; the others mix."""

    def __init__(self, reduce: Callable[..., Any], *, exact: bool) -> None:
        self._reduce = reduce
        self._exact = exact

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        demands = []
        axes = self._axes(call)
        for axis in axes:
            for ids in inputs[0][axis]:
                reason = f"{call.layer.name} mixes channels"
                if self._exact:
                    demands.append(Demand(ids, ((0, axis),), reason))
                else:
                    book.fix(ids, reason, inexact=True)
        flow: list[Any] = []
        for axis, lanes in enumerate(inputs[0]):
            if axis not in axes:
                flow.append(lanes)
            elif call.layer.keepdims:
                flow.append(())
        return Sent((tuple(flow),), (), tuple(demands))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        # Along an axis whose length is not spelled out here, only an average knows its value.
        if self._exact or self._reduce in (np.prod, np.all):
            return unknown(len(call.out_shapes[0]))
        return np.asarray(
            self._reduce(values[0], axis=self._axes(call), keepdims=call.layer.keepdims)
        )

    @staticmethod
    def _axes(call: Call) -> tuple[int, ...]:
        rank = len(call.in_shapes[0])
        given = call.layer.axis
        given = range(rank + 1) if given is None else given
        axes = [axis if axis >= 0 else axis + rank + 1 for axis in np.atleast_1d(given)]
        if 0 in axes:
            raise Wall("it reduces over the batch")
        return tuple(int(axis) - 1 for axis in axes)


class MatmulRule(Rule):
    """The last axis of the first meets the one before the last of the second; the axes before
    them meet each other. The second may be a constant matrix, which loses rows."""

    many = True

    def refusal(self, call: Call) -> str | None:
        by_matrix = len(call.inputs) == 1 and call.args[0] is call.inputs[0]
        if len(call.inputs) != 2 and not (by_matrix and np.ndim(call.args[1]) == 2):
            return "it multiplies from the left by a constant"
        return super().refusal(call)

    def instead(self, call: Call, after: After) -> Any:
        keep = after.kept[0][-1]
        if len(call.inputs) == 2 or keep is None:
            return None
        matrix = np.asarray(call.args[1])[keep]
        return lambda x, _: call.layer(x, matrix)

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        reason = f"{call.layer.name} multiplies channels without weights"
        if len(inputs) == 1:
            demands = [Demand(ids, ((0, -1),), reason) for ids in inputs[0][-1]]
            return Sent(((*inputs[0][:-1], ()),), (), tuple(demands))
        one, other = inputs
        shapes = call.in_shapes
        rank = len(shapes[0])
        if rank != len(shapes[1]) or rank < 2:
            raise Wall("it multiplies tensors of different ranks")
        between = joined_axis((one[-1], other[-2]), (shapes[0][-1], shapes[1][-2]), book)
        demands = [Demand(ids, ((0, -1), (1, -2)), reason) for ids in between]
        before = tuple(
            joined_axis((one[axis], other[axis]), (shapes[0][axis], shapes[1][axis]), book)
            for axis in range(rank - 2)
        )
        return Sent(((*before, one[-2], other[-1]),), (), tuple(demands))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return unknown(len(call.out_shapes[0]))


_UNARY = {
    numeric: (
        "Absolute", "Abs", "Negative", "Square", "Sqrt", "Exp", "Expm1", "Log", "Log1p", "Log2",
        "Log10", "Sin", "Cos", "Tan", "Tanh", "Sinh", "Cosh", "Arctan", "Arcsinh", "Sign",
        "Reciprocal", "Clip", "Floor", "Ceil", "Round", "Rint", "Trunc", "Exp2", "Cbrt",
        "LogicalNot", "Isfinite", "Isnan", "OnesLike", "ZerosLike", "NanToNum",
    ),
    nn: (
        "Relu", "Relu6", "Sigmoid", "SparseSigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid",
        "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "HardTanh",
        "HardShrink", "SoftShrink", "TanhShrink", "Squareplus", "SparsePlus", "Threshold",
    ),
    math: ("Rsqrt", "Erf", "Erfinv"),
}  # fmt: skip

OPERATIONS: Mapping[type, Rule] = {
    numeric.Add: ArithmeticRule(np.add),
    numeric.Subtract: ArithmeticRule(np.subtract),
    numeric.Multiply: ArithmeticRule(product),
    numeric.Divide: ArithmeticRule(np.divide),
    numeric.TrueDivide: ArithmeticRule(np.divide),
    numeric.Maximum: ArithmeticRule(np.maximum),
    numeric.Minimum: ArithmeticRule(np.minimum),
    numeric.Power: ArithmeticRule(np.power),
    numeric.Greater: ArithmeticRule(_compared(np.greater)),
    numeric.GreaterEqual: ArithmeticRule(_compared(np.greater_equal)),
    numeric.Less: ArithmeticRule(_compared(np.less)),
    numeric.LessEqual: ArithmeticRule(_compared(np.less_equal)),
    numeric.Equal: ArithmeticRule(_compared(np.equal)),
    numeric.NotEqual: ArithmeticRule(_compared(np.not_equal)),
    numeric.LogicalAnd: ArithmeticRule(_compared(np.logical_and)),
    numeric.LogicalOr: ArithmeticRule(_compared(np.logical_or)),
    numeric.Where: ArithmeticRule(_where, 3),
    numeric.Sum: ReductionRule(np.sum, exact=True),
    numeric.Mean: ReductionRule(np.mean, exact=False),
    numeric.Max: ReductionRule(np.max, exact=False),
    numeric.Min: ReductionRule(np.min, exact=False),
    numeric.Any: ReductionRule(np.any, exact=True),
    numeric.All: ReductionRule(np.all, exact=False),
    numeric.Prod: ReductionRule(np.prod, exact=False),
    numeric.Var: ReductionRule(np.var, exact=False),
    numeric.Std: ReductionRule(np.std, exact=False),
    numeric.Matmul: MatmulRule(),
    core.Cast: ElementwiseRule(),
    nn.Softmax: MixingRule(),
    nn.LogSoftmax: MixingRule(),
    nn.Glu: GluRule(),
    nn.MaxPool: PoolingRule(),
    nn.AveragePool: PoolingRule(),
    image.Resize: ResizingRule(),
    **{
        getattr(module, name): ElementwiseRule()
        for module, names in _UNARY.items()
        for name in names
        if hasattr(module, name)
    },
}
"""By exact class."""
