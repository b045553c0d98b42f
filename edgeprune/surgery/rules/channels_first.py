"""``channels_first``: any layer's rule for channels last, with the axes in the other order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from edgeprune.models.calls import Call, Shape
from edgeprune.surgery.flows import After, Array, Book, Flow, Part, Sent, Values
from edgeprune.surgery.rules.base import Rule, Weights

_Axes = TypeVar("_Axes", bound=tuple[Any, ...])


def _last(axes: _Axes) -> _Axes:
    """What belongs to each axis, the first axis put last."""
    return axes[1:] + axes[:1]  # type: ignore[return-value]


def _first(axes: _Axes) -> _Axes:
    """The inverse of :func:`_last`."""
    return axes[-1:] + axes[:-1]  # type: ignore[return-value]


def _values_last(values: Sequence[Values]) -> list[Values]:
    return [np.moveaxis(value, 0, -1) if value.ndim else value for value in values]


@dataclass(frozen=True, eq=False)
class _LastCall(Call):
    """A call whose shapes have their channels last."""

    @property
    def in_shapes(self) -> tuple[Shape, ...]:
        return tuple(_last(shape) for shape in super().in_shapes)

    @property
    def out_shapes(self) -> tuple[Shape, ...]:
        return tuple(_last(shape) for shape in super().out_shapes)


class ChannelsFirst(Rule):
    """Another rule for a layer whose tensors have their channels on the first axis.

    Weights lie the same way for both formats, so that only lanes, constants and shapes of tensors
    turn.

    Args:
        rule: the layer's rule for channels last.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.many = rule.many

    def refusal(self, call: Call) -> str | None:
        reason = self.rule.refusal(call)
        return (
            _astray(call) if reason is None and getattr(call.layer, "use_bias", False) else reason
        )

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        sent = self.rule.send(_turned(call), [_last(flow) for flow in inputs], book)
        return Sent(
            tuple(_first(flow) for flow in sent.outputs),
            tuple(self._part(call, part) for part in sent.parts),
            sent.demands,
        )

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> Values | tuple[Values, ...]:
        made = self.rule.constant(_turned(call), weights, _values_last(values))
        return np.moveaxis(np.asarray(made), -1, 0)

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        return self.rule.met(_turned(call), weights, _values_last(values), self._turned(call, part))

    def folds(self, call: Call, part: Part) -> str | None:
        reason = self.rule.folds(_turned(call), self._turned(call, part))
        return _astray(call) if reason is None else reason

    def bias(self, call: Call, part: Part) -> str:
        return self.rule.bias(_turned(call), self._turned(call, part))

    def shifted(self, call: Call, part: Part, bias: Array | None, delta: Array) -> Array:
        return self.rule.shifted(_turned(call), self._turned(call, part), bias, delta)

    def spells(self, call: Call) -> bool:
        return self.rule.spells(call)

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        turned = replace(
            after,
            inputs=tuple(_last(shape) for shape in after.inputs),
            outputs=tuple(_last(shape) for shape in after.outputs),
        )
        return self.rule.resized(_turned(call), config, turned)

    @staticmethod
    def _part(call: Call, part: Part) -> Part:
        """``part`` with the axis that it reads as the layer has it."""
        place, axis = part.source
        rank = len(call.in_shapes[place])
        return replace(part, source=(place, (axis % rank + 1) % rank))

    @staticmethod
    def _turned(call: Call, part: Part) -> Part:
        """The inverse of :meth:`_part`."""
        place, axis = part.source
        rank = len(call.in_shapes[place])
        return replace(part, source=(place, (axis - 1) % rank))


def _turned(call: Call) -> Call:
    return _LastCall(call.layer, call.inputs, call.outputs, call.settings, call.args)


def _astray(call: Call) -> str | None:
    """Why a bias of this layer may come to lie on another axis: ``keras.ops.add`` takes the last
    axis for the channels' where it is as long as the bias."""
    channels, *_, width = call.out_shapes[0]
    if width is not None and channels is not None and width > channels:
        return None
    return "Keras adds a bias along the width where that is as long as the channels are many"
