"""Strip that keeps a pattern: units leave so that blocks of neighbours stay whole.

A runtime's sparse kernel stores a Dense kernel in aligned blocks of four (or sixteen) along the
input axis, and takes two outputs of a 1×1 convolution at once. Take one unit out, and every block
behind it is cut in two: the file grows, or the kernel is not taken. So what is left of each old
block has to stay together in one new block; then the number of non-empty blocks cannot grow, since
a union has at most as many columns as its parts together.

The units whose neighbours make a block lie along axis 0 here, whatever the kernel's own axis is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 4
INPUTS = (16, BLOCK)
"""Sizes of blocks along the inputs of a Dense kernel, the largest first."""
OUTPUTS = (2,)
"""Along the outputs of a 1×1 convolution."""
NAMES = {16: "1x16", BLOCK: "1x4", 2: "2x1"}
_ZEROS = 0.5
_WHOLE = 0.99
_SCATTERED = 0.1
"""What is not whole is less than this share of what would not be if zeros lay anywhere."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Packing:
    """How the units of one group stand after some left.

    Attributes:
        order: the old units that stay, in their new order.
        kept: those of them that are dead and stay for the blocks' sake.
    """

    order: Ints
    kept: Ints


def nonempty_blocks(nonzero: Bools, size: int = BLOCK) -> int:
    """Blocks of ``size`` along axis 0 with at least one non-zero; a shorter last one counts.

    Args:
        nonzero: (units, anything), whether each element is not zero.
        size: of a block.
    """
    return int(_by_block(nonzero, size).any(axis=1).sum())


def block_of(nonzero: Bools, dead: Bools, sizes: Sequence[int]) -> int | None:
    """The first of ``sizes`` in whose blocks a kernel's zeros stand; see :func:`has_pattern`."""
    return next((size for size in sizes if has_pattern(nonzero, dead, size)), None)


def has_pattern(nonzero: Bools, dead: Bools, size: int = BLOCK) -> bool:
    """Whether a kernel's zeros stand in blocks of ``size`` along axis 0.

    Its dead rows (named, or all zero) and dead columns left out, at least half of the rest is zero
    and at least 99 % of those zeros fill whole blocks; where so much is zero that scattered zeros
    would too, more of them.

    Args:
        nonzero: (units, anything), whether each element is not zero.
        dead: (units,), rows that are about to leave.
        size: of a block.
    """
    rows = ~dead & nonzero.any(axis=1)
    inside = nonzero & rows[:, None]
    columns = inside.any(axis=0)
    inside = inside[:, columns]
    rest = int(rows.sum()) * int(columns.sum())
    zeros = rest - int(inside.sum())
    if not rest or zeros < _ZEROS * rest:
        return False
    empty = ~_by_block(inside, size).any(axis=1)
    whole = int((empty * _by_block(rows[:, None], size).sum(axis=1)).sum())
    scattered = 1 - (zeros / rest) ** (size - 1)
    return 1 - whole / zeros <= min(1 - _WHOLE, _SCATTERED * scattered)


def packed(nonzero: Bools, dead: Bools, *, tail: bool, size: int = BLOCK) -> Packing:
    """The best order of what stays: every dead unit leaves where the blocks can stay whole.

    Args:
        nonzero: (units, anything), whether each element that reads a unit is not zero.
        dead: (units,), what may leave.
        tail: whether the last block may be shorter.
        size: of a block.
    """
    everything = np.arange(dead.size, dtype=np.int64)
    if not dead.any():
        return Packing(everything, everything[:0])
    if not tail and dead.size % size:
        return Packing(everything, everything[dead])
    alive = nonzero & ~dead[:, None]
    before = nonempty_blocks(alive, size)
    whole, open_bins, last = _bins(dead, tail, size)
    if not open_bins:
        return _packing([*whole, *last], dead, size)
    split = _packing([*whole, *sorted(open_bins, key=len, reverse=True), *last], dead, size)
    fits = tail or split.order.size % size == 0
    if fits and nonempty_blocks(alive[split.order], size) <= before:
        return split
    filled = _filled(whole, open_bins, last, dead, size)
    nobody = np.zeros(0 if filled is None else filled.order.size, bool)
    if filled is not None and has_pattern(alive[filled.order], nobody, size):
        return filled
    return whole_blocks(dead, size)


def _by_block(rows: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.bool_]:
    padded = np.zeros((-(-rows.shape[0] // size) * size, rows.shape[1]), bool)
    padded[: rows.shape[0]] = rows
    return padded.reshape(-1, size, rows.shape[1])


Bins = tuple[list[list[int]], list[list[int]], list[list[int]]]
"""Full bins, bins that lack something, and the one that may be short (at most one)."""


def _bins(dead: Bools, tail: bool, size: int) -> Bins:
    """What is left of each block, put together without cutting any."""
    return _bins_of_four(dead, tail) if size == BLOCK else _first_fit(dead, tail, size)


def _first_fit(dead: Bools, tail: bool, size: int) -> Bins:
    """The largest remains first, each into the fullest bin that has room (best fit decreasing;
    Johnson et al., 1974)."""
    starts = range(0, dead.size, size)
    remains = [[row for row in range(s, min(s + size, dead.size)) if not dead[row]] for s in starts]
    bins: list[list[int]] = []
    for rows in sorted(filter(None, remains), key=len, reverse=True):
        room = [each for each in bins if len(each) + len(rows) <= size]
        if room:
            max(room, key=len).extend(rows)
        else:
            bins.append(list(rows))
    full = [each for each in bins if len(each) == size]
    rest = sorted((each for each in bins if len(each) < size), key=len)
    last = [rest.pop(0)] if tail and rest else []
    return full, rest, last


def _bins_of_four(dead: Bools, tail: bool) -> Bins:
    """The fewest bins of four."""
    left: dict[int, list[list[int]]] = {size: [] for size in range(BLOCK + 1)}
    for start in range(0, dead.size, BLOCK):
        rows = [row for row in range(start, min(start + BLOCK, dead.size)) if not dead[row]]
        left[len(rows)].append(rows)
    full, threes, twos, ones = left[4], left[3], left[2], left[1]
    full += [threes.pop(0) + ones.pop(0) for _ in range(min(len(threes), len(ones)))]
    full += [twos.pop(0) + twos.pop(0) for _ in range(len(twos) // 2)]
    if twos and len(ones) > 1:
        full.append(twos.pop() + ones.pop(0) + ones.pop(0))
    full += [ones.pop(0) + ones.pop(0) + ones.pop(0) + ones.pop(0) for _ in range(len(ones) // 4)]
    rest = [*threes, *twos]
    if ones:
        # With ones left there are no threes, and at most one two.
        loose = [row for one in [*twos, *ones] for row in one]
        rest = [loose]
    rest.sort(key=len)
    last = [rest.pop(0)] if tail and rest else []
    return full, rest, last


def _filled(
    full: Sequence[list[int]],
    rest: Sequence[list[int]],
    last: Sequence[list[int]],
    dead: Bools,
    size: int,
) -> Packing | None:
    """Bins made full with dead units, their own neighbours first; ``None`` where those run out."""
    spare = [int(unit) for unit in np.flatnonzero(dead)]
    bins = list(full)
    for rows in rest:
        own = {row // size for row in rows}
        spare.sort(key=lambda unit: (unit // size not in own, unit))
        lack = size - len(rows)
        if lack > len(spare):
            return None
        bins.append(sorted(rows + spare[:lack]))
        del spare[:lack]
    return _packing([*bins, *last], dead, size)


def whole_blocks(dead: Bools, size: int = BLOCK) -> Packing:
    """Only blocks that are dead from end to end leave."""
    units = np.arange(dead.size)
    alive = np.zeros(-(-dead.size // size), bool)
    np.logical_or.at(alive, units // size, ~dead)
    order = units[alive[units // size]].astype(np.int64)
    return Packing(order, order[dead[order]])


def _packing(bins: Sequence[list[int]], dead: Bools, size: int) -> Packing:
    # Full bins keep the order of their first unit, so what need not move does not.
    full = sorted(rows for rows in bins if len(rows) == size)
    rest = [rows for rows in bins if len(rows) != size]
    order = np.array([row for rows in [*full, *rest] for row in rows], np.int64)
    return Packing(order, order[dead[order]])
