"""A model's calls with nested models opened, each tensor under a number of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from edgeprune.models.calls import Call, calls, function_of


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer.

    Attributes:
        call: the call.
        inputs: numbers of the tensors that go in; none for an input of the model.
        outputs: numbers of the tensors that come out.
    """

    call: Call
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Walk:
    """Every call in order, each after what it needs.

    Attributes:
        nodes: the calls.
        outputs: numbers of the model's outputs.
        entries: by ``id`` of the input tensor of a nested model, the number of what goes in there.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    entries: Mapping[int, int]


def walked(function: Any) -> Walk:
    """Walk through a Functional graph; a nested model's calls stand where it is called, so a model
    that is called twice is walked through twice."""
    walker = _Walker()
    places: dict[int, int] = {}
    walker.walk(function, places)
    outputs = tuple(places[id(tensor)] for tensor in function.outputs)
    return Walk(tuple(walker.nodes), outputs, walker.entries)


class _Walker:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.entries: dict[int, int] = {}
        self._numbers = count()

    def walk(self, function: Any, places: dict[int, int]) -> None:
        """Number the tensors of a graph; ``places`` has those that go in, by ``id``."""
        for call in calls(function):
            if not call.inputs and id(call.outputs[0]) in places:
                continue  # the input of a nested model: what it is called with
            inputs = tuple(places[id(tensor)] for tensor in call.inputs)
            inner = opened(call)
            if inner is not None:
                within = _places(inner.inputs, inputs)
                self.entries.update(within)
                self.walk(inner, within)
                outputs = tuple(within[id(tensor)] for tensor in inner.outputs)
            else:
                outputs = tuple(next(self._numbers) for _ in call.outputs)
                self.nodes.append(Node(call, inputs, outputs))
            places.update(_places(call.outputs, outputs))


def opened(call: Call) -> Any:
    """The graph of a nested model that is walked through; ``None`` for a layer, or where it is
    called in a way that its own graph does not show."""
    function = function_of(call.layer)
    if function is None or len(function.inputs) != len(call.inputs):
        return None
    plain = not {key for key, value in call.settings.items() if key != "training" or value}
    return function if plain and len(function.outputs) == len(call.outputs) else None


def _places(tensors: Sequence[Any], numbers: Sequence[int]) -> dict[int, int]:
    return {id(tensor): number for tensor, number in zip(tensors, numbers, strict=True)}
