"""What a layer rule is, and what several of them share.

A rule says of one layer family: where its input's channels come out again and which weights sit on
them (:meth:`Rule.send`), what it makes of channels that are constant (:meth:`Rule.constant`),
whether it can take a constant into its bias (:meth:`Rule.folds`), and how its config or its call
changes when channels leave (:meth:`Rule.resized`, :meth:`Rule.instead`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    INSIDE,
    After,
    Array,
    Book,
    Demand,
    Flow,
    Ids,
    Part,
    Sent,
    Values,
    lane_of,
    laned,
    unknown,
)

Weights = Mapping[str, Array]
"""A layer's weights by their names inside the layer; vectors in float64."""


class Rule:
    """The rule of a layer of one input whose channels come out where they went in; families
    override."""

    many = False
    """Whether it takes several inputs or makes several outputs."""
    alone = False
    """Whether it takes tensors of one number an example."""

    def refusal(self, call: Call) -> str | None:
        """Why this call cannot be followed; ``None`` where it can."""
        if not self.many and (len(call.inputs) != 1 or len(call.outputs) != 1):
            return "it has several inputs or outputs"
        settings = {key for key, value in call.settings.items() if key != "training" or value}
        if settings - self.takes():
            return f"it is called with {', '.join(sorted(settings))}"
        return None if self.alone or all(call.in_shapes) else "its input has no axis"

    def takes(self) -> frozenset[str]:
        """Keyword arguments of a call that the rule knows."""
        return frozenset()

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        """Send channel numbers through the layer.

        Raises:
            Wall: this call cannot be followed; what touches it keeps its size.
        """
        return Sent((inputs[0],))

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> Values | tuple[Values, ...]:
        """The constants of the output, or of each of several: unknown, unless a rule knows."""
        return tuple(unknown(len(shape)) for shape in call.out_shapes)

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        """The constants that ``part`` reads, one for each position of its axis."""
        if part.source == INSIDE:
            return np.full(part.ids.size, np.nan)
        place, axis = part.source
        return lane_of(values[place], axis, part.ids.size)

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        """The constants at each source of ``demand``, one for each position of its lane."""
        return [lane_of(values[place], axis, demand.ids.size) for place, axis in demand.sources]

    def folds(self, call: Call, part: Part) -> str | None:
        """``None`` where a constant input of ``part`` can move into the bias exactly; else why
        not."""
        return "it has no bias to take a constant"

    def bias(self, call: Call, part: Part) -> str:
        """The bias that takes a constant which ``part`` reads, by its name inside the layer."""
        return "bias"

    def shifted(self, call: Call, part: Part, bias: Array | None, delta: Array) -> Array:
        """That bias with ``delta`` (an axis for each on which the weight makes) in it; ``bias`` is
        ``None`` where the layer has none."""
        return delta if bias is None else np.asarray(bias, np.float64) + delta

    def passes(self, call: Call, values: Sequence[Values]) -> int | None:
        """The input that comes out unchanged because all others hold only what changes nothing;
        ``None`` where there is none."""
        return None

    def rescaled(self, call: Call, after: After) -> Mapping[str, float]:
        """By name inside the layer, what multiplies a weight that is left, so that the outputs
        stay when a length that the layer divides by has changed."""
        return {}

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        """The config of the layer for the shapes that are left."""
        return config

    def spells(self, call: Call) -> bool:
        """Whether the layer's config spells out lengths or channels that none of its weights has:
        then what goes in has the same ones in each of its calls."""
        return type(self).resized is not Rule.resized and not call.layer.weights

    def instead(self, call: Call, after: After) -> Any:
        """What is called in place of an operation whose arguments hold lengths or positions;
        ``None`` where the operation itself still fits."""
        return None


def only_one(call: Call, values: Sequence[Values], first: int | None = None) -> int | None:
    """For a sum: the one input that is not zero, where it has the output's shape; where ``first``
    is given (a difference) it has to be that one."""
    places = [place for place, value in enumerate(values) if not (value == 0).all()] or [0]
    (output,) = call.outputs
    whole = all(
        call.inputs[place].shape == output.shape and call.inputs[place].dtype == output.dtype
        for place in places
    )
    masked = any(getattr(one, "_keras_mask", None) is not None for one in (*call.inputs, output))
    if len(places) > 1 or not whole or masked or first not in (None, places[0]):
        return None
    return places[0]


def weighed(weight: str, axis: int, lanes: Sequence[Ids], role: Any, **places: Any) -> list[Part]:
    """A part for each lane."""
    return [Part(weight, axis, ids, role, **places) for ids in lanes]


def made_on_last(made: Ids, before: Sequence[tuple[Ids, ...]]) -> Flow:
    """New channels on the last axis; the axes before it carry what they carried."""
    return (*before, *laned(1, 0, made))


def multiplied(
    kernel: Values, value: Values, reads: int, makes: int, bias: Values | None
) -> Values:
    """Constants that a kernel makes of constants, one per output channel, NaN where unknown.

    A zero weight reads nothing, whatever comes in.
    """
    others = tuple(axis for axis in range(kernel.ndim) if axis not in (reads, makes))
    touched = np.asarray((kernel != 0).any(axis=others))
    touched = touched if reads < makes else touched.T
    made = np.zeros(kernel.shape[makes]) if bias is None else np.array(bias, np.float64)
    rows = np.flatnonzero(np.nan_to_num(value))
    if rows.size:
        taken = np.take(kernel, rows, axis=reads).astype(np.float64).sum(axis=others)
        made += value[rows] @ (taken if reads < makes else taken.T)
    made[touched[np.isnan(value)].any(axis=0)] = np.nan
    return made
