"""Keras operations used as layers that compute element by element, reduce or multiply matrices.

``x + y``, ``keras.ops.relu(x)``, ``keras.ops.mean(x, axis=1)``: in a Functional graph each is an
object of a class in Keras' source, which has no public name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras.src.ops import core, nn
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
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


class ArithmeticRule(Rule):
    """Two operands, tensors or numbers: what meets at a position is one channel. Along an axis on
    which a constant operand has several numbers, channels stay."""

    many = True

    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self._combine = combine

    def refusal(self, call: Call) -> str | None:
        if len(self._operands(call)) != 2:
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
        for operand in set(range(2)) - set(places):
            self._held(np.shape(self._operands(call)[operand]), flow, book)
        return Sent((flow,))

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

    def _places(self, call: Call) -> dict[int, int]:
        """Which operand is which input."""
        order = {id(tensor): place for place, tensor in enumerate(call.inputs)}
        return {
            operand: order[id(given)]
            for operand, given in enumerate(self._operands(call))
            if id(given) in order
        }

    @staticmethod
    def _held(shape: Sequence[int], flow: Flow, book: Book) -> None:
        for back, length in enumerate(reversed(shape), start=1):
            for ids in flow[-back] if length > 1 and back <= len(flow) else ():
                book.fix(ids, "it meets a constant with one number a channel")


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
        if self._exact:
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
    them meet each other."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        one, other = inputs
        shapes = call.in_shapes
        rank = len(shapes[0])
        if rank != len(shapes[1]) or rank < 2:
            raise Wall("it multiplies tensors of different ranks")
        between = joined_axis((one[-1], other[-2]), (shapes[0][-1], shapes[1][-2]), book)
        reason = f"{call.layer.name} multiplies channels without weights"
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
        "Reciprocal", "Clip", "Floor", "Ceil", "Round", "Rint", "Trunc",
    ),
    nn: (
        "Relu", "Relu6", "Sigmoid", "SparseSigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid",
        "LeakyRelu", "HardSigmoid", "HardSilu", "Elu", "Selu", "Gelu", "Celu", "HardTanh",
        "HardShrink", "SoftShrink", "TanhShrink", "Squareplus", "SparsePlus", "Threshold",
    ),
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
    numeric.Sum: ReductionRule(np.sum, exact=True),
    numeric.Mean: ReductionRule(np.mean, exact=False),
    numeric.Max: ReductionRule(np.max, exact=False),
    numeric.Min: ReductionRule(np.min, exact=False),
    numeric.Matmul: MatmulRule(),
    core.Cast: ElementwiseRule(),
    nn.Softmax: MixingRule(),
    nn.LogSoftmax: MixingRule(),
    nn.Glu: GluRule(),
    **{
        getattr(module, name): ElementwiseRule()
        for module, names in _UNARY.items()
        for name in names
        if hasattr(module, name)
    },
}
"""By exact class."""
