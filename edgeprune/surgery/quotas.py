"""Strip that keeps N:M: units leave so that of every M neighbours at most N are not zero.

Take one input out, and every group of M behind it is made of other neighbours. So units leave only
where what is left still keeps to the pattern: all that are dead where it does, else whole groups
of M that are dead from end to end, else none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.patterns import Pattern
from edgeprune.plans import Plan
from edgeprune.surgery.booking import Origin
from edgeprune.surgery.flows import Ids
from edgeprune.surgery.slicing import Orders, sliced_by_all

LARGEST = 16
"""M of a pattern that is looked for in zeros alone; where a plan is given, it says the pattern."""
SURE = 10.0
"""Groups that would have more than N if the zeros lay anywhere: e⁻¹⁰ that none of them has."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Quota:
    """A kernel that keeps N of every M along one axis.

    Attributes:
        name: of the pattern, ``"2:4"``.
        keep: N.
        size: M.
        nonzero: (positions of the axis, anything), whether each element is not zero.
        lanes: the channels at the positions of the axis.
    """

    name: str
    keep: int
    size: int
    nonzero: Bools
    lanes: tuple[Ids, ...]

    def stands(self, origins: Sequence[Origin], orders: Orders) -> bool:
        """Whether the kernel keeps to it when so much of each origin is left."""
        left = sliced_by_all(self.lanes, origins, orders)
        return keeps(self.nonzero if left is None else self.nonzero[left], self.keep, self.size)


def patterns_of(plan: Plan | None) -> dict[str, Pattern]:
    """By weight, the N:M that a plan's masks keep to."""
    found = {mask.weight: Pattern.parse(mask.pattern) for mask in (plan.masks if plan else ())}
    return {name: pattern for name, pattern in found.items() if pattern.quota is not None}


def keeps(nonzero: Bools, keep: int, size: int) -> bool:
    """Whether of every ``size`` along axis 0, a shorter last group too, at most ``keep`` are not
    zero."""
    return bool((_counts(nonzero, size) <= keep).all())


def quota_in(nonzero: Bools, dead: Bools) -> tuple[int, int] | None:
    """The N:M in which a kernel's zeros stand along axis 0; ``None`` without one.

    Its dead rows (named, or all zero) and dead columns left out, some groups of M would have more
    than N if as many zeros lay anywhere, and none has. Of several such patterns (what keeps 2:4
    keeps 4:8 too) it is the one that this is least likely of.

    Args:
        nonzero: (units, anything), whether each element is not zero.
        dead: (units,), rows that are about to leave.
    """
    rows = ~dead & nonzero.any(axis=1)
    inside = (nonzero & rows[:, None])[:, nonzero[rows].any(axis=0)]
    if not inside.size or inside[rows].all():
        return None
    share = float(inside[rows].mean())
    best: tuple[float, tuple[int, int]] | None = None
    for size in range(2, min(LARGEST, rows.size // 2) + 1):
        keep = int(_counts(inside, size).max())
        if keep >= size:
            continue
        alive, times = np.unique(_counts(rows[:, None], size), return_counts=True)
        broken = inside.shape[1] * sum(
            int(often) * _above(keep, int(count), share)
            for count, often in zip(alive, times, strict=True)
        )
        if broken >= SURE and (best is None or broken > best[0]):
            best = broken, (keep, size)
    return None if best is None else best[1]


def named(quotas: Iterable[Quota]) -> str:
    """The patterns, for people."""
    return " and ".join(sorted({quota.name for quota in quotas}))


def pattern_on(
    patterns: Mapping[str, Pattern], weight: str, role: str, nonzero: Bools, dead: Bools
) -> tuple[int, int] | None:
    """The N:M of a kernel along an axis: as it is named for it, or as its zeros show."""
    pattern = patterns.get(weight)
    if pattern is not None and pattern.quota is not None:
        fits = (pattern.axis == "input") == (role == "reads")
        return (pattern.quota, pattern.size) if fits else None
    return quota_in(nonzero, dead)


def _counts(nonzero: Bools, size: int) -> npt.NDArray[np.int64]:
    """(groups, columns): how many of each group are not zero."""
    padded = np.zeros((-(-nonzero.shape[0] // size) * size, nonzero.shape[1]), bool)
    padded[: nonzero.shape[0]] = nonzero
    return padded.reshape(-1, size, nonzero.shape[1]).sum(axis=1)


def _above(keep: int, count: int, share: float) -> float:
    """The chance that more than ``keep`` of ``count`` are there, each with the chance ``share``."""
    return sum(
        math.comb(count, some) * share**some * (1 - share) ** (count - some)
        for some in range(keep + 1, count + 1)
    )
