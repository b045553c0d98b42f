"""Which channels go, and which weights that silences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.descending import Ladder, descend, ladder
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
    """

    cuts: Mapping[str, Ints]
    groups: tuple[Group, ...]
    unscored: tuple[str, ...]


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
    allow, counting what went ``before``.

    ``together`` takes the share of the channels of all free groups at once, otherwise each group
    loses it.

    Raises:
        PlanError: no free group is left to cut, or ``together`` what ``constraints`` leave free
            holds too few channels. The rounding to a multiple is no such reason.
    """
    rated, unscored = _rated(scores, graph, excluded)
    ladders = [
        ladder(scored, constraints, before=before.get(group.name)) for group, scored in rated
    ]
    if together:
        _check_room(rated, ladders, share, constraints, before)
        steps = descend(ladders, share)
    else:
        steps = [descend([each], share)[0] for each in ladders]
    cuts = {name: drop.astype(np.int32) for name, drop in before.items()}
    for (group, _), each, count in zip(rated, ladders, steps, strict=True):
        drop = each.gone(count)
        if drop.size:
            cuts[group.name] = drop
    return Cuts(cuts, tuple(group for group, _ in rated), unscored)


def _rated(
    scores: Scores, graph: Graph, excluded: frozenset[str]
) -> tuple[list[tuple[Group, Floats]], tuple[str, ...]]:
    """The groups that may be cut, each with its scores, and the names of the unscored."""
    found = [
        (group, channel_scores(scores, group)) for group in graph.free if not _kept(group, excluded)
    ]
    rated = [(group, scored) for group, scored in found if scored is not None]
    unscored = tuple(group.name for group, scored in found if scored is None)
    if not rated:
        why = "fixed, excluded, or without a scored weight" if unscored else "fixed or excluded"
        raise PlanError(
            f"channels: no group of this model is free to lose channels ({why}); "
            "see 'edgeprune inspect --groups' for the reasons"
        )
    return rated, unscored


def _check_room(
    rated: Sequence[tuple[Group, Floats]],
    ladders: Sequence[Ladder],
    share: float,
    constraints: Constraints,
    before: Mapping[str, Ints],
) -> None:
    """A share that a minimum or most puts out of reach, by more than widths are rounded."""
    loose = Constraints(constraints.multiple)
    if constraints == loose:
        return
    free = [ladder(scored, loose, before=before.get(group.name)) for group, scored in rated]
    room = sum(int(each.stops[-1]) for each in ladders)
    total = sum(each.size for each in ladders)
    asked = min(share * total, sum(int(each.stops[-1]) for each in free))
    if room + constraints.multiple / 2 < asked:
        raise PlanError(
            f"channels = {share}: with {constraints}, {room} of {total} channels can leave, so at "
            f"most {room / total:.4f} can be reached; ask for less, or allow more"
        )


def _kept(group: Group, excluded: frozenset[str]) -> bool:
    """A group is excluded by its own name or by a weight that makes it; a layer that only reads it
    loses inputs, not units."""
    makers = {member.weight for member in group.members if member.role == "makes"}
    return group.name in excluded or bool(makers & excluded)
