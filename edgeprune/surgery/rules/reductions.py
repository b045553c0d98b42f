"""Keras operations that sum, average or scale along axes: channels on other axes pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.ops import linalg, nn
from keras.src.ops import math as maths
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
    all_behind_batch,
    held,
    replaced,
)
from edgeprune.surgery.rules.base import Rule, Weights
from edgeprune.surgery.rules.layer_norms import UnitNormRule, axes_of
from edgeprune.surgery.rules.pointwise import MixingRule

Zeros = Callable[[Call], bool]


class ReductionRule(Rule):
    """Sum, mean, largest over axes. On the axis itself a sum can do without a channel that arrives
    as zero; the others mix.

    Args:
        reduce: the same on arrays, where it gives back a value that all have in common.
        exact: whether zeros count for nothing, of every call or by call.
        zero: whether zeros alone give zero.
    """

    def __init__(
        self,
        reduce: Callable[..., Any] | None = None,
        *,
        exact: bool | Zeros = False,
        zero: bool = True,
    ) -> None:
        self._reduce = reduce
        self._exact = exact
        self._zero = zero

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        demands = []
        axes = self._axes(call)
        exact = self._exact(call) if callable(self._exact) else self._exact
        for axis in axes:
            for ids in inputs[0][axis]:
                reason = f"{call.layer.name} mixes channels"
                if exact:
                    demands.append(Demand(ids, ((0, axis),), reason))
                else:
                    book.fix(ids, reason, inexact=True)
        flow: list[Any] = []
        for axis, lanes in enumerate(inputs[0]):
            if axis not in axes:
                flow.append(lanes)
            elif self._stays(call):
                flow.append(())
        return Sent((tuple(flow),) * len(call.outputs), (), tuple(demands))

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> Values | tuple[Values, ...]:
        settings: dict[str, Any] = {"axis": self._axes(call), "keepdims": self._stays(call)}
        if self._reduce is not None:
            return np.asarray(self._reduce(values[0], **settings))
        # The length of an axis is not always spelled out here: nothing else is known.
        made = np.where((values[0] == 0).all(**settings) & self._zero, 0.0, np.nan)
        return (made,) * len(call.outputs)

    @staticmethod
    def _stays(call: Call) -> bool:
        """Whether the axes stay, of length one."""
        return bool(getattr(call.layer, "keepdims", False))

    @staticmethod
    def _axes(call: Call) -> tuple[int, ...]:
        rank = len(call.in_shapes[0])
        given = getattr(call.layer, "axes" if isinstance(call.layer, nn.Moments) else "axis")
        return all_behind_batch(given, rank, "it reduces over the batch")


class MomentsRule(ReductionRule):
    """``keras.ops.moments``: mean and variance."""

    many = True


class ChosenRule(ReductionRule):
    """``argmax``: what comes out counts the channels, so none may leave."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        for axis in self._axes(call):
            for ids in inputs[0][axis]:
                book.fix(ids, f"{call.layer.name} counts them")
        return super().send(call, inputs, book)


class CumulativeRule(Rule):
    """``cumsum``: what arrives as zero adds nothing to those behind it."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        reason = f"{call.layer.name} sums over channels"
        (axis,) = _along(call)
        demands = tuple(Demand(ids, ((0, axis),), reason) for ids in inputs[0][axis])
        return Sent((inputs[0],), (), demands)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return _silent(call, values[0])


class DifferenceRule(Rule):
    """``diff``: neighbours on its axis are subtracted; channels on the others pass."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        (axis,) = _along(call)
        held((inputs[0][axis],), f"{call.layer.name} subtracts neighbours", book)
        return Sent((replaced(inputs[0], axis, ()),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return _silent(call, values[0])


class TopRule(Rule):
    """``top_k``: the last axis is sorted; channels on the others pass."""

    many = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        held(inputs[0][-1:], f"{call.layer.name} counts them", book)
        return Sent((replaced(inputs[0], -1, ()),) * 2)


class AlongRule(MixingRule):
    """``cumprod``, ``sort``: along its axis channels are mixed."""

    def refusal(self, call: Call) -> str | None:
        _along(call)
        if any(one is not None for one in call.args[1:]):
            return "it is called with more than a tensor"
        return super().refusal(call)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return _silent(call, values[0])


def _silent(call: Call, values: Values) -> Values:
    """Zero where all along the axis are."""
    zero = (values == 0).all(axis=_along(call), keepdims=True)
    return np.where(zero, 0.0, np.nan)


def _along(call: Call) -> tuple[int, ...]:
    return all_behind_batch(call.layer.axis, len(call.in_shapes[0]), "it works along the batch")


class NormalizeRule(UnitNormRule):
    """``keras.ops.normalize``: divided by the length, which counts no zeros."""

    def refusal(self, call: Call) -> str | None:
        return "its order is not above zero" if call.layer.order <= 0 else super().refusal(call)


class RMSOperation(UnitNormRule):
    """``keras.ops.rms_normalization``: as ``RMSNormalization``, with a scale that is a constant or
    none."""

    def refusal(self, call: Call) -> str | None:
        if len(axes_of(call)) > 1:
            return "it normalises over several axes"
        return super().refusal(call)

    def takes(self) -> frozenset[str]:
        return frozenset({"scale"})

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        (axis,) = axes_of(call)
        keep = after.kept[0][axis]
        old, new = call.in_shapes[0][axis], after.inputs[0][axis]
        if keep is None or old is None or new is None:
            return None
        layer = call.layer
        # With fewer channels the mean of squares grows by old / new.
        scale = self._scale(call, old)[keep] * math.sqrt(old / new)
        epsilon = keras.config.epsilon() if layer.epsilon is None else layer.epsilon
        return lambda x, *_, **__: keras.ops.rms_normalization(
            x, scale, axis=layer.axis, epsilon=epsilon * old / new
        )

    @staticmethod
    def _scale(call: Call, length: int) -> Array:
        given = call.args[1] if len(call.args) > 1 else call.settings.get("scale")
        return np.ones(length) if given is None else np.broadcast_to(given, length)


def _drops_zeros(call: Call) -> bool:
    """Whether a norm counts no zeros: any but those of a negative order."""
    order = call.layer.ord
    return order is None or isinstance(order, str) or order >= 0


REDUCTIONS: Mapping[type, Rule] = {
    numeric.Sum: ReductionRule(exact=True),
    numeric.CountNonzero: ReductionRule(exact=True),
    numeric.Any: ReductionRule(exact=True),
    numeric.All: ReductionRule(),
    numeric.Prod: ReductionRule(),
    numeric.Mean: ReductionRule(np.mean),
    numeric.Median: ReductionRule(np.median),
    numeric.Max: ReductionRule(np.max),
    numeric.Amax: ReductionRule(np.max),
    numeric.Min: ReductionRule(np.min),
    numeric.Amin: ReductionRule(np.min),
    numeric.Var: ReductionRule(np.var),
    numeric.Std: ReductionRule(np.std),
    numeric.Argmax: ChosenRule(zero=False),
    numeric.Argmin: ChosenRule(zero=False),
    maths.Logsumexp: ReductionRule(zero=False),
    linalg.Norm: ReductionRule(exact=_drops_zeros),
    nn.Moments: MomentsRule(),
    numeric.Cumsum: CumulativeRule(),
    numeric.Cumprod: AlongRule(),
    numeric.Sort: AlongRule(),
    nn.LayerNorm: AlongRule(),
    numeric.Diff: DifferenceRule(),
    maths.TopK: TopRule(),
    nn.Normalize: NormalizeRule(),
    nn.RMSNorm: RMSOperation(),
}
"""By exact class."""
