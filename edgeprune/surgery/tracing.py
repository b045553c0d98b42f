"""From a model to its channel groups: numbers are sent through every call, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from edgeprune.errors import ModelError
from edgeprune.graphs import Graph
from edgeprune.models.calls import function_of
from edgeprune.models.digests import architecture_digest
from edgeprune.models.names import named_layers, named_states, named_weights
from edgeprune.surgery.booking import Numbers, Origin
from edgeprune.surgery.costing import floors_of, works_of
from edgeprune.surgery.flows import Demand, Flow, Ids, Part, Sent, Wall, bare, laned, misfit
from edgeprune.surgery.grouped import spread_shape
from edgeprune.surgery.grouping import groups_of, weights_of
from edgeprune.surgery.rules import Rule, rule_of
from edgeprune.surgery.silence import unmet
from edgeprune.surgery.walking import Node, walked

_MASKED = tuple(
    getattr(keras.layers, name)
    for name in (
        "MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention", "Softmax",
    )
)  # fmt: skip
"""Layers that may take a mask of (query, key) positions."""


@dataclass(frozen=True, eq=False)
class Step:
    """One call, followed.

    Attributes:
        node: the call.
        name: the layer's name.
        rule: what it follows; ``None`` at inputs and walls.
        flows: lanes of each output.
        parts: weights that sit on channels.
        demands: channels read without weights.
        weights: full name of each of the layer's weights, by its name inside the layer.
    """

    node: Node
    name: str
    rule: Rule | None
    flows: tuple[Flow, ...]
    parts: tuple[Part, ...] = ()
    demands: tuple[Demand, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> dict[str, int]:
        """By full name, the runs of each kernel of a grouped convolution."""
        return {self.weights[part.weight]: part.runs for part in self.parts if part.runs > 1}


@dataclass(frozen=True, eq=False)
class Trace:
    """A model's calls with channel numbers on every tensor.

    Attributes:
        steps: in the order of execution.
        origins: in the order of their numbers; what is tied together is one.
        entries: by ``id`` of the input tensor of a nested model, the number of what goes in there.
        outputs: numbers of the tensors that come out of the model.
    """

    steps: tuple[Step, ...]
    origins: tuple[Origin, ...]
    entries: Mapping[int, int] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()


def trace(model: Any, *, inexact: bool = False) -> Graph:
    """Every channel group of ``model``.

    What no rule follows (a class that is not known) is a wall: the groups that touch it are fixed,
    with the reason. Of a subclassed model every Functional or Sequential model that it holds is
    traced, each with its inputs and outputs fixed.

    Args:
        model: a Keras 3 model.
        inexact: free the groups too whose channels are mixed without weights (layer norm, softmax,
            means over channels), and mark them: to cut them changes the outputs.

    Raises:
        ModelError: a Sequential that was never built, an input whose number of channels is open,
            a layer that is quantised or has LoRA enabled.
    """
    return graph_of(model, traced(model), inexact=inexact)


def graph_of(model: Any, found: Trace, *, inexact: bool = False) -> Graph:
    """The groups of a model that was traced; see :func:`trace`."""
    weights = weights_of(model, found.steps)
    shapes = {name: weight.shape for name, weight in weights.items()}
    works = works_of(model, found.steps, found.origins, shapes)
    groups = groups_of(found.steps, found.origins, weights, works, inexact=inexact)
    floors = floors_of(found.steps, found.origins)
    return Graph(architecture_digest(model), groups, weights, works, floors)


def traced(model: Any) -> Trace:
    """The calls of ``model``, each with its channel numbers; see :func:`trace`."""
    if isinstance(model, keras.Sequential) and not model.built:
        raise ModelError(
            f"model {model.name!r} has no shapes yet; start it with keras.Input or build it"
        )
    layers = named_layers(model)
    _check_layers(model, layers)
    if not model.built:
        _check_built(model, layers)
    tracer = _Tracer(model, layers)
    walk = walked(layers.values())
    _check_inputs(model, walk.nodes)
    for node in walk.nodes:
        tracer.follow(node)
    for one, other, name in walk.again:
        tracer.match(tracer.flows[one], tracer.flows[other], name)
    for number in walk.outputs:
        tracer.fix(tracer.flows[number], "model output", last=True)
    return replace(tracer.finished(), entries=walk.entries, outputs=walk.outputs)


def _check_layers(model: Any, layers: Mapping[str, Any]) -> None:
    """What a quantised layer or one with LoRA holds is no weight that could be sliced."""
    for name, layer in layers.items():
        quantized = getattr(layer, "quantization_mode", None)
        if quantized or getattr(layer, "lora_enabled", False):
            what = f"quantised ({quantized})" if quantized else "LoRA enabled"
            then = "quantise" if quantized else "enable LoRA on"
            raise ModelError(
                f"model {model.name!r}: layer {name!r} is {what}; cut the float model, and {then} "
                "what is left of it"
            )


def _check_built(model: Any, layers: Mapping[str, Any]) -> None:
    """A subclassed model makes its weights when it is first called."""
    for name, layer in layers.items():
        lazy = type(layer).build is not keras.Layer.build and function_of(layer) is None
        if lazy and layer is not model and not layer.built:
            raise ModelError(
                f"model {model.name!r}: layer {name!r} has no weights yet; call the model once, "
                "on a batch, before"
            )


def _check_inputs(model: Any, nodes: Sequence[Node]) -> None:
    """Channels of an input have a fixed number; the last axis of a mask for attention is none."""
    asking = {
        number for node in nodes if type(node.call.layer) not in _MASKED for number in node.inputs
    }
    for node in nodes:
        for number, tensor in zip(node.outputs, node.call.outputs, strict=True):
            shape = tensor.shape[1:]
            known = len(shape) < 2 or shape[-1] is not None or "float" not in str(tensor.dtype)
            if node.inputs or known or number not in asking:
                continue
            raise ModelError(
                f"model {model.name!r}: input {node.call.layer.name!r} has shape "
                f"{tuple(tensor.shape)}, so the number of its channels is open; give keras.Input a "
                "last axis of known length"
            )


def runs_of(steps: Sequence[Step]) -> dict[str, int]:
    """By name, the runs of each kernel of a grouped convolution."""
    return {name: count for step in steps for name, count in step.runs.items()}


def _check_shapes(node: Node, sent: Sent) -> None:
    """Keras says of some operations that they make other shapes than they do.

    Raises:
        Wall: what comes out is not as long as the channels on it are many.
    """
    for flow, shape in zip(sent.outputs, node.call.out_shapes, strict=True):
        if misfit(flow, shape) is not None:
            raise Wall("it does not make the shape that Keras says")


def _judged(layer: Any, node: Node, flows: Sequence[Flow]) -> list[Demand]:
    """What a layer's activity regulariser sees: only a zero may leave without a change of loss."""
    if getattr(layer, "activity_regularizer", None) is None:
        return []
    return [
        Demand(
            ids, ((len(node.inputs) + place, axis),), f"{layer.name} adds its output to the loss"
        )
        for place, flow in enumerate(flows)
        for axis, lanes in enumerate(flow)
        for ids in lanes
    ]


def _direct(layer: Any) -> list[str]:
    """The weights of a layer without those of models that it holds, which are walked apart."""
    if not isinstance(layer, keras.Layer):
        return []
    models = [inner for inner in named_layers(layer).values() if function_of(inner) is not None]
    apart = {id(weight) for model in models for weight in model.weights}
    return [name for name, weight in named_weights(layer).items() if id(weight) not in apart]


class _Tracer:
    """Sends the numbers; holds what lies on every tensor."""

    def __init__(self, model: Any, layers: Mapping[str, Any]) -> None:
        self.book = Numbers()
        self.flows: dict[int, Flow] = {}
        self.steps: list[Step] = []
        self._layers = {id(layer): name for name, layer in layers.items()}
        weights = named_weights(model)
        named = {**weights, **named_states(model)}
        self._weights = {id(weight): name for name, weight in named.items()}
        self._shapes = {name: tuple(value.shape) for name, value in weights.items()}
        self._lanes: dict[tuple[str, int], tuple[Ids, ...]] = {}
        self._called: set[str] = set()
        self._given: dict[int, list[Flow]] = {}

    def follow(self, node: Node) -> None:
        layer = node.call.layer
        name = self._layers.get(id(layer), getattr(layer, "name", ""))
        self.book.layer = name
        inputs = [self.flows[number] for number in node.inputs]
        rule = rule_of(layer)
        try:
            if not node.inputs:
                raise Wall("model input")
            if rule is None:
                raise Wall("no rule for this class")
            reason = rule.refusal(node.call)
            if reason:
                raise Wall(reason)
            sent = rule.send(node.call, inputs, self.book)
            _check_shapes(node, sent)
        except Wall as wall:
            self._stop(node, inputs, name, str(wall))
            return
        weights = self._own(layer)
        for part in sent.parts:
            if part.weight not in weights:
                raise ModelError(
                    f"layer {name!r} ({type(layer).__name__}): its rule names weight "
                    f"{part.weight!r}; the layer has {', '.join(sorted(weights)) or 'none'}"
                )
        self._share(sent.parts, weights)
        if isinstance(layer, keras.Layer) and rule.spells(node.call):
            for one, other in zip(self._given.setdefault(id(layer), inputs), inputs, strict=False):
                self.match(one, other, name)
        demands = (*sent.demands, *_judged(layer, node, sent.outputs))
        self._done(Step(node, name, rule, sent.outputs, sent.parts, demands, weights))

    def _done(self, step: Step) -> None:
        self.steps.append(step)
        self.flows.update(zip(step.node.outputs, step.flows, strict=True))

    def _own(self, layer: Any) -> dict[str, str]:
        if not isinstance(layer, keras.Layer):
            return {}
        inside = {**named_weights(layer), **named_states(layer)}
        return {inner: self._weights[id(weight)] for inner, weight in inside.items()}

    def _share(self, parts: Sequence[Part], weights: Mapping[str, str]) -> None:
        """A weight that several calls use has the same channels in each, on the same axes."""
        lanes: dict[tuple[str, int], list[Ids]] = {}
        for part in parts:
            lanes.setdefault((weights[part.weight], part.axis), []).append(part.ids)
        own = {*weights.values()}
        known = [place for place in self._lanes if place[0] in own]
        for place in {**dict.fromkeys(known), **lanes}:
            found = tuple(lanes.get(place, ()))
            before = () if place[0] in self._called else found
            self._match(self._lanes.setdefault(place, before), found, place[0])
        self._called |= own

    def match(self, one: Flow, other: Flow, shared: str) -> None:
        """What two calls of ``shared`` are given has the same channels."""
        for lanes, others in zip_longest(one, other, fillvalue=()):
            self._match(lanes, others, shared)

    def _match(self, lanes: tuple[Ids, ...], others: tuple[Ids, ...], shared: str) -> None:
        reason = f"{shared} is shared with a call whose channels cannot leave there"
        if [ids.size for ids in lanes] != [ids.size for ids in others]:
            for ids in (*lanes, *others):
                self.book.fix(ids, reason)
            return
        for ids, same in zip(lanes, others, strict=True):
            if ids is not same:
                self.book.tie(ids, same, reason)

    def _stop(self, node: Node, inputs: Sequence[Flow], name: str, reason: str) -> None:
        """Fix what goes into a wall and what comes out."""
        call = node.call
        weights = self._own(call.layer)
        if node.inputs:
            reason = f"{name} ({type(call.layer).__name__}): {reason}"
        for flow in inputs:
            self.fix(flow, reason)
        self._share((), {inner: weights[inner] for inner in _direct(call.layer)})
        flows = []
        for shape in call.out_shapes:
            if shape and shape[-1] is not None:
                made = self.book.fresh(shape[-1])
                self.book.fix(made, reason)
                flows.append(laned(len(shape), -1, made))
            else:
                flows.append(bare(len(shape)))
        self._done(Step(node, name, None, tuple(flows), weights=weights))

    def fix(self, flow: Flow, reason: str, *, last: bool = False) -> None:
        for lanes in flow:
            for ids in lanes:
                self.book.fix(ids, reason, last=last)

    def finished(self) -> Trace:
        """The trace, with one number for what is tied together."""
        origins, label = self.book.settled()
        steps = self._renamed(label)
        if any(step.demands for step in steps):
            shapes = dict(self._shapes)
            for name, count in runs_of(steps).items():
                shapes[name] = spread_shape(shapes[name], count)
            for place, number in unmet(steps, origins, shapes):
                demand = self.steps[place].demands[number]
                self.book.fix(demand.ids, demand.reason, inexact=True)
            origins, _ = self.book.settled()
        return Trace(steps, origins)

    def _renamed(self, label: Ids) -> tuple[Step, ...]:
        def renamed(ids: Ids) -> Ids:
            return np.where(ids < 0, ids, label[np.maximum(ids, 0)])

        return tuple(
            replace(
                step,
                flows=tuple(
                    tuple(tuple(renamed(ids) for ids in lanes) for lanes in flow)
                    for flow in step.flows
                ),
                parts=tuple(replace(part, ids=renamed(part.ids)) for part in step.parts),
                demands=tuple(replace(one, ids=renamed(one.ids)) for one in step.demands),
            )
            for step in self.steps
        )
