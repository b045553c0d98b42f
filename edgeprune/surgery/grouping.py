"""From followed calls to groups, with what one channel of each costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeprune.graphs import Group, Member
from edgeprune.models.costs import kernel_uses
from edgeprune.models.names import kernels, named_weights
from edgeprune.surgery.booking import Origin, origins_in
from edgeprune.surgery.flows import Part

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step


def groups_of(model: Any, steps: Sequence[Step], origins: Sequence[Origin]) -> tuple[Group, ...]:
    """The groups that some weight sits on."""
    members: list[dict[tuple[str, int, bytes], Member]] = [{} for _ in origins]
    shapes = {name: tuple(value.shape) for name, value in named_weights(model).items()}
    for step in steps:
        for part in step.parts:
            weight = step.weights[part.weight]
            if weight not in shapes:
                continue  # a state between calls: no plan names it, strip slices it
            for place in origins_in(origins, part.ids).tolist():
                member = _member(weight, part, origins[place])
                key = (weight, part.axis, member.channel.tobytes())
                members[place].setdefault(key, member)
    uses = weight_uses(model, steps)
    return tuple(
        _group(origin, tuple(own.values()), shapes, uses)
        for origin, own in zip(origins, members, strict=True)
        if own
    )


def weight_uses(model: Any, steps: Sequence[Step]) -> dict[str, int]:
    """How often each element of each kernel is multiplied for one example, over all calls."""
    found = dict.fromkeys(kernels(model), 0)
    for step in steps:
        if not step.node.inputs or not step.weights:
            continue
        for inner, times in kernel_uses(step.node.call).items():
            name = step.weights.get(inner)
            if name in found:
                found[name] += times * step.node.times
    return found


def _group(
    origin: Origin,
    members: tuple[Member, ...],
    shapes: Mapping[str, tuple[int, ...]],
    uses: Mapping[str, int],
) -> Group:
    """A group with the cost of one channel: what the model loses without it, all else kept."""
    leaving: dict[str, dict[int, float]] = {}
    for member in members:
        axes = leaving.setdefault(member.weight, {})
        share = float((member.channel >= 0).sum()) / origin.size
        axes[member.axis] = axes.get(member.axis, 0.0) + share
    macs = parameters = 0.0
    for weight, axes in leaving.items():
        shape = shapes[weight]
        left = math.prod(length - axes.get(axis, 0.0) for axis, length in enumerate(shape))
        lost = math.prod(shape) - left
        parameters += lost
        macs += lost * uses.get(weight, 0)
    return Group(origin.name, origin.size, members, origin.fixed, round(macs), round(parameters))


def _member(weight: str, part: Part, origin: Origin) -> Member:
    inside = (part.ids >= origin.start) & (part.ids < origin.start + origin.size)
    channel = np.where(inside, part.ids - origin.start, -1).astype(np.int32)
    return Member(weight, part.axis, channel, part.role)
