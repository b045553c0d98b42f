"""From a model to its channel groups: numbers are sent through every call, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from edgeprune.errors import ModelError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.models.calls import Call, calls, function_of
from edgeprune.models.costs import kernel_uses
from edgeprune.models.digests import architecture_digest
from edgeprune.models.names import kernels, named_layers, named_weights
from edgeprune.surgery.rules import RULES, Rule
from edgeprune.surgery.rules.base import Ids, Part, Sent, Wall


@dataclass
class Origin:
    """Channels that one layer makes: numbers ``start`` to ``start + size - 1``."""

    name: str
    start: int
    size: int
    fixed: str | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One call, followed.

    Attributes:
        call: the call.
        name: the layer's name.
        rule: what it follows; ``None`` at inputs and walls.
        ids: channels of each output, by ``id`` of the tensor in :attr:`Trace.ids`.
        sent: what the rule found; ``None`` at inputs and walls.
        weights: name of each of the layer's own weights, by the variable's name.
    """

    call: Call
    name: str
    rule: Rule | None
    sent: Sent | None
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trace:
    """A model's calls with channel numbers on every tensor.

    Attributes:
        steps: in the order of execution.
        origins: in the order of their numbers.
        ids: by ``id`` of the symbolic tensor.
    """

    steps: tuple[Step, ...]
    origins: tuple[Origin, ...]
    ids: Mapping[int, Ids]


def trace(model: Any) -> Graph:
    """Every channel group of ``model``.

    What no rule follows (a class that is not known, a shared layer, a nested model, a branch that
    joins again) is a wall: the groups that touch it are fixed, with the reason. A model without a
    Functional graph has no groups.

    Raises:
        ModelError: a Sequential that was never built.
    """
    found = traced(model)
    return Graph(architecture_digest(model), _groups(model, found))


def traced(model: Any) -> Trace:
    """The calls of ``model``, each with its channel numbers; see :func:`trace`."""
    function = function_of(model)
    if function is None:
        if isinstance(model, keras.Sequential) and not model.built:
            raise ModelError(
                f"model {model.name!r} has no shapes yet; start it with keras.Input or build it"
            )
        return Trace((), (), {})
    book = _Book()
    layers = {id(layer): name for name, layer in named_layers(model).items()}
    weights = {id(weight): name for name, weight in named_weights(model).items()}
    order = calls(function)
    shared = _shared(order)
    steps = [_step(call, book, layers, weights, shared) for call in order]
    for tensor in function.outputs:
        book.fix(book.ids[id(tensor)], "model output", last=True)
    return Trace(tuple(steps), tuple(book.origins), book.ids)


class _Book:
    """Hands out channel numbers and remembers what is fixed."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []
        self.ids: dict[int, Ids] = {}
        self.layer = ""
        self._taken: Counter[str] = Counter()
        self._next = 0

    def fresh(self, size: int) -> Ids:
        name = self.layer
        self._taken[name] += 1
        if self._taken[name] > 1:
            name = f"{name}:{self._taken[name] - 1}"
        start, self._next = self._next, self._next + size
        self.origins.append(Origin(name, start, size))
        return np.arange(start, self._next, dtype=np.int64)

    def fix(self, ids: Ids, reason: str, *, last: bool = False) -> None:
        for place in np.unique(origin_of(self.origins, ids)):
            if place >= 0 and (last or self.origins[place].fixed is None):
                self.origins[place].fixed = reason


def origin_of(origins: Sequence[Origin], ids: Ids) -> Ids:
    """Which origin each channel belongs to (its place in ``origins``), -1 for none."""
    starts = np.array([origin.start for origin in origins], np.int64)
    found = np.searchsorted(starts, ids, side="right") - 1
    return np.where(ids < 0, -1, found)


def _shared(order: Sequence[Call]) -> set[int]:
    """Layers called twice, or with a weight that another call uses too."""
    by_layer = Counter(id(call.layer) for call in order if call.inputs)
    users: dict[int, set[int]] = {}
    for call in order:
        for weight in getattr(call.layer, "weights", ()):
            users.setdefault(id(weight), set()).add(id(call.layer))
    shared = {layer for layer, count in by_layer.items() if count > 1}
    return shared.union(*(found for found in users.values() if len(found) > 1))


def _step(
    call: Call,
    book: _Book,
    layers: Mapping[int, str],
    weights: Mapping[int, str],
    shared: set[int],
) -> Step:
    name = layers.get(id(call.layer), getattr(call.layer, "name", ""))
    book.layer = name
    inputs = [book.ids[id(tensor)] for tensor in call.inputs]
    rule = RULES.get(type(call.layer))
    try:
        if not call.inputs:
            raise Wall("model input")
        reason = _refusal(call, rule, shared)
        if reason or rule is None:
            raise Wall(reason or "")
        sent = rule.send(call, inputs, book)
    except Wall as wall:
        _stop(call, inputs, book, name, str(wall))
        return Step(call, name, None, None)
    book.ids[id(call.outputs[0])] = sent.ids
    own = {weight.name: weights[id(weight)] for weight in call.layer.weights}
    return Step(call, name, rule, sent, own)


def _refusal(call: Call, rule: Rule | None, shared: set[int]) -> str | None:
    layer = call.layer
    if function_of(layer) is not None:
        return "nested models are not followed yet"
    if rule is None:
        return "no rule for this class"
    if id(layer) in shared:
        return "shared layers are not followed yet"
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        return "it has several inputs or outputs"
    if call.settings.keys() - {"training"} or call.settings.get("training"):
        return f"it is called with {', '.join(sorted(call.settings))}"
    if getattr(layer, "data_format", "channels_last") == "channels_first":
        return "channels_first is not followed yet"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return "it is quantised or has LoRA enabled"
    return None if call.in_shapes[0] else "its input has no axis"


def _stop(call: Call, inputs: Sequence[Ids], book: _Book, name: str, reason: str) -> None:
    """Fix what goes into a wall and what comes out."""
    if call.inputs:
        reason = f"{name} ({type(call.layer).__name__}): {reason}"
    for ids in inputs:
        book.fix(ids, reason)
    for tensor, shape in zip(call.outputs, call.out_shapes, strict=True):
        if shape and shape[-1] is not None:
            made = book.fresh(shape[-1])
            book.fix(made, reason)
            ids = made.reshape((1,) * (len(shape) - 1) + (-1,))
        else:
            ids = np.full((1,) * len(shape), -1, np.int64)
        book.ids[id(tensor)] = ids


def _groups(model: Any, found: Trace) -> tuple[Group, ...]:
    values = named_weights(model)
    kernel_names = set(kernels(model))
    members: list[list[Member]] = [[] for _ in found.origins]
    macs = [0] * len(found.origins)
    parameters = [0] * len(found.origins)
    for step in found.steps:
        if step.sent is None:
            continue
        uses = kernel_uses(step.call)
        for part in step.sent.parts:
            weight = step.weights[part.weight]
            for place in _places(found, part):
                origin = found.origins[place]
                member = _member(weight, part, origin)
                members[place].append(member)
                shape = values[weight].shape
                row = int(np.prod(shape)) // shape[part.axis]
                held = row * int((member.channel >= 0).sum()) // origin.size
                parameters[place] += held
                if weight in kernel_names:
                    macs[place] += held * uses.get(part.weight, 0)
    return tuple(
        Group(origin.name, origin.size, tuple(own), origin.fixed, mac, count)
        for origin, own, mac, count in zip(found.origins, members, macs, parameters, strict=True)
        if own
    )


def _places(found: Trace, part: Part) -> list[int]:
    places = np.unique(origin_of(found.origins, part.ids))
    return [int(place) for place in places if place >= 0]


def _member(weight: str, part: Part, origin: Origin) -> Member:
    inside = (part.ids >= origin.start) & (part.ids < origin.start + origin.size)
    channel = np.where(inside, part.ids - origin.start, -1).astype(np.int32)
    return Member(weight, part.axis, channel, part.role)
