"""Layers that move elements: pooling, padding, cropping, flatten, reshape, permute, repeat."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call, Shape
from edgeprune.surgery.flows import (
    NOWHERE,
    After,
    Array,
    Book,
    Flow,
    Ids,
    Sent,
    Values,
    Wall,
    bare,
    held,
    lane_of,
    on_axis,
    sizes,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights


class PoolingRule(Rule):
    """Average or maximum inside each channel.

    TensorFlow leaves padding out of the average and of the maximum, so a constant stays one.
    """

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        held(inputs[0][:-1], f"{call.layer.name} pools over them", book)
        return Sent((bare(len(call.out_shapes[0]) - 1) + inputs[0][-1:],))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        lane = lane_of(values[0], -1, values[0].shape[-1])
        return on_axis(lane, -1, len(call.out_shapes[0]))


class PaddingRule(Rule):
    """Zeros around each channel: a constant that is not zero is none behind it."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((tuple(self._sent(call, axis, lanes) for axis, lanes in enumerate(inputs[0])),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        lane = lane_of(values[0], -1, values[0].shape[-1])
        lane = np.where(lane != 0, np.nan, lane)
        return on_axis(lane, -1, len(call.out_shapes[0]))

    def _sent(self, call: Call, axis: int, lanes: tuple[Ids, ...]) -> tuple[Ids, ...]:
        if axis == len(call.in_shapes[0]) - 1:
            return lanes
        before, after = margins(call.layer.padding, axis)
        return tuple(np.pad(ids, (before, after), constant_values=NOWHERE) for ids in lanes)


class CroppingRule(PoolingRule):
    """The border leaves; what is left are the same channels."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        flow = list(inputs[0])
        for axis in range(len(flow) - 1):
            before, after = margins(call.layer.cropping, axis)
            flow[axis] = tuple(ids[before : ids.size - after] for ids in flow[axis])
        return Sent((tuple(flow),))


class UpSamplingRule(PoolingRule):
    """Nearest neighbours or interpolation inside each channel; spatial lanes are held."""


class ResizingRule(PoolingRule):
    """``Resizing`` and ``ops.image.resize``: inside each channel, with a border where it is padded
    to keep its aspect."""

    def takes(self) -> frozenset[str]:
        return frozenset({"training"})  # Keras says so wherever it is called

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        if getattr(call.layer, "pad_to_aspect_ratio", False):
            return unknown(len(call.out_shapes[0]))
        return super().constant(call, weights, values)


def margins(given: Any, axis: int) -> tuple[int, int]:
    """What a padding or cropping adds or takes before and after an axis."""
    one = given[axis] if isinstance(given[0], list | tuple) else given
    return int(one[0]), int(one[1])


class ReshapeRule(Rule):
    """``Flatten`` and ``Reshape``: lanes go through the same reshape.

    Channels that come to lie over several axes are tied together along all but the last of them,
    so that what leaves is a whole slice.
    """

    alone = True

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((reshaped(inputs[0], call.in_shapes[0], call.out_shapes[0], book),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        before, after = sizes(call.in_shapes[0]), sizes(call.out_shapes[0])
        if before is None or after is None or np.isnan(values[0]).all():
            return unknown(len(call.out_shapes[0]))
        return alike(np.broadcast_to(values[0], before).reshape(after))

    def spells(self, call: Call) -> bool:
        return hasattr(call.layer, "target_shape")

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        if "target_shape" not in config:
            return config
        return {**config, "target_shape": renewed(config["target_shape"], after.outputs[0])}


def renewed(target: Sequence[int | None], lengths: Shape) -> tuple[int | None, ...]:
    """A reshape's target for other lengths: an axis that is open (-1) stays so, the others are
    said in full."""
    return tuple(
        old if old in (-1, None) or new is None else new
        for old, new in zip(target, lengths, strict=True)
    )


class PermuteRule(Rule):
    """Axes change places, and the lanes with them."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((tuple(inputs[0][axis - 1] for axis in call.layer.dims),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return np.transpose(values[0], [axis - 1 for axis in call.layer.dims])


class RepeatVectorRule(Rule):
    """A new axis of copies before the channels'."""

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        return Sent((((), inputs[0][0]),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        return values[0][None]


def alike(values: Array) -> Array:
    """``values`` with every axis along which nothing changes shortened to one."""
    for axis, length in enumerate(values.shape):
        first = values.take([0], axis) if length else values
        if length > 1 and ((values == first) | ((values != values) & (first != first))).all():
            values = first
    return values


def reshaped(flow: Flow, before: Shape, after: Shape, book: Book) -> Flow:
    """Lanes behind a reshape from ``before`` to ``after``.

    Raises:
        Wall: an axis with lanes meets one whose length is free.
    """
    made: list[tuple[Ids, ...]] = [()] * len(after)
    free = [axis for axis, length in enumerate(after) if length is None]
    before, after = _spelled(before, after)
    for old, new in blocks(before, after):
        lengths = sizes([before[axis] for axis in old])
        goal = sizes([after[axis] for axis in new])
        lanes = [(axis, ids) for axis in old for ids in flow[axis]]
        if lanes and (lengths is None or goal is None):
            raise Wall("it reshapes an axis whose length is free")
        if lanes and math.prod(lengths or ()) != math.prod(goal or ()):
            raise Wall("it reshapes an axis whose length is free")
        for axis, ids in lanes:
            inside = on_axis(ids, axis - old[0], len(old))
            place, lane = gathered(np.broadcast_to(inside, lengths or ()).reshape(goal or ()), book)
            if new[place] in free:
                raise Wall("it reshapes an axis whose length is free")
            made[new[place]] = (*made[new[place]], lane)
    return tuple(made)


def _spelled(before: Shape, after: Shape) -> tuple[Shape, Shape]:
    """Shapes with lengths that go together in place of the free ones, where each has one."""
    if before.count(None) != 1 or after.count(None) != 1:
        return before, after
    one, other = (math.prod(n for n in shape if n is not None) for shape in (before, after))
    # No small number: a length of one would fit where others do not.
    common = 7 * math.lcm(one, other)
    return (
        tuple(common // one if n is None else n for n in before),
        tuple(common // other if n is None else n for n in after),
    )


def blocks(before: Shape, after: Shape) -> Iterator[tuple[range, range]]:
    """Runs of axes that a reshape turns into runs of axes, as short as can be."""
    old = new = 0
    while old < len(before) or new < len(after):
        first, second = old, new
        old, new = min(old + 1, len(before)), min(new + 1, len(after))
        while not _same(before[first:old], after[second:new]):
            if old < len(before) and (
                new >= len(after) or _size(before[first:old]) <= _size(after[second:new])
            ):
                old += 1
            elif new < len(after):
                new += 1
            else:
                break
        while old < len(before) and before[old] == 1 and new == len(after):
            old += 1
        while new < len(after) and after[new] == 1 and old == len(before):
            new += 1
        yield range(first, old), range(second, new)


def _same(before: Shape, after: Shape) -> bool:
    if None in before or None in after:
        return before == after
    return _size(before) == _size(after)


def _size(shape: Shape) -> float:
    return math.inf if None in shape else math.prod(length or 0 for length in shape)


def gathered(spread: Ids, book: Book) -> tuple[int, Ids]:
    """The axis on which channels lie, and the lane there; over several, slices become one."""
    short = alike(spread)
    axes = [axis for axis, length in enumerate(short.shape) if length > 1]
    if not axes:
        # One channel fills the block: any axis of it will do, the longest says most.
        axis = int(np.argmax(spread.shape)) if spread.ndim else 0
        return axis, np.full(spread.shape[axis], short.reshape(-1)[0])
    for axis in axes[:-1]:
        first = short.take([0], axis)
        book.tie(
            np.broadcast_to(first, short.shape).reshape(-1),
            short.reshape(-1),
            "it is spread over several axes together with what has no channel",
        )
        short = first
    return axes[-1], short.reshape(-1)
