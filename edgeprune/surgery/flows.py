"""Channel numbers on the axes of a tensor, and the constants in it: what rules pass on.

A *lane* is one int64 number for each position of an axis: which channel stands there, -1 for none.
An axis may hold several lanes (heads and their width, flattened): a position leaves when any of
its channels does. An axis without lanes keeps its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgeprune.graphs import Role
from edgeprune.models.calls import Shape

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
"""A lane."""
Flow = tuple[tuple[Ids, ...], ...]
"""The lanes of each axis of a tensor, the batch left out."""
Values = npt.NDArray[np.float64]
"""Constants of a tensor: an array that broadcasts to its shape without the batch; NaN where the
value depends on the data."""
NOWHERE = -1


class Wall(Exception):
    """A call that no rule can follow; the text is the reason, without the layer's name."""


class Book(Protocol):
    """Where channel numbers are handed out, tied together and held."""

    def fresh(self, size: int) -> Ids:
        """Numbers for ``size`` new channels, made by the layer at hand."""
        ...

    def fix(self, ids: Ids, reason: str, *, inexact: bool = False) -> None:
        """The groups of these channels keep their size; where ``inexact``, they may lose channels
        at the price of other outputs."""
        ...

    def tie(self, one: Ids, other: Ids, reason: str) -> None:
        """What stands at the same position of both is one channel from here on; where only one of
        them has a channel, it keeps its size for ``reason``."""
        ...


INSIDE = (-1, -1)
"""The source of what a layer reads of its own, behind no input of it."""


@dataclass(frozen=True, eq=False)
class Part:
    """One axis of one weight of a layer.

    Attributes:
        weight: the variable's name inside the layer.
        axis: counted from 0.
        ids: channel number at each position of the axis.
        role: what the weight does with the channel.
        source: where role is ``"reads"``: which input it reads, and along which of its axes.
        least: how many positions the axis cannot do without.
        runs: where above one, the weight is the kernel of a grouped convolution, and ``ids`` has
            a number for each position of all its runs; they stay of equal size.
    """

    weight: str
    axis: int
    ids: Ids
    role: Role
    source: tuple[int, int] = (0, -1)
    least: int = 1
    runs: int = 1


@dataclass(frozen=True, eq=False)
class Demand:
    """Channels that are read without weights: they may leave only where an exact zero arrives.

    Attributes:
        ids: the lane.
        sources: (input, axis) where a zero may arrive; in a product one of them is enough.
        reason: why they stay where none does.
        every: whether each source has to be zero.
        always: they are read by their numbers, and stay even where a zero arrives.
    """

    ids: Ids
    sources: tuple[tuple[int, int], ...]
    reason: str
    every: bool = False
    always: bool = False


@dataclass(frozen=True, eq=False)
class Sent:
    """What a rule finds.

    Attributes:
        outputs: lanes of each output.
        parts: weights that sit on channels.
        demands: channels that are read without weights.
    """

    outputs: tuple[Flow, ...]
    parts: tuple[Part, ...] = ()
    demands: tuple[Demand, ...] = ()


@dataclass(frozen=True, eq=False)
class After:
    """Shapes when the channels have left.

    Attributes:
        inputs: of what goes into the call, without the batch.
        outputs: of what comes out, without the batch.
        weights: of the layer's weights by their names inside it, a new bias included.
        kept: for each input and axis which positions stay; ``None`` for all.
    """

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kept: tuple[tuple[Ids | None, ...], ...] = ()


def bare(rank: int) -> Flow:
    """No channels anywhere."""
    return ((),) * rank


def misfit(flow: Flow, shape: Shape) -> tuple[int, int, int] | None:
    """The first axis on which a lane is not as long as the axis: axis, channels, length."""
    for axis, (lanes, length) in enumerate(zip(flow, shape, strict=True)):
        for ids in lanes:
            if length is not None and ids.size != length:
                return axis, ids.size, length
    return None


def laned(rank: int, axis: int, *lanes: Ids) -> Flow:
    """``lanes`` on one axis of ``rank``."""
    return replaced(bare(rank), axis, lanes)


def replaced(flow: Flow, axis: int, lanes: Sequence[Ids]) -> Flow:
    """``flow`` with other lanes on one axis."""
    changed = list(flow)
    changed[axis] = tuple(lanes)
    return tuple(changed)


def held(
    axes: Iterable[tuple[Ids, ...]], reason: str, book: Book, *, inexact: bool = False
) -> None:
    """Every channel on these axes keeps its size; see :meth:`Book.fix`."""
    for lanes in axes:
        for ids in lanes:
            book.fix(ids, reason, inexact=inexact)


def joined(flows: Sequence[Flow], shapes: Sequence[Shape], book: Book) -> Flow:
    """Lanes of what combines ``flows`` element by element, with broadcasting.

    Raises:
        Wall: tensors of different ranks.
    """
    if len({len(shape) for shape in shapes}) != 1:
        raise Wall("it joins tensors of different ranks")
    return tuple(
        joined_axis([flow[axis] for flow in flows], [shape[axis] for shape in shapes], book)
        for axis in range(len(shapes[0]))
    )


def joined_axis(
    lanes: Sequence[tuple[Ids, ...]], lengths: Sequence[int | None], book: Book
) -> tuple[Ids, ...]:
    """Lanes of one axis where several tensors meet position by position."""
    wide = any(length != 1 for length in lengths)
    there = [lane for lane, length in zip(lanes, lengths, strict=True) if length != 1 or not wide]
    first = max(there, key=len, default=())
    for lane in there:
        if len(lane) != len(first):
            for ids in (*lane, *first):
                book.fix(ids, "it meets a tensor whose channels cannot leave there")
        for one, other in zip(first, lane, strict=False):
            if one is not other:
                book.tie(one, other, "it meets a tensor whose channels cannot leave there")
    return first


def lane_of(values: Values, axis: int, length: int) -> Values:
    """The constants along one axis; NaN where they change along another axis too."""
    rows = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
    first = rows[0]
    if rows.shape[0] > 1:
        first = np.where((rows == first).all(axis=0), first, np.nan)
    return np.broadcast_to(first, (length,))


def behind_batch(axis: int, rank: int, reason: str) -> int:
    """An axis of a tensor of ``rank`` axes, the batch not among them, as Keras has it (the batch is
    0), counted without the batch.

    Raises:
        Wall: it is the batch's, for ``reason``.
    """
    place = int(axis) % (rank + 1)
    if place == 0:
        raise Wall(reason)
    return place - 1


def all_behind_batch(axes: Any, rank: int, reason: str) -> tuple[int, ...]:
    """One axis, several or all (``None``) of a tensor, counted as :func:`behind_batch` does.

    Raises:
        Wall: the batch's is among them, for ``reason``.
    """
    given = range(rank + 1) if axes is None else np.atleast_1d(axes)
    return tuple(behind_batch(axis, rank, reason) for axis in given)


def on_axis(numbers: Array, axis: int, rank: int) -> Array:
    """A one-dimensional array on one axis of ``rank``."""
    shape = [1] * rank
    shape[axis] = -1
    return numbers.reshape(shape)


def sizes(shape: Sequence[int | None]) -> list[int] | None:
    """``shape`` where every length is known, else ``None``."""
    known = [length for length in shape if length is not None]
    return known if len(known) == len(shape) else None


def unknown(rank: int) -> Values:
    """Constants of a tensor of which nothing is known."""
    return np.full((1,) * rank, np.nan)


def product(one: Values, other: Values) -> Values:
    """The product of constants, where a zero wins over what is unknown."""
    return np.where((one == 0) | (other == 0), 0.0, one * other)
