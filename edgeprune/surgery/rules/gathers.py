"""Keras operations used as layers that pick positions of an axis: roll, take, repeat; and those
that change the order of axes.

Lanes go through the same choice of positions. Where channels leave, ``take`` with the positions
that are left is called in place of the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Book,
    Demand,
    Flow,
    Sent,
    Values,
    Wall,
    behind_batch,
    held,
    lane_of,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights
from edgeprune.surgery.rules.moves import TransposeOperation
from edgeprune.surgery.rules.pushed import PushedRule

Positions = npt.NDArray[np.int64]


class GatherRule(Rule):
    """One axis of the output is made of positions of the input's.

    Args:
        positions: of a call and the positions of the input axis, those of the output axis.
    """

    def __init__(self, positions: Callable[[Call, Positions], Positions]) -> None:
        self._positions = positions

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        axis = self._axis(call)
        length = call.in_shapes[0][axis]
        flow = list(inputs[0])
        if flow[axis]:
            if length is None:
                raise Wall("it picks from an axis whose length is free")
            picked = self._positions(call, np.arange(length))
            flow[axis] = tuple(ids[picked] for ids in flow[axis])
        return Sent((tuple(flow),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        axis, value = self._axis(call), values[0]
        if value.shape[axis] == 1:
            return value
        return np.take(value, self._positions(call, np.arange(value.shape[axis])), axis)

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        axis = self._axis(call)
        keep = after.kept[0][axis]
        length = call.in_shapes[0][axis]
        if keep is None or length is None:
            return None
        new = {int(old): place for place, old in enumerate(keep)}
        picked = self._positions(call, np.arange(length)).tolist()
        left = [new[old] for old in picked if old in new]
        return lambda x, *_, **__: keras.ops.take(x, left, axis=axis + 1)

    @staticmethod
    def _axis(call: Call) -> int:
        if not isinstance(call.layer.axis, int):
            raise Wall("it works on several axes at once")
        return behind_batch(call.layer.axis, len(call.in_shapes[0]), "it moves the batch")


def _repeated(call: Call, positions: Positions) -> Positions:
    return np.repeat(positions, call.layer.repeats)


def _indices(call: Call) -> Any:
    given = call.args[1] if len(call.args) > 1 else call.settings.get("indices")
    if given is None or isinstance(given, keras.KerasTensor):
        raise Wall("it picks by what is no list of positions")
    return np.asarray(given)


class TakeRule(GatherRule):
    """``keras.ops.take``. A number alone takes its axis away, a table makes several of it."""

    def __init__(self) -> None:
        super().__init__(lambda call, positions: positions[_indices(call)])

    def takes(self) -> frozenset[str]:
        return frozenset({"indices"})

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        rank = _indices(call).ndim
        if rank == 1:
            return super().send(call, inputs, book)
        axis, flow = self._axis(call), list(inputs[0])
        flow[axis : axis + 1] = [()] * rank
        reason = f"{call.layer.name} picks it by number"
        demands = [
            Demand(ids[_indices(call)][None], ((0, axis),), reason, always=True)
            for ids in (inputs[0][axis] if not rank else ())
        ]
        held(inputs[0][axis : axis + 1] if rank else (), reason, book)
        return Sent((tuple(flow),), (), tuple(demands))

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        axis = self._axis(call)
        return [lane_of(values[0], axis, call.in_shapes[0][axis] or 1)[_indices(call)][None]]

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        axis = self._axis(call)
        keep = after.kept[0][axis]
        if _indices(call).ndim or keep is None:
            return super().instead(call, after)
        number = np.arange(call.in_shapes[0][axis] or 1)[_indices(call)]
        place = int(np.flatnonzero(keep == number)[0])
        return lambda x, *_, **__: keras.ops.take(x, place, axis=axis + 1)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        if _indices(call).ndim == 1:
            return super().constant(call, weights, values)
        return unknown(len(call.out_shapes[0]))


class RollRule(GatherRule):
    """``keras.ops.roll``: over several axes only those without channels."""

    def __init__(self) -> None:
        super().__init__(lambda call, positions: np.roll(positions, call.layer.shift))

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        if isinstance(call.layer.axis, int):
            return super().send(call, inputs, book)
        return _SEVERAL.send(call, inputs, book)

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        if isinstance(call.layer.axis, int):
            return super().constant(call, weights, values)
        return _SEVERAL.constant(call, weights, values)

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        return super().instead(call, after) if isinstance(call.layer.axis, int) else None


_SEVERAL = PushedRule()


class SwapRule(TransposeOperation):
    """``keras.ops.swapaxes`` and ``keras.ops.moveaxis``."""

    def __init__(self, turned: Callable[[Any, Any], Any]) -> None:
        self._turned = turned

    def _axes(self, call: Call) -> list[int]:
        shape = tuple(range(2, len(call.in_shapes[0]) + 3))
        # Lengths that all differ tell which axis went where.
        axes = [length - 2 for length in self._turned(call.layer, np.empty(shape, bool)).shape]
        if axes[0] != 0:
            raise Wall("it moves the batch")
        return [axis - 1 for axis in axes[1:]]


GATHERS: Mapping[type, Rule] = {
    numeric.Roll: RollRule(),
    numeric.Repeat: GatherRule(_repeated),
    numeric.Take: TakeRule(),
    numeric.Swapaxes: SwapRule(lambda op, x: np.swapaxes(x, op.axis1, op.axis2)),
    numeric.Moveaxis: SwapRule(lambda op, x: np.moveaxis(x, op.source, op.destination)),
}
"""By exact class."""
