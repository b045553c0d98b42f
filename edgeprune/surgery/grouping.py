"""From followed calls to groups, with what one channel of each costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.graphs import Group, Member, Weight
from edgeprune.models.costs import kernel_uses
from edgeprune.models.names import kernels, named_weights
from edgeprune.surgery.booking import Origin, origins_in
from edgeprune.surgery.flows import Part

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step


def groups_of(
    steps: Sequence[Step],
    origins: Sequence[Origin],
    weights: Mapping[str, Weight],
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
    return tuple(
        _group(origin, tuple(own.values()), weights, inexact)
        for origin, own in zip(origins, members, strict=True)
        if own
    )


def weights_of(model: Any, steps: Sequence[Step]) -> dict[str, Weight]:
    """Every weight by name, with its uses over all calls."""
    uses = dict.fromkeys(kernels(model), 0)
    for step in steps:
        if not step.node.inputs or not step.weights:
            continue
        for inner, times in kernel_uses(step.node.call).items():
            name = step.weights.get(inner)
            if name in uses:
                uses[name] += times * step.node.times
    return {
        name: Weight(tuple(value.shape), uses.get(name, 0))
        for name, value in named_weights(model).items()
    }


def _group(
    origin: Origin,
    members: tuple[Member, ...],
    weights: Mapping[str, Weight],
    inexact: bool,
) -> Group:
    """A group with the cost of one channel: what the model loses without it, all else kept."""
    leaving: dict[str, dict[int, float]] = {}
    for member in members:
        axes = leaving.setdefault(member.weight, {})
        runs = len(member.channel) if member.channel.ndim > 1 else 1
        share = float((member.channel >= 0).sum()) / origin.size / runs
        axes[member.axis] = axes.get(member.axis, 0.0) + share
    macs = parameters = 0.0
    for weight, axes in leaving.items():
        shape = weights[weight].shape
        left = math.prod(length - axes.get(axis, 0.0) for axis, length in enumerate(shape))
        lost = math.prod(shape) - left
        parameters += lost
        macs += lost * weights[weight].uses
    return Group(
        origin.name,
        origin.size,
        members,
        origin.fixed if inexact else origin.stays,
        round(macs),
        round(parameters),
        origin.mixed if inexact and origin.fixed is None else None,
    )


def _member(weight: str, part: Part, origin: Origin) -> Member:
    inside = (part.ids >= origin.start) & (part.ids < origin.start + origin.size)
    channel = np.where(inside, part.ids - origin.start, -1).astype(np.int32)
    if part.runs > 1:
        channel = channel.reshape(part.runs, -1)
    return Member(weight, part.axis, channel, part.role)
