"""Which channels go, and which weights that silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.descending import Ladder, descend, ladder
from edgeprune.planning.evening import bundled, in_runs
from edgeprune.scores import Scores

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


def channel_scores(scores: Scores, group: Group) -> Floats | None:
    """One score per channel: ``scores.channels`` where it is there, else the sum over the weights
    that make or read the channel; ``None`` where no scored weight does.

    Raises:
        PlanError: the numbers do not fit the group.
    """
    given = scores.channels.get(group.name)
    if given is not None:
        if given.shape != (group.size,):
            raise PlanError(f"scores of group {group.name!r} do not fit its {group.size} channels")
        return given.astype(np.float64)
    total = np.zeros(group.size + 1)
    touched = False
    for member in group.members:
        weight = scores.weights.get(member.weight)
        if weight is None or member.role == "follows":
            continue
        touched = True
        place = np.where(member.channel < 0, group.size, member.channel).ravel()
        # The last bin takes the positions that hold no channel (-1).
        total += np.bincount(place, _along(member, weight).ravel(), group.size + 1)
    return total[:-1] if touched else None


def _along(member: Member, weight: npt.NDArray[np.float32]) -> Floats:
    """A weight's scores summed for each position of ``member.channel``, in its shape."""
    try:
        led = member.lead(weight)
    except ValueError:  # an axis that is not there, runs that do not divide the filters
        led = weight[:0]
    depth = member.channel.ndim
    if led.shape[:depth] != member.channel.shape:
        raise PlanError(f"scores of {member.weight!r} do not fit this graph; score again")
    return np.asarray(led.sum(axis=tuple(range(depth, led.ndim)), dtype=np.float64))


@dataclass(frozen=True, eq=False)
class Cuts:
    """What goes, by group.

    Attributes:
        cuts: the channels, those that went before among them.
        groups: that could be cut, and whose channels the share was taken of.
        unscored: names of those that no scored weight makes or reads; they keep their size.
        uneven: names of those no part of which fills every run of a grouped convolution alike;
            they keep their size too.
        costs: where budgets were asked for, what they hold
            (:meth:`edgeprune.planning.budgets.Costing.facts`).
    """

    cuts: Mapping[str, Ints]
    groups: tuple[Group, ...]
    unscored: tuple[str, ...]
    uneven: tuple[str, ...] = ()
    costs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Rated:
    """A group that may be cut.

    Attributes:
        group: the group.
        scored: one score per channel.
        bundles: one number per channel; those of one number leave together.
        before: channels that have left.
    """

    group: Group
    scored: Floats
    bundles: npt.NDArray[np.integer]
    before: Ints | None

    def ladder(self, constraints: Constraints) -> Ladder:
        return ladder(self.scored, constraints, before=self.before, bundles=self.bundles)


def choose_channels(
    scores: Scores,
    graph: Graph,
    share: float,
    *,
    together: bool,
    excluded: frozenset[str],
    before: Mapping[str, Ints],
    constraints: Constraints,
) -> Cuts:
    """The lowest scores go, as many as come nearest to ``share`` at widths that ``constraints``
    allow, counting what went ``before``. Of a group that sits in the runs of a grouped convolution
    as many go in each run.

    ``together`` takes the share of the channels of all free groups at once, otherwise each group
    loses it.

    Raises:
        PlanError: no free group is left to cut, or ``together`` what ``constraints`` leave free
            holds too few channels. The rounding to a multiple is no such reason.
    """
    rated, unscored, uneven = rated_groups(scores, graph, excluded, before)
    ladders = [each.ladder(constraints) for each in rated]
    if together:
        _check_room(rated, ladders, share, constraints)
        steps = descend(ladders, share)
    else:
        steps = alike(ladders, share)
    cuts = cut_at(before, rated, ladders, steps)
    return Cuts(cuts, tuple(one.group for one in rated), unscored, uneven)


def cut_at(
    before: Mapping[str, Ints],
    rated: Sequence[Rated],
    ladders: Sequence[Ladder],
    steps: Sequence[int],
) -> dict[str, Ints]:
    """By group, the channels that are gone after so many steps."""
    cuts = {name: drop.astype(np.int32) for name, drop in before.items()}
    for one, each, count in zip(rated, ladders, steps, strict=True):
        drop = each.gone(count)
        if drop.size:
            cuts[one.group.name] = drop
    return cuts


def alike(ladders: Sequence[Ladder], share: float) -> list[int]:
    """The steps at which each group has lost ``share`` of its channels."""
    return [descend([each], share)[0] for each in ladders]


def rated_groups(
    scores: Scores, graph: Graph, excluded: frozenset[str], before: Mapping[str, Ints]
) -> tuple[list[Rated], tuple[str, ...], tuple[str, ...]]:
    """The groups that may be cut, the names of the unscored, and those of the uneven."""
    rated, unscored, uneven = [], [], []
    for group in graph.free:
        if is_excluded(group, excluded):
            continue
        scored = channel_scores(scores, group)
        if scored is None:
            unscored.append(group.name)
            continue
        there = np.ones(group.size, bool)
        there[before.get(group.name, [])] = False
        bundles = bundled(scored, in_runs(graph, group), there)
        if bundles is None:
            uneven.append(group.name)
        else:
            rated.append(Rated(group, scored, bundles, before.get(group.name)))
    if not rated:
        found = ["fixed or excluded"]
        found += ["without a scored weight"] if unscored else []
        found += ["uneven in a grouped convolution"] if uneven else []
        raise PlanError(
            f"channels: no group of this model is free to lose channels ({', '.join(found)}); "
            "'edgeprune inspect MODEL --groups' has the reasons; single weights can go by sparsity"
        )
    return rated, tuple(unscored), tuple(uneven)


def _check_room(
    rated: Sequence[Rated], ladders: Sequence[Ladder], share: float, constraints: Constraints
) -> None:
    """A share that a minimum or most puts out of reach, by more than widths are rounded."""
    loose = Constraints(constraints.multiple)
    if constraints == loose:
        return
    free = [each.ladder(loose) for each in rated]
    room = sum(int(each.stops[-1]) for each in ladders)
    total = sum(each.size for each in ladders)
    asked = min(share * total, sum(int(each.stops[-1]) for each in free))
    widest = max(int(np.diff(each.stops).max(initial=constraints.multiple)) for each in free)
    if room + widest / 2 < asked:
        raise PlanError(
            f"channels = {share}: with {constraints}, {room} of {total} channels can leave, so at "
            f"most {room / total:.4f} can be reached; ask for less, or allow more"
        )


def is_excluded(group: Group, excluded: frozenset[str]) -> bool:
    """Whether a group is excluded: by its own name or by a weight that makes it; a layer that only
    reads it loses inputs, not units."""
    makers = {member.weight for member in group.members if member.role == "makes"}
    return group.name in excluded or bool(makers & excluded)
