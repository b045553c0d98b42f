"""A model's calls with nested models and TimeDistributed layers opened; tensors have numbers.

A Functional or Sequential model that code of the user's calls (held by a subclassed model or a
layer) is walked by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, starmap
from typing import Any

import keras

from edgeprune.models.calls import Call, calls, function_of


class TimeIn:
    """Stands where a tensor goes into a TimeDistributed layer: its time axis joins the batch."""


class TimeOut:
    """Stands where a tensor comes out of a TimeDistributed layer: the time axis is there again."""


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer.

    Attributes:
        call: the call.
        inputs: numbers of the tensors that go in; none for an input of the model.
        outputs: numbers of the tensors that come out.
        around: numbers of the tensors that went into the TimeDistributed layers around it: it
            runs once for each position of their first axes.
        root: ``id`` of the graph that is walked by itself and has it; 0 for the model's own.
    """

    call: Call
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    around: tuple[int, ...] = ()
    root: int = 0


@dataclass(frozen=True, eq=False)
class Walk:
    """Every call in order, each after what it needs.

    Attributes:
        nodes: the calls.
        outputs: numbers of the outputs of the model, and of each that is walked by itself.
        entries: by ``id`` of the input tensor of a nested model, the number of what goes in there.
        again: what goes in there in another call: both numbers, and the name of the model.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    entries: Mapping[int, int]
    again: tuple[tuple[int, int, str], ...] = ()


def walked(layers: Iterable[Any]) -> Walk:
    """Walk through the Functional graphs among ``layers``, containers before what they hold. A
    nested model's calls stand where it is called, so a model that is called twice is walked
    through twice; what some call does not open is walked by itself."""
    walker = _Walker()
    outputs: list[int] = []
    for layer in layers:
        function = function_of(layer)
        if function is None or id(function) in walker.opened - walker.closed:
            continue
        places: dict[int, int] = {}
        walker.root = id(function) if walker.nodes else 0
        walker.walk(function, places)
        walker.enter({id(tensor): places[id(tensor)] for tensor in function.inputs}, layer.name)
        outputs += [places[id(tensor)] for tensor in function.outputs]
    return Walk(tuple(walker.nodes), tuple(outputs), walker.entries, tuple(walker.again))


class _Walker:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.entries: dict[int, int] = {}
        self.again: list[tuple[int, int, str]] = []
        self.opened: set[int] = set()
        self.closed: set[int] = set()
        self.root = 0
        self._numbers = count()

    def walk(self, function: Any, places: dict[int, int], around: tuple[int, ...] = ()) -> None:
        """Number the tensors of a graph; ``places`` has those that go in, by ``id``."""
        self.opened.add(id(function))
        for call in calls(function):
            if not call.inputs and id(call.outputs[0]) in places:
                continue  # the input of a nested model: what it is called with
            inputs = tuple(places[id(tensor)] for tensor in call.inputs)
            places.update(_places(call.outputs, self._walked(call, inputs, around)))

    def enter(self, within: Mapping[int, int], name: str) -> None:
        """What goes into a nested model, by ``id`` of its input tensors."""
        for place, number in within.items():
            first = self.entries.setdefault(place, number)
            if first != number:
                self.again.append((first, number, name))

    def _walked(
        self, call: Call, inputs: tuple[int, ...], around: tuple[int, ...]
    ) -> tuple[int, ...]:
        """The numbers of what comes out of a call."""
        inner = opened(call)
        if inner is not None:
            numbers = _places(call.inputs, inputs)
            within = {id(own): numbers[id(one)] for own, one in _entries(inner, call)}
            self.enter(within, call.layer.name)
            self.walk(inner, within, around)
            return tuple(within[id(tensor)] for tensor in inner.outputs)
        if distributes(call):
            return self._distributed(call, inputs, around)
        self.closed |= {id(function_of(layer)) for layer in (call.layer, _held(call.layer))}
        outputs = tuple(next(self._numbers) for _ in call.outputs)
        self.nodes.append(Node(call, inputs, outputs, around, self.root))
        return outputs

    def _distributed(
        self, call: Call, inputs: tuple[int, ...], around: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Through a TimeDistributed layer: what it holds is called without the time axis."""
        first, last = (
            keras.KerasTensor((tensor.shape[0], *tensor.shape[2:]), tensor.dtype)
            for tensor in (call.inputs[0], call.outputs[0])
        )
        enter = Node(Call(TimeIn(), call.inputs, (first,)), inputs, (next(self._numbers),))
        self.nodes.append(enter)
        inner = Call(call.layer.layer, (first,), (last,))
        inside = self._walked(inner, enter.outputs, (*around, inputs[0]))
        leave = Call(TimeOut(), (last, call.inputs[0]), call.outputs)
        number = next(self._numbers)
        self.nodes.append(Node(leave, (*inside, inputs[0]), (number,)))
        return (number,)


def distributes(call: Call) -> bool:
    """Whether a TimeDistributed layer is walked into: not where the mask of its input would go
    into what it holds."""
    layer = call.layer
    if type(layer) is not keras.layers.TimeDistributed:
        return False
    masked = len(call.inputs) > 1 and layer.layer._call_has_mask_arg
    return not masked and not call.settings.get("training")


def _held(layer: Any) -> Any:
    return layer.layer if type(layer) is keras.layers.TimeDistributed else None


def opened(call: Call) -> Any:
    """The graph of a nested model that is walked through; ``None`` for a layer, or where it is
    called in a way that its own graph does not show."""
    function = function_of(call.layer)
    if function is None or len(function.inputs) != len(call.inputs):
        return None
    plain = not {key for key, value in call.settings.items() if key != "training" or value}
    plain = plain and all(starmap(_as_it_is, _entries(function, call)))
    return function if plain and len(function.outputs) == len(call.outputs) else None


def _entries(function: Any, call: Call) -> Iterator[tuple[Any, Any]]:
    """Each input tensor of a nested model and what goes in there: by name where a model whose
    inputs are a list is called with a dict."""
    given = call.args[0] if call.args else None
    if isinstance(given, dict) and not isinstance(function._inputs_struct, dict):
        return ((own, given[own.name]) for own in function.inputs)
    return zip(function.inputs, call.inputs, strict=True)


def _as_it_is(own: Any, given: Any) -> bool:
    """Whether Keras neither rounds what goes in to whole numbers nor adds or drops an axis."""
    whole = own.dtype != given.dtype and "float" not in own.dtype
    return not whole and len(own.shape) == len(given.shape)


def _places(tensors: Sequence[Any], numbers: Sequence[int]) -> dict[int, int]:
    return {id(tensor): number for tensor, number in zip(tensors, numbers, strict=True)}
