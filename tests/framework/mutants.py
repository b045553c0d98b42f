"""Rules broken on purpose: one thing that a rule says is forgotten, moved or made up.

A break is a change of what one method of a rule returns (or of what it tells the book), so it fits
any rule, a new one too. Which breaks there are of a rule is found out by listening: the rule does
its work on a net, and every break that would have changed something is noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeprune.surgery.flows import Part, Sent, lane_of
from edgeprune.surgery.rules.base import Rule

SAME: Any = object()
"""What a change returns where there is nothing to change."""
Change = Callable[..., Any]


@dataclass(frozen=True)
class Break:
    """One way to break a rule.

    Attributes:
        name: of the break.
        method: which method of the rule says something else.
        change: what it says in place of its first argument, of the rest the method's own; or
            :data:`SAME`.
        forgets: where a call to the book is forgotten, its name and which one.
        place: of the part, lane or call that is broken, where there may be several.
    """

    name: str
    method: str
    change: Change = lambda *_: SAME
    forgets: tuple[str, int] | None = None
    place: int = 0

    def said(self, says: Callable[..., Any], *given: Any) -> Any:
        """What the broken method returns."""
        if self.forgets is not None:
            return says(*given[:-1], _Deaf(given[-1], self.forgets))
        right = says(*given)
        wrong = self.change(right, *given)
        return right if wrong is SAME else wrong


class _Deaf:
    """A book that misses one call of a kind; it counts them all."""

    def __init__(self, book: Any, forgets: tuple[str, int] | None = None) -> None:
        self._book, self._forgets = book, forgets
        self.heard = {"fix": 0, "tie": 0}

    def fresh(self, size: int) -> Any:
        return self._book.fresh(size)

    def fix(self, ids: Any, *reason: Any, **how: Any) -> None:
        if self._hears("fix", bool((ids >= 0).any())):
            self._book.fix(ids, *reason, **how)

    def tie(self, one: Any, other: Any, reason: str) -> None:
        if self._hears("tie", not np.array_equal(one, other)):
            self._book.tie(one, other, reason)

    def _hears(self, what: str, says: bool) -> bool:
        place = self.heard[what]
        self.heard[what] += says
        return not says or (what, place) != self._forgets


def breaks() -> list[Break]:
    """All of them; those of a place (the first part, the second, …) up to a place that no rule
    has."""
    found = [Break(*one) for one in _ONCE]
    for name, method, change in _PLACED:
        found += [
            Break(f"{name} {place}", method, _at(change, place), place=place)
            for place in range(MOST_PLACES)
        ]
    for what, name in (("fix", "stays"), ("tie", "tie")):
        found += [
            Break(f"{name} forgotten {place}", "send", forgets=(what, place), place=place)
            for place in range(MOST_PLACES)
        ]
    return found


MOST_PLACES = 24


def broken(rule: Rule, *by: Break) -> Rule:
    """``rule`` with these breaks, of different methods."""

    def method(one: Break) -> Callable[..., Any]:
        right = getattr(type(rule), one.method)
        return lambda self, *given: one.said(lambda *rest: right(self, *rest), *given)

    return _like(rule, {one.method: method(one) for one in by})


def listening(rule: Rule, every: Sequence[Break], heard: set[str]) -> Rule:
    """``rule`` as it is; the names of the breaks that would have changed something are put into
    ``heard``."""
    by_method: dict[str, list[Break]] = {}
    for one in every:
        if one.method != "passes" or type(rule).passes is not Rule.passes:
            by_method.setdefault(one.method, []).append(one)

    def method(name: str, mine: Sequence[Break]) -> Callable[..., Any]:
        right = getattr(type(rule), name)

        def says(self: Rule, *given: Any) -> Any:
            book = _Deaf(given[-1]) if name == "send" else None
            made = right(self, *given) if book is None else right(self, *given[:-1], book)
            for one in mine:
                if one.forgets is not None and book is not None:
                    fires = book.heard[one.forgets[0]] > one.forgets[1]
                else:
                    fires = one.name not in heard and one.change(made, *given) is not SAME
                if fires:
                    heard.add(one.name)
            return made

        return says

    return _like(rule, {name: method(name, mine) for name, mine in by_method.items()})


def _like(rule: Rule, methods: Mapping[str, Any]) -> Rule:
    kind = type(rule)
    made: Rule = object.__new__(type(kind.__name__, (kind,), dict(methods)))
    vars(made).update(vars(rule))
    return made


def _at(change: Change, place: int) -> Change:
    return lambda *given: change(place, *given)


def _parts(sent: Sent, place: int, change: Callable[[Part], Part | None]) -> Any:
    """``sent`` with another part at ``place``, or without it."""
    if place >= len(sent.parts):
        return SAME
    new = change(sent.parts[place])
    if new is sent.parts[place]:
        return SAME
    there = () if new is None else (new,)
    return replace(sent, parts=(*sent.parts[:place], *there, *sent.parts[place + 1 :]))


def _part_forgotten(place: int, sent: Sent, *_: Any) -> Any:
    return _parts(sent, place, lambda part: None)


def _part_rolled(place: int, sent: Sent, *_: Any) -> Any:
    def rolled(part: Part) -> Part:
        ids = np.roll(part.ids, 1)
        return part if np.array_equal(ids, part.ids) else replace(part, ids=ids)

    return _parts(sent, place, rolled)


def _part_unread(place: int, sent: Sent, *_: Any) -> Any:
    return _parts(
        sent, place, lambda part: replace(part, role="follows") if part.role == "reads" else part
    )


def _part_without_least(place: int, sent: Sent, *_: Any) -> Any:
    return _parts(sent, place, lambda part: replace(part, least=1) if part.least > 1 else part)


def _part_without_runs(place: int, sent: Sent, *_: Any) -> Any:
    return _parts(sent, place, lambda part: replace(part, runs=1) if part.runs > 1 else part)


def _lanes(sent: Sent) -> Iterator[tuple[int, int, int]]:
    for output, flow in enumerate(sent.outputs):
        for axis, lanes in enumerate(flow):
            for lane in range(len(lanes)):
                yield output, axis, lane


def _lane_changed(place: int, sent: Sent, change: Callable[[Any], Any]) -> Any:
    """``sent`` with another lane on one axis of one output; ``None`` takes it away."""
    places = list(_lanes(sent))
    if place >= len(places):
        return SAME
    output, axis, lane = places[place]
    lanes = sent.outputs[output][axis]
    new = change(lanes[lane])
    if new is not None and np.array_equal(new, lanes[lane]):
        return SAME
    flow = list(sent.outputs[output])
    flow[axis] = (*lanes[:lane], *(() if new is None else (new,)), *lanes[lane + 1 :])
    outputs = list(sent.outputs)
    outputs[output] = tuple(flow)
    return replace(sent, outputs=tuple(outputs))


def _lane_rolled(place: int, sent: Sent, *_: Any) -> Any:
    return _lane_changed(place, sent, lambda ids: np.roll(ids, 1))


def _lane_forgotten(place: int, sent: Sent, *_: Any) -> Any:
    return _lane_changed(place, sent, lambda ids: None)


def _demand_forgotten(place: int, sent: Sent, *_: Any) -> Any:
    if place >= len(sent.demands):
        return SAME
    return replace(sent, demands=(*sent.demands[:place], *sent.demands[place + 1 :]))


def _one_zero_is_enough(sent: Sent, *_: Any) -> Any:
    if not any(one.every and len(one.sources) > 1 for one in sent.demands):
        return SAME
    return replace(sent, demands=tuple(replace(one, every=False) for one in sent.demands))


def _each(change: Callable[[Any], Any]) -> Change:
    """A change of constants, of each output where there are several; nothing where none of them
    changes."""

    def changed(made: Any, *_: Any) -> Any:
        several = isinstance(made, tuple | list)
        old = made if several else (made,)
        new = [np.asarray(change(np.asarray(one, np.float64))) for one in old]
        if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(old, new, strict=True)):
            return SAME
        return type(made)(new) if several else new[0]

    return changed


def _unchanged(made: Any, call: Any, weights: Any, values: Sequence[Any]) -> Any:
    """What comes in is what comes out."""
    alike = not isinstance(made, tuple) and values and values[0].shape == made.shape
    if not alike or np.array_equal(made, values[0], equal_nan=True):
        return SAME
    return values[0]


def _met_as_it_comes(made: Any, call: Any, weights: Any, values: Any, part: Part) -> Any:
    place, axis = part.source
    if values[place].shape[axis] not in (1, part.ids.size):
        return SAME
    value = lane_of(values[place], axis, part.ids.size)
    return SAME if np.array_equal(value, made, equal_nan=True) else value


def _met_elsewhere(made: Any, call: Any, weights: Any, values: Any, part: Part) -> Any:
    """What stands at the next input, where it is looked up."""
    place, axis = part.source
    other = (place + 1) % len(values)
    if any(values[one].shape[axis] not in (1, part.ids.size) for one in (place, other)):
        return SAME
    here, there = (lane_of(values[one], axis, part.ids.size) for one in (place, other))
    found = np.array_equal(here, made, equal_nan=True)
    return SAME if not found or np.array_equal(here, there, equal_nan=True) else there


def _never_shifted(made: Any, call: Any, part: Part, bias: Any, delta: Any) -> Any:
    return np.zeros_like(made) if bias is None else np.asarray(bias, np.float64)


def _passed(place: int, made: Any, call: Any, values: Any) -> Any:
    return SAME if made == place or place >= len(values) or len(values) < 2 else place


def _factor_forgotten(place: int, made: Mapping[str, float], *_: Any) -> Any:
    if place >= len(made):
        return SAME
    gone = list(made)[place]
    return {name: factor for name, factor in made.items() if name != gone}


def _setting_forgotten(place: int, made: Any, call: Any, config: Any, after: Any) -> Any:
    moved = [key for key in made if made[key] != config.get(key)]
    if place >= len(moved):
        return SAME
    return {**made, moved[place]: config.get(moved[place])}


def _settled(wanted: Any) -> Change:
    """Always this."""
    return lambda made, *_: SAME if made is wanted else wanted


def _plus_one(values: Any) -> Any:
    return values + 1.0


def _made_up(values: Any) -> Any:
    """Zero where nothing is known."""
    return np.nan_to_num(values)


def _turned(values: Any) -> Any:
    return np.roll(values, 1, axis=-1) if values.ndim else values


_ONCE: list[tuple[str, str, Change]] = [
    ("one zero is enough", "send", _one_zero_is_enough),
    ("constants off by one", "constant", _each(_plus_one)),
    ("constants made up", "constant", _each(_made_up)),
    ("constants turned", "constant", _each(_turned)),
    ("constants unchanged", "constant", _unchanged),
    ("met as it comes", "met", _met_as_it_comes),
    ("met of another input", "met", _met_elsewhere),
    ("met off by one", "met", _each(_plus_one)),
    ("met made up", "met", _each(_made_up)),
    ("met turned", "met", _each(_turned)),
    ("a zero always arrives", "arrived", _each(np.zeros_like)),
    ("folds what it cannot", "folds", _settled(None)),
    ("a bias never shifted", "shifted", _never_shifted),
    ("a bias shifted elsewhere", "shifted", _each(_turned)),
    ("calls as before", "instead", _settled(None)),
    ("refuses nothing", "refusal", _settled(None)),
]
_PLACED: list[tuple[str, str, Change]] = [
    ("part forgotten", "send", _part_forgotten),
    ("part rolled", "send", _part_rolled),
    ("part unread", "send", _part_unread),
    ("part without its least", "send", _part_without_least),
    ("part without its runs", "send", _part_without_runs),
    ("lane rolled", "send", _lane_rolled),
    ("lane forgotten", "send", _lane_forgotten),
    ("demand forgotten", "send", _demand_forgotten),
    ("passes on input", "passes", _passed),
    ("factor forgotten", "rescaled", _factor_forgotten),
    ("setting forgotten", "resized", _setting_forgotten),
]
