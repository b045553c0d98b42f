"""Rules from outside this package: what they give is checked, and what fails in them is named."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import keras

from edgeprune.errors import EdgepruneError, ModelError
from edgeprune.models.calls import Call
from edgeprune.models.names import named_states, named_weights
from edgeprune.models.references import one_line
from edgeprune.surgery.flows import INSIDE, Flow, Part, Sent, Wall, misfit
from edgeprune.surgery.rules.base import Rule

_ROLES = ("makes", "reads", "follows")


def guarded(rule: Rule) -> Rule:
    """A user's rule; what goes wrong in it is a :class:`ModelError` that names layer and rule."""
    return cast(Rule, _Guarded(rule))


class _Guarded:
    def __init__(self, rule: Rule) -> None:
        self._rule = rule

    def send(self, call: Call, inputs: Sequence[Flow], book: Any) -> Sent:
        sent = self._named("send", self._rule.send)(call, inputs, book)
        fault = _fault(call, sent)
        if fault is not None:
            raise ModelError(f"{self._where(call, 'send')} {fault}")
        return replace(sent, parts=tuple(_placed(part, inputs) for part in sent.parts))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._rule, name)
        return self._named(name, found) if callable(found) else found

    def _named(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def called(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            except (Wall, EdgepruneError):
                raise
            except Exception as error:
                raise ModelError(
                    f"{self._where(args[0] if args else None, name)} fails "
                    f"({type(error).__name__}: {one_line(error)})"
                ) from error

        return called

    def _where(self, call: Any, name: str) -> str:
        layer = f"layer {call.layer.name!r}: " if isinstance(call, Call) else ""
        return f"{layer}its rule {type(self._rule).__name__}.{name}"


def _fault(call: Call, sent: Any) -> str | None:
    """What is wrong with what ``send`` gave."""
    if not isinstance(sent, Sent):
        return f"gives {type(sent).__name__}, not a Sent"
    if len(sent.outputs) != len(call.outputs):
        return f"gives lanes for {len(sent.outputs)} outputs; the layer has {len(call.outputs)}"
    for place, (flow, shape) in enumerate(zip(sent.outputs, call.out_shapes, strict=True)):
        if len(flow) != len(shape):
            return f"gives output {place} {len(flow)} axes; without the batch it has {len(shape)}"
        wrong = misfit(flow, shape)
        if wrong is not None:
            axis, count, length = wrong
            return f"has {count} channels on axis {axis} of output {place}, which is {length} long"
    weights = {**named_weights(call.layer), **named_states(call.layer)}
    faults = (_wrong(part, weights) for part in sent.parts if isinstance(call.layer, keras.Layer))
    return next((fault for fault in faults if fault), None)


def _wrong(part: Part, weights: dict[str, Any]) -> str | None:
    if part.role not in _ROLES:
        return f"gives weight {part.weight!r} the role {part.role!r}; roles are {', '.join(_ROLES)}"
    if part.weight not in weights:
        return None  # said where every rule's weights are looked up
    shape = tuple(weights[part.weight].shape)
    if not 0 <= part.axis < len(shape):
        return f"names axis {part.axis} of weight {part.weight!r}, whose shape is {shape}"
    if part.ids.size != shape[part.axis] * part.runs:
        return (
            f"has {part.ids.size} channels on axis {part.axis} of weight {part.weight!r}, whose "
            f"shape is {shape}"
        )
    return None


def _placed(part: Part, inputs: Sequence[Flow]) -> Part:
    """Channels that come with no input are made inside the layer: what they hold is not known."""
    place, axis = part.source
    if part.role != "reads" or not 0 <= place < len(inputs):
        return part
    lanes = inputs[place][axis] if -len(inputs[place]) <= axis < len(inputs[place]) else ()
    return part if any(ids is part.ids for ids in lanes) else replace(part, source=INSIDE)
