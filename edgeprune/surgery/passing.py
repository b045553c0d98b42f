"""Sums of which all but one input is zero by its weights: what computes the zeros leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras

from edgeprune.surgery.constants import Constants

if TYPE_CHECKING:
    from edgeprune.surgery.tracing import Step, Trace


def passes(trace: Trace, values: Constants) -> dict[int, int]:
    """By ``id`` of the tensor that comes out, which input of its call stands for it.

    Such a call adds nothing but zeros to that input, so the input takes its place, and what only
    the zeros were computed by is reached no more. Nothing may go with it that acts by itself: an
    input of the model, a layer with a state or a loss, one that makes a mask, a class that is not
    of Keras.
    """
    found: dict[int, int] = {}
    places = _candidates(trace, values)
    for key, place in places.items():
        gone = _unreached(trace, {**found, key: place})
        if not any(_acts(step) for step in gone):
            found[key] = place
    return found


def _candidates(trace: Trace, values: Constants) -> dict[int, int]:
    """A model that is called twice is walked through twice: both walks have to agree. What comes
    out of the model keeps its layer, whose name losses and signatures know."""
    found: dict[int, int | None] = {}
    for step in trace.steps:
        call = step.node.call
        named = bool(set(step.node.outputs) & set(trace.outputs))
        if step.rule is None or len(call.inputs) < 2 or named:
            continue
        key = id(call.outputs[0])
        place = step.rule.passes(call, [values[number] for number in step.node.inputs])
        found[key] = place if found.get(key, place) == place else None
    return {key: place for key, place in found.items() if place is not None}


def _unreached(trace: Trace, passed: Mapping[int, int]) -> list[Step]:
    """The steps that no output needs once these calls are passed over."""
    needed = set(trace.outputs)
    gone = []
    for step in reversed(trace.steps):
        if not needed.intersection(step.node.outputs):
            gone.append(step)
            continue
        place = passed.get(id(step.node.call.outputs[0]))
        needed.update(step.node.inputs if place is None else (step.node.inputs[place],))
    return gone


def _acts(step: Step) -> bool:
    layer: Any = step.node.call.layer
    if not step.node.inputs:
        return True
    if not isinstance(layer, keras.Layer):
        return False
    return (
        not type(layer).__module__.startswith("keras.")
        or bool(getattr(layer, "stateful", False))
        or getattr(layer, "activity_regularizer", None) is not None
        or isinstance(layer, keras.layers.ActivityRegularization | keras.layers.Masking)
        or bool(getattr(layer, "mask_zero", False))
    )
