"""EinsumDense: one kernel along any axes, by the letters of its equation."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    NOWHERE,
    After,
    Array,
    Book,
    Demand,
    Flow,
    Ids,
    Part,
    Sent,
    Values,
    Wall,
)
from edgeprune.surgery.rules.activations import activated, hold_mixed
from edgeprune.surgery.rules.base import Rule, Weights, weighed


@dataclass(frozen=True)
class Letters:
    """An equation without an ellipsis, each term from its first axis.

    Attributes:
        taken: of the input, the batch first.
        kernel: of the kernel.
        given: of the output, the batch first.
    """

    taken: str
    kernel: str
    given: str

    @property
    def made(self) -> str:
        """The kernel's letters that come out, in the kernel's order."""
        return "".join(letter for letter in self.kernel if letter in self.given)

    def biased(self, axes: str) -> str:
        """Letters of a bias over ``axes``: Keras gives it every axis from the first of them on,
        with length one where the bias does not change."""
        return self.given[min(map(self.given.index, axes)) :]


def letters(call: Call) -> Letters:
    """The letters of an EinsumDense's equation, those behind an ellipsis named too.

    Raises:
        Wall: a letter stands twice in a term, or the batch is more than the first axis.
    """
    equation: str = call.layer.equation
    rank = len(call.in_shapes[0]) + 1
    unused = "".join(letter for letter in string.ascii_letters if letter not in equation)
    left = equation.split(",")[0]
    elided = unused[: rank - len(left.replace("...", ""))]
    terms, given = equation.replace("...", elided).split("->")
    taken, kernel = terms.split(",")
    if any(len(set(term)) < len(term) for term in (taken, kernel, given)):
        raise Wall("a letter stands twice in its equation")
    if taken[0] != given[0] or taken[0] in kernel:
        raise Wall("its equation mixes the batch")
    return Letters(taken, kernel, given)


class EinsumDenseRule(Rule):
    """Letters of the kernel that end in it read, those that come out make. What comes in and out
    by the same letter passes; where the kernel has that letter too it makes the channel again."""

    def refusal(self, call: Call) -> str | None:
        axes = call.layer.bias_axes
        if axes is not None and call.layer.equation[-1] not in axes:
            return "its bias does not reach the last axis"
        return super().refusal(call)

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        names = letters(call)
        lanes = dict(zip(names.taken[1:], inputs[0], strict=True))
        shape = dict(zip(names.given[1:], call.out_shapes[0], strict=True))
        made: dict[str, tuple[Ids, ...]] = {
            letter: lanes[letter] if letter in lanes else (book.fresh(length or 1),)
            for letter, length in shape.items()
        }
        parts: list[Part] = []
        for axis, letter in enumerate(names.kernel):
            if letter in made:
                # Without a channel there it is an axis of what the kernel makes all the same.
                parts += weighed("kernel", axis, made[letter] or nowhere(shape[letter]), "makes")
            else:
                source = (0, names.taken.index(letter) - 1)
                parts += weighed("kernel", axis, lanes[letter], "reads", source=source)
        if call.layer.bias is not None:
            lengths = (*call.layer.bias.shape[:-1], 1)
            short = misplaced(lengths, call.out_shapes[0][0]) and names.given[-1] not in lanes
            for axis, letter in enumerate(names.biased(call.layer.bias_axes)):
                if letter in call.layer.bias_axes:
                    least = 2 if short and axis == len(lengths) - 1 else 1
                    parts += weighed("bias", axis, made[letter], "makes", least=least)
        flow = tuple(tuple(ids for ids in made[letter] if ids.size > 1) for letter in shape)
        hold_mixed(call.layer.activation, flow, book)
        return Sent((flow,), tuple(parts), tuple(self._summed(names, lanes)))

    @staticmethod
    def _summed(names: Letters, lanes: Mapping[str, tuple[Ids, ...]]) -> list[Demand]:
        """What ends in the sum without a weight of its own."""
        return [
            Demand(ids, ((0, names.taken.index(letter) - 1),), "it is summed without weights")
            for letter in names.taken[1:]
            if letter not in names.kernel + names.given
            for ids in lanes[letter]
        ]

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        names = letters(call)
        value, kernel = values[0], weights["kernel"]
        length = dict(zip(names.kernel, kernel.shape, strict=True))
        for axis, letter in enumerate(names.taken[1:]):
            if letter in length:
                value = np.repeat(value, length[letter] // value.shape[axis], axis)
            elif letter not in names.given:
                # A sum over a length that is not spelled out here.
                value = np.where(value != 0, np.nan, value)
        made = contracted(f"{names.taken[1:]},{names.kernel}->{names.given[1:]}", value, kernel)
        return activated(call.layer.activation, made + weights.get("bias", 0.0))

    def folds(self, call: Call, part: Part) -> str | None:
        axes = call.layer.bias_axes
        if axes is not None and set(letters(call).made) - set(axes):
            return "its bias has not every axis that its kernel makes"
        return None

    def shifted(self, call: Call, part: Part, bias: Array | None, delta: Array) -> Array:
        names = letters(call)
        spread = np.transpose(
            delta, [names.made.index(one) for one in names.given if one in names.made]
        )
        biased = names.biased(call.layer.bias_axes if bias is not None else names.made)
        lengths = iter(spread.shape)
        spread = spread.reshape([next(lengths) if one in names.made else 1 for one in biased])
        return super().shifted(call, part, bias, spread)

    def spells(self, call: Call) -> bool:
        return True

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        names = letters(call)
        old = tuple(call.layer.partial_output_shape)
        right = call.layer.equation.endswith("...")
        shape = after.outputs[0]
        new = shape[: len(old)] if right else shape[len(shape) - len(old) :]
        changed = dict(config)
        changed["output_shape"] = tuple(
            before if before is None else now for before, now in zip(old, new, strict=True)
        )
        if config["bias_axes"] is None and "bias" in after.weights:
            changed["bias_axes"] = "".join(one for one in names.given if one in names.made)
        return changed


def misplaced(bias: Sequence[int], first: int | None) -> bool:
    """Whether Keras can take another axis for a bias's own once channels have left.

    ``keras.ops.add`` on TensorFlow squeezes a bias with one axis longer than one, and adds it along
    the last or the first axis behind the batch if their lengths happen to agree.

    Args:
        bias: its shape.
        first: length of the first axis behind the batch of what it is added to.
    """
    longest = max(bias[:-1], default=1)
    return bias[-1] == 1 and longest > 1 and (first is None or first <= longest)


def nowhere(length: int | None) -> tuple[Ids, ...]:
    """A lane without any channel."""
    return (np.full(length or 1, NOWHERE, np.int64),)


def contracted(equation: str, value: Values, kernel: Array) -> Values:
    """Constants that an einsum of constants with a kernel makes, NaN where unknown. A zero on one
    side wins over what is unknown on the other."""
    holes = np.isnan(kernel)
    known = np.where(holes, 0.0, kernel).astype(np.float64)
    made = np.einsum(equation, np.nan_to_num(value), known, optimize=True)
    touched = (kernel != 0).astype(np.float64)
    lost = np.einsum(equation, np.isnan(value).astype(np.float64), touched, optimize=True)
    if holes.any():
        there = (value != 0).astype(np.float64)
        lost = lost + np.einsum(equation, there, holes.astype(np.float64), optimize=True)
    return np.where(lost > 0, np.nan, made)
