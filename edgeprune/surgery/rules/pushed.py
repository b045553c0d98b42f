"""Operations that move whole positions, whatever they are: channel numbers go through the operation
itself.

Tile, flip, pad, depth to space: what stands in the output tells where channels come out. Where the
operation does something else once channels have left (a roll along them), they keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras.src.ops import image, nn
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    Array,
    Book,
    Flow,
    Ids,
    Sent,
    Values,
    Wall,
    on_axis,
    unknown,
)
from edgeprune.surgery.rules.base import Rule, Weights
from edgeprune.surgery.rules.shapes import alike, gathered


class PushedRule(Rule):
    """An operation that copies, moves and drops elements, and puts zeros between them."""

    def refusal(self, call: Call) -> str | None:
        return "it is called with more than a tensor" if call.args[1:] else super().refusal(call)

    def takes(self) -> frozenset[str]:
        return frozenset({"constant_values"})

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        made: list[tuple[Ids, ...]] = [()] * len(call.out_shapes[0])
        for axis, lanes in enumerate(inputs[0]):
            if lanes and call.in_shapes[0][axis] is None:
                raise Wall("it moves an axis whose length is free")
            for ids in lanes:
                whole = _pushed(call, ids + 1, axis)
                place, lane = _placed(whole, axis, book)
                made[place] = (*made[place], lane)
                if not _commutes(call, ids + 1, axis, whole, place):
                    book.fix(ids, f"{call.layer.name} moves it by its place")
        return Sent((tuple(made),))

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        if not np.isfinite(values[0]).any():
            return unknown(len(call.out_shapes[0]))
        full = np.broadcast_to(values[0], _lengths(call))
        known = np.isfinite(full)
        made = _called(call, np.where(known, full, 0.0)[None], **call.settings)[0]
        # An operation that copies by a kernel would make nothing of what is unknown nearby.
        made = alike(np.where(_called(call, ~known[None])[0] == 0, made, np.nan))
        for length, found in zip(call.out_shapes[0], made.shape, strict=True):
            if length is None and found > 1:
                return unknown(made.ndim)
        return made


def _lengths(call: Call) -> list[int]:
    """The input's shape, with some length that suits the operation where one is free."""
    given = getattr(call.layer, "block_size", getattr(call.layer, "size", 1))
    some = 2 * int(np.max(given))
    return [some if length is None else length for length in call.in_shapes[0]]


def _called(call: Call, array: Array, **settings: Any) -> Array:
    return np.asarray(call.layer(keras.ops.convert_to_tensor(array, dtype="float64"), **settings))


def _pushed(call: Call, numbers: Ids, axis: int) -> Array:
    """Numbers above zero on an axis, pushed through; zero where none of them stands.

    Raises:
        Wall: the batch does not come out as it went in.
    """
    lengths = _lengths(call)
    lengths[axis] = numbers.size
    one = np.broadcast_to(on_axis(numbers, axis, len(lengths)), lengths)
    apart = int(numbers.max(initial=0)) + 1
    first, *rest = _called(call, np.stack([one, np.where(one > 0, one + apart, 0)])).round()
    if len(rest) != 1 or not np.array_equal(rest[0], np.where(first > 0, first + apart, 0)):
        raise Wall("it moves the batch")
    return first.astype(np.int64)


def _placed(spread: Array, axis: int, book: Book) -> tuple[int, Ids]:
    """The axis of the output on which the numbers lie, and the lane there."""
    same = min(axis, spread.ndim - 1)
    for place in dict.fromkeys((same, *reversed(range(spread.ndim)))):
        lane = np.moveaxis(spread, place, -1).reshape(-1, spread.shape[place]).max(0, initial=0)
        if ((spread == 0) | (spread == on_axis(lane, place, spread.ndim))).all():
            return place, lane - 1
    return gathered(spread - 1, book)


def _commutes(call: Call, numbers: Ids, axis: int, whole: Array, place: int) -> bool:
    """Whether what is left of the output is what the operation makes of what is left of the input,
    tried where the first half of the output leaves, the second, and every second position."""
    length = whole.shape[place]
    rows = np.moveaxis(whole, place, 0).reshape(length, -1)
    for chosen in (slice(length // 2), slice(length // 2, None), slice(1, None, 2)):
        leave = np.unique(rows[chosen])
        for _ in range(2):  # what else stands where one of them does
            gone = np.isin(rows, leave[leave > 0]).any(axis=1)
            leave = np.unique(rows[gone])
        stays = ~np.isin(numbers, leave)
        if not stays.any() or stays.all():
            continue
        try:
            left = _pushed(call, numbers[stays], axis)
        except Exception:
            return False  # a length that the operation does not take
        if not np.array_equal(left, np.compress(~gone, whole, place)):
            return False
    return True


_PUSHED = {
    numeric: ("Tile", "Flip", "Fliplr", "Rot90", "Pad", "Tril", "Triu"),
    nn: ("DepthToSpace", "SpaceToDepth"),
    image: ("ExtractPatches", "PadImages", "CropImages"),
}
PUSHED: Mapping[type, Rule] = {
    # Older Keras 3 lacks some.
    getattr(module, name): PushedRule()
    for module, names in _PUSHED.items()
    for name in names
    if hasattr(module, name)
}
"""By exact class."""
