"""Which channels go, and which weights that silences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group
from edgeprune.planning.masking import lowest
from edgeprune.scores import Scores

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]


def channel_scores(scores: Scores, group: Group) -> Floats:
    """One score per channel: ``scores.channels`` where it is there, else the sum over the weights
    that make or read the channel.

    Raises:
        PlanError: no scored weight touches the group, or the numbers do not fit it.
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
        others = tuple(axis for axis in range(weight.ndim) if axis != member.axis)
        along = weight.sum(axis=others, dtype=np.float64)
        if along.shape != member.channel.shape:
            raise PlanError(f"scores of {member.weight!r} do not fit this graph; score again")
        total += np.bincount(  # the last bin takes the positions that hold no channel (-1)
            np.where(member.channel < 0, group.size, member.channel), along, group.size + 1
        )
    if not touched:
        raise PlanError(f"no scored weight makes or reads group {group.name!r}; exclude it")
    return total[:-1]


def choose_channels(
    scores: Scores,
    graph: Graph,
    share: float,
    *,
    together: bool,
    excluded: frozenset[str],
    before: Mapping[str, Ints],
) -> dict[str, Ints]:
    """By group, the channels that go (those of ``before`` among them); the lowest scores go.

    ``together`` ranks the channels of all free groups at once, otherwise each group loses
    ``round(share · size)``. One channel of each group stays.

    Raises:
        PlanError: no free group is left to cut.
    """
    free = [group for group in graph.free if not _kept(group, excluded)]
    if not free:
        raise PlanError(
            "channels: no group of this model is free to lose channels (fixed or excluded); "
            "see 'edgeprune inspect --groups' for the reasons"
        )
    rated = {group.name: channel_scores(scores, group) for group in free}
    room = {name: _room(rated[name], before.get(name)) for name in rated}
    gone: dict[str, npt.NDArray[np.bool_]] = {}
    if together:
        total = sum(group.size for group in free)
        count = round(share * total) - sum(before[name].size for name in rated if name in before)
        flat = lowest(np.concatenate([*rated.values()]), np.concatenate([*room.values()]), count)
        places = np.cumsum([group.size for group in free])[:-1]
        gone = dict(zip(rated, np.split(flat, places), strict=True))
    else:
        for group in free:
            name = group.name
            had = before[name].size if name in before else 0
            gone[name] = lowest(rated[name], room[name], round(share * group.size) - had)
    cuts = {name: drop.astype(np.int32) for name, drop in before.items()}
    for name, lost in gone.items():
        drop = np.union1d(np.flatnonzero(lost), cuts.get(name, np.zeros(0, np.int32)))
        if drop.size:
            cuts[name] = drop.astype(np.int32)
    return cuts


def _kept(group: Group, excluded: frozenset[str]) -> bool:
    """A group is excluded by its own name or by a weight that makes it; a layer that only reads it
    loses inputs, not units."""
    makers = {member.weight for member in group.members if member.role == "makes"}
    return group.name in excluded or bool(makers & excluded)


def _room(rated: Floats, before: Ints | None) -> npt.NDArray[np.int64]:
    """1 for the channels that may go: neither gone already nor the best one left."""
    there = np.ones(rated.size, bool)
    if before is not None:
        there[before] = False
    room = there.astype(np.int64)
    if there.any():
        room[int(np.argmax(np.where(there, rated, -np.inf)))] = 0
    return room
