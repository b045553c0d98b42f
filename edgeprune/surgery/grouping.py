"""From followed calls to groups, with what one channel of each costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.costs import Weight, Work
from edgeprune.graphs import Group, Member
from edgeprune.models.names import named_weights
from edgeprune.surgery.booking import Origin, origins_in
from edgeprune.surgery.flows import Part

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step


def groups_of(
    steps: Sequence[Step],
    origins: Sequence[Origin],
    weights: Mapping[str, Weight],
    works: Sequence[Work] = (),
    *,
    inexact: bool = False,
) -> tuple[Group, ...]:
    """The groups that some weight sits on; where ``inexact``, those are free too whose channels
    are mixed without weights."""
    members: list[dict[tuple[str, int, bytes], Member]] = [{} for _ in origins]
    for step in steps:
        for part in step.parts:
            weight = step.weights[part.weight]
            if weight not in weights:
                continue  # a state between calls: no plan names it, strip slices it
            for place in origins_in(origins, part.ids).tolist():
                member = _member(weight, part, origins[place])
                key = (weight, part.axis, member.channel.tobytes())
                members[place].setdefault(key, member)
    touched: dict[str, dict[int, Work]] = {}
    for place, work in enumerate(works):
        for one in {work.weight, *(name for axis in work.axes for name, _ in axis.lanes)}:
            touched.setdefault(one or "", {})[place] = work
    return tuple(
        _group(origin, tuple(own.values()), weights, _all_of(touched, origin.name, own), inexact)
        for origin, own in zip(origins, members, strict=True)
        if own
    )


def weights_of(model: Any, steps: Sequence[Step]) -> dict[str, Weight]:
    """Every weight by name; a shared one belongs to the layer that is called first."""
    layers: dict[str, str] = {}
    runs: dict[str, int] = {}
    for step in steps:
        runs |= step.runs
        for name in step.weights.values():
            layers.setdefault(name, step.name)
    return {
        name: Weight(
            tuple(value.shape), layers.get(name, name.rpartition("/")[0]), runs.get(name, 1)
        )
        for name, value in named_weights(model).items()
    }


def _group(
    origin: Origin,
    members: tuple[Member, ...],
    weights: Mapping[str, Weight],
    works: Sequence[Work],
    inexact: bool,
) -> Group:
    """A group with the cost of one channel: what the model loses without it, all else kept."""
    shares: dict[tuple[str, int], float] = {}
    for member in members:
        place = (member.weight, member.axis)
        runs = len(member.channel) if member.channel.ndim > 1 else 1
        share = float((member.channel >= 0).sum()) / origin.size / runs
        shares[place] = shares.get(place, 0.0) + share

    def elements(name: str) -> tuple[int, float]:
        shape = weights[name].shape
        left = [length - shares.get((name, axis), 0.0) for axis, length in enumerate(shape)]
        return math.prod(shape), math.prod(left)

    names = dict.fromkeys(member.weight for member in members)
    parameters = sum(now - left for now, left in map(elements, names))
    macs = 0.0
    for work in works:
        now, left = (1, 1.0) if work.weight is None else elements(work.weight)
        for axis in work.axes:
            lanes = [channel for name, channel in axis.lanes if name == origin.name]
            now *= axis.size
            left *= axis.size - sum(int((lane >= 0).sum()) for lane in lanes) / origin.size
        macs += (now - left) * work.times
    return Group(
        origin.name,
        origin.size,
        members,
        origin.fixed if inexact else origin.stays,
        round(macs),
        round(parameters),
        origin.mixed if inexact and origin.fixed is None else None,
    )


def _all_of(
    touched: Mapping[str, Mapping[int, Work]],
    name: str,
    members: Mapping[tuple[str, int, bytes], Member],
) -> list[Work]:
    """The works that a group changes."""
    found: dict[int, Work] = {}
    for key in (name, *(member.weight for member in members.values())):
        found.update(touched.get(key, {}))
    return list(found.values())


def _member(weight: str, part: Part, origin: Origin) -> Member:
    inside = (part.ids >= origin.start) & (part.ids < origin.start + origin.size)
    channel = np.where(inside, part.ids - origin.start, -1).astype(np.int32)
    if part.runs > 1:
        channel = channel.reshape(part.runs, -1)
    return Member(weight, part.axis, channel, part.role)
