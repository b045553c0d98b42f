"""What happens in one step of a recurrent layer: its cells, and which of their units are zero.

A unit that is zero at every step is found as a greatest fixpoint: all units that start at zero are
taken for zero, and given up where the weights of what is left could make them something else. The
equations are those of Keras' ``LSTMCell``, ``GRUCell`` and ``SimpleRNNCell``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from edgeprune.surgery.flows import Array, Values, Wall
from edgeprune.surgery.rules.activations import activated
from edgeprune.surgery.rules.base import Weights, multiplied

GATES: Mapping[type, int] = {
    keras.layers.LSTMCell: 4,
    keras.layers.GRUCell: 3,
    keras.layers.SimpleRNNCell: 1,
}
"""Columns that a unit has in the kernels."""


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell of a recurrent layer.

    Attributes:
        prefix: of its weights' names inside the layer (``cell/``, ``cell/cells/0/``).
        layer: the Keras cell.
    """

    prefix: str
    layer: Any

    @property
    def units(self) -> int:
        """How many."""
        return int(self.layer.units)

    @property
    def gates(self) -> int:
        """Columns that a unit has in the kernels."""
        return GATES[type(self.layer)]

    @property
    def states(self) -> int:
        """State tensors."""
        return 2 if isinstance(self.layer, keras.layers.LSTMCell) else 1

    @property
    def two_biases(self) -> bool:
        """A GRU that resets after the product has one bias for the input, one for the state."""
        return isinstance(self.layer, keras.layers.GRUCell) and self.layer.reset_after


@dataclass(frozen=True, eq=False)
class Run:
    """What a cell makes of constants, over all steps.

    Attributes:
        output: (units,), the constant that comes out at every step, NaN for none.
        before: (units,), 0 where the state that is read is zero at every step, else NaN.
        states: constants of the state tensors after the last step.
    """

    output: Values
    before: Values
    states: tuple[Values, ...]


def cells_of(layer: Any, prefix: str = "") -> list[Cell]:
    """The cells of a recurrent layer, in the order in which they run.

    Raises:
        Wall: a cell that is not known.
    """
    cell = layer.cell
    if type(cell) is keras.layers.StackedRNNCells:
        cells = [Cell(f"{prefix}cell/cells/{n}/", one) for n, one in enumerate(cell.cells)]
    else:
        cells = [Cell(f"{prefix}cell/", cell)]
    for one in cells:
        if type(one.layer) not in GATES:
            raise Wall(f"its cell is a {type(one.layer).__name__}")
    if len({id(one.layer) for one in cells}) != len(cells):
        raise Wall("it stacks one cell on itself")
    return cells


def run(cell: Cell, weights: Weights, inside: Values, start: Sequence[Values]) -> Run:
    """Run a cell over constants.

    Args:
        cell: the cell.
        weights: of the layer.
        inside: (features,), what it reads at every step; NaN where that depends on the data.
        start: (units,) of each state, what it starts from.
    """
    step = _STEPS[type(cell.layer)](cell, weights, inside)
    zero = start[0] == 0
    while True:
        before = np.where(zero, 0.0, np.nan)
        output, silent = step(before, start)
        still = zero & silent
        if (still == zero).all():
            break
        zero = still
    after = np.where(zero, 0.0, np.nan)
    if cell.states == 1:
        return Run(output, after, (output,))
    return Run(output, after, (output, step.carry(before, start)))


class _Step:
    """One step of a cell on constants; the part of the input is computed once."""

    def __init__(self, cell: Cell, weights: Weights, inside: Values) -> None:
        self.layer = cell.layer
        self.gates = cell.gates
        self.recurrent = weights[f"{cell.prefix}recurrent_kernel"]
        bias = weights.get(f"{cell.prefix}bias")
        self.bias: Array | None = None
        if bias is not None and bias.ndim > 1:
            bias, self.bias = bias
        self.inner = multiplied(weights[f"{cell.prefix}kernel"], inside, 0, 1, bias)

    def __call__(self, before: Values, start: Sequence[Values]) -> tuple[Values, Array]:
        """What comes out, and which units' next state is zero."""
        raise NotImplementedError

    def carry(self, before: Values, start: Sequence[Values]) -> Values:
        """The second state after the step."""
        raise NotImplementedError

    def products(self, before: Values) -> tuple[Values, Values]:
        """(gates, units) that the input gives and that the state gives."""
        state = multiplied(self.recurrent, before, 0, 1, self.bias)
        return self.inner.reshape(self.gates, -1), state.reshape(self.gates, -1)


class _SimpleStep(_Step):
    def __call__(self, before: Values, start: Sequence[Values]) -> tuple[Values, Array]:
        inner, state = self.products(before)
        output = activated(self.layer.activation, (inner + state)[0])
        return output, output == 0


class _LstmStep(_Step):
    """Gates in Keras' order: input, forget, candidate, output."""

    def __call__(self, before: Values, start: Sequence[Values]) -> tuple[Values, Array]:
        inner, state = self.products(before)
        shut = activated(self.layer.recurrent_activation, (inner + state)[3]) == 0
        silent = activated(self.layer.activation, self.carry(before, start)) == 0
        zero = shut | silent
        return np.where(zero, 0.0, np.nan), zero

    def carry(self, before: Values, start: Sequence[Values]) -> Values:
        inner, state = self.products(before)
        gates = inner + state
        shut = activated(self.layer.recurrent_activation, gates[0]) == 0
        silent = activated(self.layer.activation, gates[2]) == 0
        return np.where((start[1] == 0) & (shut | silent), 0.0, np.nan)


class _GruStep(_Step):
    """Gates in Keras' order: update, reset, candidate."""

    def __call__(self, before: Values, start: Sequence[Values]) -> tuple[Values, Array]:
        inner, state = self.products(before)
        update, reset = activated(self.layer.recurrent_activation, (inner + state)[:2])
        recurrent = state[2]
        if self.layer.reset_after:
            recurrent = np.where(recurrent == 0, 0.0, reset * recurrent)
        candidate = activated(self.layer.activation, inner[2] + recurrent)
        zero = (before == 0) & ((candidate == 0) | (update == 1))
        return np.where(zero, 0.0, np.nan), zero


_STEPS: Mapping[type, type[_Step]] = {
    keras.layers.LSTMCell: _LstmStep,
    keras.layers.GRUCell: _GruStep,
    keras.layers.SimpleRNNCell: _SimpleStep,
}
