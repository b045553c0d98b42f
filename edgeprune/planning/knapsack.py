"""The multiple-choice knapsack: of each group one width, so that costs fit and least is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
STATES = 5_000
"""Partial choices that are held at once."""
ROUNDING = 1e-12
"""Of the largest sum."""


@dataclass(frozen=True, eq=False)
class Options:
    """The widths that one group may take, the widest first.

    Attributes:
        saved: what each saves against the first; never falls.
        lost: the score that each loses against the first; never falls.
    """

    saved: Floats
    lost: Floats


def least_lost(options: Sequence[Options], needed: float) -> list[int]:
    """Of each group the option, so that at least ``needed`` is saved and the least lost.

    Costs have to add up. The optimum: the greedy choice by score per saving bounds what can be
    lost, Lagrange's multiplier of the relaxed problem bounds what must be, and between the two few
    options stand (Dyer, Kayal and Walker, "A branch and bound algorithm for solving the
    multiple-choice knapsack problem", 1984); of these every choice is made group after group, and
    what is dominated is left out. Should more than :data:`STATES` partial choices stand, those
    with the lowest bounds go on, and the result is the best of these.

    Raises:
        ValueError: all together save less than ``needed``.
    """
    total = sum(float(each.saved[-1]) for each in options)
    slack = ROUNDING * max(total, abs(needed))
    if total < needed - slack:
        raise ValueError("the options save less than is needed")
    needed -= slack
    greedy, ratio = _greedy(options, needed)
    most = sum(float(each.lost[n]) for each, n in zip(options, greedy, strict=True))
    reduced = [each.lost - ratio * each.saved for each in options]
    least = ratio * needed + sum(float(each.min()) for each in reduced)
    room = max(most - least, 0.0) + ROUNDING * max(abs(most), 1e-300)
    stand = [np.flatnonzero(each - each.min() <= room) for each in reduced]
    found = _best(options, stand, needed, most, ratio)
    return greedy if found is None else found


def _greedy(options: Sequence[Options], needed: float) -> tuple[list[int], float]:
    """Step after step the least lost per saving, then steps taken back as far as they are not
    needed; and the ratio of the last step taken."""
    owner, ratio, saved = [], [], []
    for place, each in enumerate(options):
        hull = _hull(each)
        gain, loss = np.diff(each.saved[hull]), np.diff(each.lost[hull])
        owner += [(place, int(end)) for end in hull[1:]]
        ratio.append(loss / gain)
        saved.append(gain)
    ratios, gains = np.concatenate([*ratio, []]), np.concatenate([*saved, []])
    order = np.argsort(ratios, kind="stable")
    count = int(np.searchsorted(np.cumsum(gains[order]), needed)) + 1 if needed > 0 else 0
    chosen = [0] * len(options)
    for step in order[:count].tolist():
        place, end = owner[step]
        chosen[place] = max(chosen[place], end)
    spare = sum(float(e.saved[n]) for e, n in zip(options, chosen, strict=True)) - needed
    for step in order[:count][::-1].tolist():
        place = owner[step][0]
        saved_at = options[place].saved
        back = int(np.searchsorted(saved_at, saved_at[chosen[place]] - spare))
        if back < chosen[place]:
            spare -= float(saved_at[chosen[place]] - saved_at[back])
            chosen[place] = back
    last = order[min(count, order.size) - 1] if count and order.size else None
    return chosen, 0.0 if last is None else float(ratios[last])


def _hull(each: Options) -> Ints:
    """The options at which the relaxed problem may stand: the lower convex hull."""
    hull = [0]
    for place in range(1, each.saved.size):
        if each.saved[place] <= each.saved[hull[-1]]:
            continue  # loses no less, and saves no more
        while len(hull) > 1:
            one, two = hull[-2], hull[-1]
            before = (each.lost[two] - each.lost[one]) * (each.saved[place] - each.saved[one])
            straight = (each.lost[place] - each.lost[one]) * (each.saved[two] - each.saved[one])
            if before < straight:
                break
            hull.pop()
        hull.append(place)
    return np.array(hull, np.int64)


def _best(
    options: Sequence[Options], stand: Sequence[Ints], needed: float, most: float, ratio: float
) -> list[int] | None:
    """Every choice of what stands, the dominated ones left out; ``None`` where none loses less
    than ``most``."""
    rest = np.cumsum([float(o.saved[s[-1]]) for o, s in zip(options, stand, strict=True)][::-1])
    rest = np.append(rest[::-1][1:], 0.0)
    least = np.cumsum([float(o.lost[s[0]]) for o, s in zip(options, stand, strict=True)][::-1])
    least = np.append(least[::-1][1:], 0.0)
    saved, lost = np.zeros(1), np.zeros(1)
    ways: list[tuple[Ints, Ints]] = []
    for place, (each, kept) in enumerate(zip(options, stand, strict=True)):
        sums = (saved[:, None] + each.saved[kept]).ravel()
        losses = (lost[:, None] + each.lost[kept]).ravel()
        fits = (sums + rest[place] >= needed) & (losses + least[place] < most)
        states = np.flatnonzero(fits)
        if not states.size:
            return None
        # The most saved first; a later one has to lose less than all before it.
        order = states[np.lexsort((losses[states], -sums[states]))]
        before = np.minimum.accumulate(np.append(np.inf, losses[order][:-1]))
        order = order[losses[order] < before]
        if order.size > STATES:
            bounds = losses[order] - ratio * sums[order]
            order = np.sort(order[np.argsort(bounds, kind="stable")[:STATES]])
        saved, lost = sums[order], losses[order]
        ways.append((order // kept.size, kept[order % kept.size]))
    state = int(np.argmin(lost))
    found = []
    for parent, option in reversed(ways):
        found.append(int(option[state]))
        state = int(parent[state])
    return found[::-1]
