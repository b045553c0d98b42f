"""What a followed model multiplies, and what of it cannot leave, as data of its graph."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeprune.costs import Axis, Floor, Lane, Work
from edgeprune.models import works as counting
from edgeprune.models.calls import Call, Shape, function_of
from edgeprune.models.costs import call_macs
from edgeprune.models.names import kernels
from edgeprune.surgery.booking import Origin, origins_in
from edgeprune.surgery.flows import Flow, Ids

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step

MORE_STAY = "Keras would add the bias along another axis"
EMPTY = "a tensor that is read keeps at least one channel"


def works_of(
    model: Any,
    steps: Sequence[Step],
    origins: Sequence[Origin],
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[Work, ...]:
    """All that ``model`` multiplies for one example; the sum is :func:`edgeprune.models.macs`.

    Args:
        model: the model.
        steps: its calls.
        origins: its groups.
        shapes: of its weights, by name.
    """
    if function_of(model) is None:
        found = kernels(model)
        return tuple(
            Work(name.rpartition("/")[0], name, (), 1)
            for name, kernel in found.items()
            if kernel.kind != "embedding"
        )
    return tuple(_Works(origins, shapes).counted(steps))


class _Works:
    def __init__(self, origins: Sequence[Origin], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._origins = origins
        self._shapes = shapes
        self._flows: dict[int, Flow] = {}
        self._lengths: dict[int, Shape] = {}

    def counted(self, steps: Sequence[Step]) -> Iterator[Work]:
        plain: dict[tuple[str, str | None], int] = {}
        # How often the model calls a graph that is walked by itself.
        times = {0: 1}
        for step in steps:
            self._flows.update(zip(step.node.outputs, step.flows, strict=True))
            self._lengths.update(zip(step.node.outputs, step.node.call.out_shapes, strict=True))
            often = times.get(step.node.root, 0)
            if step.rule is None:
                root, count = _unopened(step.node.call)
                times[root] = times.get(root, 0) + often * count
            for work in self._of(step) if step.node.inputs and often else ():
                key = (work.layer, work.weight)
                if work.axes:
                    yield replace(work, times=often * work.times)
                elif work.times:
                    plain[key] = plain.get(key, 0) + often * work.times
        for (layer, weight), count in plain.items():
            yield Work(layer, weight, (), count)

    def _of(self, step: Step) -> Iterator[Work]:
        around = [(self._lengths[number][0], self._flows[number][0]) for number in step.node.around]
        call = step.node.call
        if _unopened(call)[1]:
            return  # its own calls are counted where they are walked
        if isinstance(call.layer, keras.layers.TimeDistributed):
            yield self._work(step, None, around, call_macs(call))
            return
        # A state between calls is no weight.
        inside = {
            inner: self._shapes[name]
            for inner, name in step.weights.items()
            if name in self._shapes
        }
        for work in counting.works(call):
            axes = [
                (counting.length_of(call, length, inside), self._lanes(step, length))
                for length in work.lengths
            ]
            weight = None if work.weight is None else step.weights[work.weight]
            yield self._work(step, weight, [*around, *axes], work.times)

    def _lanes(self, step: Step, length: counting.Length) -> tuple[Ids, ...]:
        if isinstance(length.place, str):
            parts = [part for part in step.parts if part.weight == length.place]
            return tuple(part.ids for part in parts if part.axis == length.axis)
        if length.of == "output":
            return step.flows[length.place][length.axis]
        return self._flows[step.node.inputs[length.place]][length.axis]

    def _work(
        self,
        step: Step,
        weight: str | None,
        axes: Sequence[tuple[int | None, tuple[Ids, ...]]],
        times: int,
    ) -> Work:
        moving = []
        for size, lanes in axes:
            if lanes and size is not None:
                moving.append(axis_of(size, lanes, self._origins))
            else:
                times *= size or 1
        return Work(step.name, weight, tuple(moving), times)


def _unopened(call: Call) -> tuple[int, int]:
    """The graph that a call has which the walk did not go into (its ``id``), and how often it runs;
    never for any other call."""
    layer, count = call.layer, 1
    if isinstance(layer, keras.layers.TimeDistributed):
        layer, count = layer.layer, call.in_shapes[0][0] or 1
    function = function_of(layer)
    return (-1, 0) if function is None else (id(function), count)


def axis_of(size: int, lanes: Sequence[Ids], origins: Sequence[Origin]) -> Axis:
    """An axis with its channels by group."""
    found: list[Lane] = []
    for ids in lanes:
        for place in origins_in(origins, ids).tolist():
            origin = origins[place]
            inside = (ids >= origin.start) & (ids < origin.start + origin.size)
            found.append((origin.name, np.where(inside, ids - origin.start, -1).astype(np.int32)))
    return Axis(size, tuple(found))


def floors_of(steps: Sequence[Step], origins: Sequence[Origin]) -> tuple[Floor, ...]:
    """What of a model cannot leave together: slices that would be empty, and the positions that a
    weight cannot do without; and what is picked by its number."""
    found: dict[tuple[Any, ...], Floor] = {}
    seen: set[tuple[int, ...]] = set()

    def hold(lanes: tuple[Ids, ...], least: int, reason: str) -> None:
        axis = axis_of(lanes[0].size, lanes, origins)
        key = (least, *((name, channel.tobytes()) for name, channel in axis.lanes))
        found.setdefault(key, Floor(axis, least, reason))

    for step in steps:
        for lanes in (lanes for flow in step.flows for lanes in flow if lanes):
            key = tuple(map(id, lanes))
            if key not in seen and not _covered(lanes, origins):
                hold(lanes, 1, EMPTY)
            seen.add(key)
    for demand in (demand for step in steps for demand in step.demands if demand.always):
        hold((demand.ids,), demand.ids.size, demand.reason)
    for part in (part for step in steps for part in step.parts if part.least > 1):
        hold((part.ids,), part.least, MORE_STAY)
    return tuple(found.values())


def _covered(lanes: Sequence[Ids], origins: Sequence[Origin]) -> bool:
    """Whether some position stays as long as each group keeps a channel."""
    if any((ids < 0).all() for ids in lanes):
        return True
    wanted = []
    for ids in lanes:
        places = origins_in(origins, ids).tolist()
        if len(places) != 1 or (ids < 0).any():
            return len(lanes) == 1 and bool(
                (ids < 0).any() or any(_all_of(ids, origins[place]) for place in places)
            )
        if not _all_of(ids, origins[places[0]]):
            return False
        wanted.append(origins[places[0]].size)
    # Heads and their width flattened: every pair of channels stands somewhere.
    return len(lanes) == 1 or lanes[0].size >= math.prod(wanted)


def _all_of(ids: Ids, origin: Origin) -> bool:
    if ids.size == origin.size and ids[0] == origin.start and ids[-1] == ids[0] + ids.size - 1:
        return True
    inside = ids[(ids >= origin.start) & (ids < origin.start + origin.size)]
    return bool(np.unique(inside).size == origin.size)
