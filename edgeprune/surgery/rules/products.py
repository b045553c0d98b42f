"""Keras operations that multiply tensors and sum over what meets: matmul, dot, tensordot, einsum.

Each is written as an einsum. Operands are tensors or constants, which lose rows with the channels.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call
from edgeprune.surgery.flows import (
    After,
    Array,
    Book,
    Demand,
    Flow,
    Ids,
    Sent,
    Values,
    Wall,
    joined_axis,
)
from edgeprune.surgery.rules.base import Rule, Weights

Terms = tuple[list[str], str]
"""One letter for each axis of each operand, the batch too, and of the result."""


class ProductRule(Rule):
    """Axes of one letter meet: where the result has it, they are one; where not, the operation
    reads them without weights.

    Args:
        terms: of a call and the ranks of its operands.
    """

    many = True

    def __init__(self, terms: Callable[[Call, list[int]], Terms]) -> None:
        self._terms = terms

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        (*terms, made), shapes = self._written(call), call.in_shapes
        flow: dict[str, tuple[Ids, ...]] = {}
        demands = []
        for letter in dict.fromkeys("".join(terms)):
            places = [(place, axis) for place, axis in self._at(call, terms, letter) if axis >= 0]
            if not places:
                continue
            if any(inputs[place][axis] for place, axis in places):
                self._alike(call, terms, letter, [shapes[place][axis] for place, axis in places])
            lanes = joined_axis(
                [inputs[place][axis] for place, axis in places],
                [shapes[place][axis] for place, axis in places],
                book,
            )
            flow[letter] = lanes
            if letter not in made:
                reason = f"{call.layer.name} multiplies channels without weights"
                demands += [Demand(ids, tuple(places), reason) for ids in lanes]
        return Sent((tuple(flow.get(letter, ()) for letter in made[1:]),), (), tuple(demands))

    def _alike(
        self, call: Call, terms: Sequence[str], letter: str, lengths: Sequence[int | None]
    ) -> None:
        places = self._places(call)
        given = [
            np.shape(call.args[n])[term.index(letter)]
            for n, term in enumerate(terms)
            if n not in places and letter in term
        ]
        if set(lengths) == {1} and set(given) - {1}:
            raise Wall("it repeats a channel along a constant")

    def constant(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        *terms, made = self._written(call)
        places = self._places(call)
        sides = [
            values[places[n]][None] if n in places else np.asarray(given)
            for n, given in enumerate(call.args)
        ]
        # Where each product has a factor of zero, the sum is zero.
        touched = np.einsum(f"{','.join(terms)}->{made}", *((side != 0) * 1.0 for side in sides))
        return np.where(touched[0] == 0, 0.0, np.nan)

    def instead(self, call: Call, after: After) -> Callable[..., Any] | None:
        *terms, _ = self._written(call)
        places = self._places(call)
        given: dict[int, Array] = {}
        for n, term in enumerate(terms):
            if n in places:
                continue
            constant = np.asarray(call.args[n])
            for axis, letter in enumerate(term):
                for place, other in self._at(call, terms, letter):
                    keep = after.kept[place][other] if other >= 0 else None
                    if keep is not None and constant.shape[axis] > 1:
                        constant = np.take(constant, keep, axis)
                        break
            given[n] = constant

        def called(*operands: Any) -> Any:
            return call.layer(*(given.get(n, one) for n, one in enumerate(operands)))

        return called if given else None

    def _written(self, call: Call) -> list[str]:
        """The letters of each operand, and of the result.

        Raises:
            Wall: the batch is summed over or met by what is no batch.
        """
        places = self._places(call)
        if call.settings or len(places) < len(call.inputs):
            raise Wall("it is called with named operands")
        ranks = [len(one.shape) if n in places else np.ndim(one) for n, one in enumerate(call.args)]
        terms, made = self._terms(call, ranks)
        batch = {terms[n][:1] for n in places}
        if len(batch) > 1 or made[:1] not in batch or any(made[0] in term[1:] for term in terms):
            raise Wall("it multiplies over the batch")
        if any(len(set(term)) < len(term) for term in terms):
            raise Wall("it takes a diagonal")
        return [*terms, made]

    @staticmethod
    def _places(call: Call) -> dict[int, int]:
        """Which operand is which input; a tensor that is given twice is two inputs."""
        order = iter(range(len(call.inputs)))
        known = {id(tensor) for tensor in call.inputs}
        return {n: next(order) for n, given in enumerate(call.args) if id(given) in known}

    def _at(self, call: Call, terms: Sequence[str], letter: str) -> Iterator[tuple[int, int]]:
        """Where a letter stands: inputs, and axes without the batch."""
        for n, place in self._places(call).items():
            if letter in terms[n]:
                yield place, terms[n].index(letter) - 1


def _matmul(_: Call, ranks: list[int]) -> Terms:
    letters = string.ascii_lowercase[: max(ranks)]
    one = "" if ranks[0] < 2 else f"{letters[len(letters) - ranks[0] : -2]}Y"
    other = "" if ranks[1] < 2 else letters[len(letters) - ranks[1] : -2]
    last = "Z" if ranks[1] > 1 else ""
    before = max(one.rstrip("Y"), other, key=len)
    return [f"{one}X", f"{other}X{last}"], f"{before}{'Y' if one else ''}{last}"


def _dot(_: Call, ranks: list[int]) -> Terms:
    return _met(ranks, [ranks[0] - 1], [max(0, ranks[1] - 2)])


def _tensordot(call: Call, ranks: list[int]) -> Terms:
    axes = call.layer.axes
    if isinstance(axes, int):
        return _met(ranks, list(range(ranks[0] - axes, ranks[0])), list(range(axes)))
    one, other = (np.atleast_1d(each).tolist() for each in axes)
    return _met(ranks, [a % ranks[0] for a in one], [a % ranks[1] for a in other])


def _met(ranks: list[int], one: Sequence[int], other: Sequence[int]) -> Terms:
    """Two operands whose axes at these places meet; the others stand one behind another."""
    if not min(ranks):
        raise Wall("it multiplies by a single number")
    first = string.ascii_lowercase[: ranks[0]]
    second = list(string.ascii_uppercase[: ranks[1]])
    for place, axis in zip(one, other, strict=True):
        second[axis] = first[place]
    rest = [letter for place, letter in enumerate(first) if place not in one]
    return [first, "".join(second)], "".join(
        [*rest, *(letter for letter in second if letter.isupper())]
    )


def _einsum(call: Call, ranks: list[int]) -> Terms:
    """Its own letters; what three dots stand for gets free ones."""
    given, _, made = call.layer.subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    free = [letter for letter in string.ascii_letters if letter not in call.layer.subscripts]
    dots = [rank - len(term) + 3 for term, rank in zip(terms, ranks, strict=True)]
    most = max((n for n, term in zip(dots, terms, strict=True) if "..." in term), default=0)
    hidden = "".join(free[:most])
    if "->" not in call.layer.subscripts:
        known = "".join(terms).replace(".", "")
        alone = sorted(letter for letter in set(known) if known.count(letter) == 1)
        made = ("..." if "..." in given else "") + "".join(alone)
    return [
        term.replace("...", hidden[most - n :]) for term, n in zip(terms, dots, strict=True)
    ], made.replace("...", hidden)


PRODUCTS: Mapping[type, Rule] = {
    numeric.Matmul: ProductRule(_matmul),
    numeric.Dot: ProductRule(_dot),
    numeric.Tensordot: ProductRule(_tensordot),
    numeric.Einsum: ProductRule(_einsum),
}
"""By exact class."""
