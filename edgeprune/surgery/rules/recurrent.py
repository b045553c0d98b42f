"""LSTM, GRU, SimpleRNN, and RNN over their cells, stacked ones too.

A unit has one column for each gate in the kernels and in the bias, gate after gate, and a row of
its own in the recurrent kernel. What a unit was a step ago is read by that row alone: the rest of
the recurrence goes from the unit to itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Array,
    Book,
    Flow,
    Ids,
    Part,
    Sent,
    Values,
    Wall,
    joined_axis,
    lane_of,
    laned,
    on_axis,
)
from edgeprune.surgery.rules.activations import hold_mixed
from edgeprune.surgery.rules.base import Rule, Weights, weighed
from edgeprune.surgery.rules.cells import Cell, Run, cells_of, run


class RecurrentRule(Rule):
    """Kernel (features, gates · units): axis 0 reads the input, axis 1 makes; recurrent kernel
    (units, gates · units): axis 0 reads the units themselves."""

    many = True

    def takes(self) -> frozenset[str]:
        return frozenset({"initial_state"})

    def refusal(self, call: Call) -> str | None:
        if len(call.in_shapes[0]) != 2:
            return "its first input is no sequence of vectors"
        return super().refusal(call)

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        starts, masks = starts_of(call, self.cells(call.layer))
        for ids in (*inputs[0][0], *(ids for mask in masks for ids in inputs[mask][-1])):
            book.fix(ids, f"{call.layer.name} runs over them")
        made: list[list[Ids]] = []
        parts: list[Part] = []
        for (prefix, layer), cells in zip(
            self.halves(call.layer), self.cells(call.layer), strict=True
        ):
            lanes, inside = [], inputs[0][-1]
            for cell in cells:
                lanes.append(_units(cell, inside, parts, book))
                inside = (lanes[-1],)
            made.append(lanes)
            states = [
                ids for cell, ids in zip(cells, lanes, strict=True) for _ in range(cell.states)
            ]
            if layer.stateful:
                parts += [
                    Part(f"{prefix}states/{place}", 1, ids, "follows")
                    for place, ids in enumerate(states)
                ]
            for start, ids in zip(starts[prefix], states, strict=False):
                joined_axis([(ids,), inputs[start][-1]], [ids.size, ids.size], book)
        return Sent(self.lanes(call, made, book), tuple(parts))

    @staticmethod
    def halves(layer: Any) -> tuple[tuple[str, Any], ...]:
        """The recurrent layers inside, with the prefix of their weights' names."""
        return (("", layer),)

    def cells(self, layer: Any) -> list[list[Cell]]:
        """The cells of each half."""
        return [cells_of(half, prefix) for prefix, half in self.halves(layer)]

    def lanes(self, call: Call, made: Sequence[Sequence[Ids]], book: Book) -> tuple[Flow, ...]:
        """Lanes of each output; ``made`` has the units of every cell of every half."""
        cells = self.cells(call.layer)[0]
        states = [ids for cell, ids in zip(cells, made[0], strict=True) for _ in range(cell.states)]
        return flows_of(call, [made[0][-1]], states)

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> tuple[Values, ...]:
        runs = self.runs(call, weights, values)
        _, masks = starts_of(call, self.cells(call.layer))
        states = [state for half in runs for one in half for state in one.states]
        made = [*self.merged(call.layer, [half[-1].output for half in runs]), *states]
        if masks:
            # A step that is masked gives what was there before: at first, zero.
            made = [np.where(value != 0, np.nan, value) for value in made]
        return tuple(
            on_axis(value, -1, len(shape))
            for value, shape in zip(made, call.out_shapes, strict=False)
        )

    @staticmethod
    def merged(layer: Any, outputs: Sequence[Values]) -> Sequence[Values]:
        """The constants that come out, from those of each half."""
        return outputs

    def runs(self, call: Call, weights: Weights, values: Sequence[Values]) -> list[list[Run]]:
        """What every cell of every half makes of constants."""
        halves = self.cells(call.layer)
        starts, _ = starts_of(call, halves)
        found = []
        for (prefix, _), cells in zip(self.halves(call.layer), halves, strict=True):
            inside = lane_of(values[0], -1, weights[f"{cells[0].prefix}kernel"].shape[0])
            place = 0
            runs = []
            for cell in cells:
                begin = []
                for number in range(place, place + cell.states):
                    kept = weights.get(f"{prefix}states/{number}")
                    if starts[prefix]:
                        begin.append(lane_of(values[starts[prefix][number]], -1, cell.units))
                    elif kept is not None:
                        begin.append(np.where((kept == 0).all(axis=0), 0.0, np.nan))
                    else:
                        begin.append(np.zeros(cell.units))
                place += cell.states
                runs.append(run(cell, weights, inside, begin))
                inside = runs[-1].output
            found.append(runs)
        return found

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        runs = self.runs(call, weights, values)
        for cells, half in zip(self.cells(call.layer), runs, strict=True):
            for place, cell in enumerate(cells):
                if part.weight == f"{cell.prefix}recurrent_kernel":
                    return half[place].before
                if part.weight == f"{cell.prefix}kernel" and place:
                    return half[place - 1].output
        return super().met(call, weights, values, part)

    def folds(self, call: Call, part: Part) -> str | None:
        return None

    def bias(self, call: Call, part: Part) -> str:
        return f"{part.weight.rpartition('/')[0]}/bias"

    def shifted(self, call: Call, part: Part, bias: Array | None, delta: Array) -> Array:
        cells = (cell for half in self.cells(call.layer) for cell in half)
        owner = next(cell for cell in cells if part.weight == f"{cell.prefix}kernel")
        if owner.two_biases:
            # The first is the input's.
            delta = np.stack([delta, np.zeros_like(delta)])
        return super().shifted(call, part, bias, delta)

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        return refitted(call.layer, "", config, after.weights)


def starts_of(
    call: Call, halves: Sequence[Sequence[Cell]]
) -> tuple[dict[str, list[int]], list[int]]:
    """Which inputs of a call are initial states (by the prefix of their half, all or none), and
    which are masks.

    Raises:
        Wall: they cannot be told apart.
    """
    rest = range(1, len(call.inputs))
    masks = [place for place in rest if call.inputs[place].dtype == "bool"]
    states = [place for place in rest if place not in masks]
    widths = [[cell.units for cell in half for _ in range(cell.states)] for half in halves]
    found: dict[str, list[int]] = {}
    given = iter(states)
    for half, wide in zip(halves, widths, strict=True):
        prefix = half[0].prefix.partition("cell/")[0]
        found[prefix] = [next(given, 0) for _ in wide] if states else []
    flat = [place for places in found.values() for place in places]
    shapes = [call.in_shapes[place] for place in flat]
    if flat != states or (states and shapes != [(width,) for wide in widths for width in wide]):
        raise Wall("its inputs are no initial state of its cells")
    return found, masks


def _units(cell: Cell, inside: Sequence[Ids], parts: list[Part], book: Book) -> Ids:
    """The units of a cell that reads lanes ``inside``; its weights join ``parts``."""
    made = book.fresh(cell.units)
    columns = np.tile(made, cell.gates)
    parts += weighed(f"{cell.prefix}kernel", 0, inside, "reads")
    parts.append(Part(f"{cell.prefix}kernel", 1, columns, "makes"))
    parts.append(Part(f"{cell.prefix}recurrent_kernel", 0, made, "reads"))
    parts.append(Part(f"{cell.prefix}recurrent_kernel", 1, columns, "makes"))
    if cell.layer.use_bias:
        parts.append(Part(f"{cell.prefix}bias", int(cell.two_biases), columns, "makes"))
    for name in ("activation", "recurrent_activation"):
        function = getattr(cell.layer, name, None)
        if function is not None:
            hold_mixed(function, laned(1, 0, made), book)
    return made


def flows_of(call: Call, ends: Sequence[Ids], states: Sequence[Ids]) -> tuple[Flow, ...]:
    """Lanes of each output: what comes out, then the states if they do."""
    return tuple(
        laned(len(shape), -1, ids)
        for ids, shape in zip((*ends, *states), call.out_shapes, strict=False)
    )


def with_config(serialized: Mapping[str, Any], config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A serialised layer with another config; it is built again, for the shapes that are left."""
    kept = {key: value for key, value in serialized.items() if key != "build_config"}
    return {**kept, "config": {**serialized["config"], **config}}


def refitted(
    layer: Any, prefix: str, config: Mapping[str, Any], weights: Mapping[str, tuple[int, ...]]
) -> Mapping[str, Any]:
    """The config of a recurrent layer whose weights have the shapes that are left."""
    news = [
        {
            "units": weights[f"{cell.prefix}recurrent_kernel"][0],
            "use_bias": f"{cell.prefix}bias" in weights,
        }
        for cell in cells_of(layer, prefix)
    ]
    if type(layer) is not keras.layers.RNN:
        return {**config, **news[0]}
    inside = config["cell"]
    if type(layer.cell) is not keras.layers.StackedRNNCells:
        return {**config, "cell": with_config(inside, news[0])}
    old = inside["config"]["cells"]
    cells = [with_config(cell, new) for cell, new in zip(old, news, strict=True)]
    return {**config, "cell": with_config(inside, {"cells": cells})}
