"""Strip that keeps a pattern: units leave so that 1x4 blocks along a Dense input stay whole.

A runtime's sparse kernel stores a Dense kernel in aligned blocks of four along the input axis. Take
one unit out, and every block behind it is cut in two: the file grows. So what is left of each old
block has to stay together in one new block; then the number of non-empty blocks cannot grow, since
a union has at most as many columns as its parts together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 4
"""Neighbours along axis 0 of a Dense kernel."""
_ZEROS = 0.5
_WHOLE = 0.99

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


def nonempty_blocks(nonzero: Bools) -> int:
    """Blocks of 1x4 along axis 0 with at least one non-zero; a shorter last one counts.

    Args:
        nonzero: (inputs, units), whether each element is not zero.
    """
    return int(_by_block(nonzero).any(axis=1).sum())


def has_pattern(nonzero: Bools, dead: Bools) -> bool:
    """Whether a Dense kernel's zeros stand in blocks of 1x4 along axis 0.

    Its dead rows (named, or all zero) and dead columns left out, at least half of the rest is zero
    and at least 99 % of those zeros fill whole blocks.

    Args:
        nonzero: (inputs, units), whether each element is not zero.
        dead: (inputs,), rows that are about to leave.
    """
    rows = ~dead & nonzero.any(axis=1)
    inside = nonzero & rows[:, None]
    columns = inside.any(axis=0)
    inside = inside[:, columns]
    rest = int(rows.sum()) * int(columns.sum())
    zeros = rest - int(inside.sum())
    if not rest or zeros < _ZEROS * rest:
        return False
    empty = ~_by_block(inside).any(axis=1)
    whole = int((empty * _by_block(rows[:, None]).sum(axis=1)).sum())
    return whole >= _WHOLE * zeros


def packed(nonzero: Bools, dead: Bools, *, tail: bool) -> Packing:
    """The best order of what stays: every dead unit leaves where the blocks can stay whole.

    Args:
        nonzero: (units, anything), whether each element that reads a unit is not zero.
        dead: (units,), what may leave.
        tail: whether the last block may be shorter than four.
    """
    everything = np.arange(dead.size, dtype=np.int64)
    if not dead.any():
        return Packing(everything, everything[:0])
    if not tail and dead.size % BLOCK:
        return Packing(everything, everything[dead])
    alive = nonzero & ~dead[:, None]
    before = nonempty_blocks(alive)
    whole, open_bins, last = _bins(dead, tail)
    if not open_bins:
        return _packing([*whole, *last], dead)
    split = _packing([*whole, *sorted(open_bins, key=len, reverse=True), *last], dead)
    fits = tail or split.order.size % BLOCK == 0
    if fits and nonempty_blocks(alive[split.order]) <= before:
        return split
    filled = _filled(whole, open_bins, last, dead)
    if filled is not None and has_pattern(alive[filled.order], np.zeros(filled.order.size, bool)):
        return filled
    return _whole_blocks(dead)


def _by_block(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    padded = np.zeros((-(-rows.shape[0] // BLOCK) * BLOCK, rows.shape[1]), bool)
    padded[: rows.shape[0]] = rows
    return padded.reshape(-1, BLOCK, rows.shape[1])


def _bins(dead: Bools, tail: bool) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """What is left of each block, put together without cutting any.

    Returns full bins, bins that lack something, and the one that may be short (at most one).
    """
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
    full: Sequence[list[int]], rest: Sequence[list[int]], last: Sequence[list[int]], dead: Bools
) -> Packing | None:
    """Bins made full with dead units, their own neighbours first; ``None`` where those run out."""
    spare = [int(unit) for unit in np.flatnonzero(dead)]
    bins = list(full)
    for rows in rest:
        own = {row // BLOCK for row in rows}
        spare.sort(key=lambda unit: (unit // BLOCK not in own, unit))
        lack = BLOCK - len(rows)
        if lack > len(spare):
            return None
        bins.append(sorted(rows + spare[:lack]))
        del spare[:lack]
    return _packing([*bins, *last], dead)


def _whole_blocks(dead: Bools) -> Packing:
    """Only blocks that are dead from end to end leave."""
    units = np.arange(dead.size)
    alive = np.zeros(-(-dead.size // BLOCK), bool)
    np.logical_or.at(alive, units // BLOCK, ~dead)
    order = units[alive[units // BLOCK]].astype(np.int64)
    return Packing(order, order[dead[order]])


def _packing(bins: Sequence[list[int]], dead: Bools) -> Packing:
    # Full bins keep the order of their first unit, so what need not move does not.
    full = sorted(rows for rows in bins if len(rows) == BLOCK)
    rest = [rows for rows in bins if len(rows) != BLOCK]
    order = np.array([row for rows in [*full, *rest] for row in rows], np.int64)
    return Packing(order, order[dead[order]])
