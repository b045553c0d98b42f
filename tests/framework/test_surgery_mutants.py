"""The mutation ring: every rule is broken on purpose, in every way there is, and the proof that a
cut is silence notices each break."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator, Mapping

import pytest
import surgery_nets
from mutant_nets import ALIKE, NETS, Prepared, inexactly, lone, prepared
from mutants import Break, breaks, broken, listening
from surgery_nets import float64, inputs_for, proven, woken

from edgeprune.models import parameters
from edgeprune.plans import Plan
from edgeprune.surgery import rules, trace
from edgeprune.surgery.rules import Rule
from edgeprune.surgery.tracing import traced


@pytest.fixture(autouse=True)
def _listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surgery_nets, "LISTENS", True)


BREAKS = breaks()
FIRST = [one for one in BREAKS if one.place < 1]
"""Of a kind of break that there is for each place, the first; the nightly ring tries all."""
TABLES: tuple[dict[type, Rule], ...] = (rules.RULES, rules._BY_DEPTH)  # type: ignore[assignment]


ONE_LEFT = "only a last channel has the shape that a single number has, and it stays"
UNNOTICED: dict[str, dict[str, str]] = {
    "MaskingRule": dict.fromkeys(
        ("demand forgotten 0", "a zero always arrives"),
        "the mask is made by an operation of its own, any, which demands the same",
    ),
    "SliceOperation": {"a zero always arrives": "what is picked by its number stays all the same"},
    "TakeRule": {"a zero always arrives": "what is picked by its number stays all the same"},
    "GatherRule": {"calls as before": "flip and repeat fit what is left by themselves"},
    "FilledRule": {
        "lane rolled 0": "the same number stands at every position",
        "constants unchanged": ONE_LEFT,
    },
    "EinsumDenseRule": {"constants unchanged": ONE_LEFT},
    "DotRule": {"constants unchanged": ONE_LEFT},
    "DivisionRule": {"stays forgotten 0": ONE_LEFT},
    "ChosenRule": {
        "stays forgotten 0": "they stay as mixed too; not for an inexact cut, which is asked for "
        "in test_surgery_inexact",
        "stays forgotten 1": "they are counted, and stay for that",
    },
    "MultiHeadAttentionRule": {
        **dict.fromkeys(
            (f"part without its least {place}" for place in (3, 4, 7, 9)),
            "queries and keys are of one width, so that the other's bias asks for it too",
        ),
        "part without its least 11": "no sequence there is as long as there are heads; one in "
        "another net is",
    },
    "GroupQueryAttentionRule": dict.fromkeys(
        ("part rolled 7", "part rolled 9"),
        "a key's bias moves all scores of a query alike, which the softmax does not see",
    ),
    "RecurrentRule": {
        "setting forgotten 1": "use_bias, which is set wherever a bias is added",
    },
}
"""By rule what may be broken without any harm, and why."""


def rules_by_name() -> dict[str, list[tuple[int, type]]]:
    """The places of each rule class in the tables."""
    found: dict[str, list[tuple[int, type]]] = {}
    for place, table in enumerate(TABLES):
        for kind, rule in table.items():
            found.setdefault(type(rule).__name__, []).append((place, kind))
    return found


BY_NAME = rules_by_name()


@contextlib.contextmanager
def put(changed: Mapping[tuple[int, type], Rule]) -> Iterator[None]:
    """Other rules for some layer classes."""
    before = {key: TABLES[key[0]][key[1]] for key in changed}
    try:
        for (place, kind), rule in changed.items():
            TABLES[place][kind] = rule
        yield
    finally:
        for (place, kind), rule in before.items():
            TABLES[place][kind] = rule


def attempts(net: Prepared, few: bool) -> list[int]:
    """Prove that a cut is silence on a net; how many channels may leave, and how many parameters
    are left each time that plans do not depend on the rules."""
    with float64():
        free = sum(group.size for group in trace(net.model).free)
        left = [parameters(proven(net.model, plan, net.x)) for plan in net.plans(few)]
        inexactly(net)
    return [free, *left[: len(net.constants)]]


@functools.cache
def ready(name: str) -> Prepared:
    with float64():
        return prepared(NETS[name])


@functools.cache
def kinds(name: str) -> set[tuple[int, type]]:
    """The places in the tables of the rules that a net follows."""
    found = set()
    with float64():
        for step in traced(NETS[name]()).steps:
            layer = step.node.call.layer
            rule = step.rule or rules.RULES.get(type(layer))
            found |= {
                (place, type(layer))
                for place, table in enumerate(TABLES)
                if rule is not None and table.get(type(layer)) is rule
            }
    return found


@functools.cache
def sound(name: str, few: bool) -> tuple[dict[tuple[int, type], set[str]], list[int]]:
    """A net proven with the rules as they are: by place in the tables, which breaks would have
    been heard on it; and how much is left."""
    heard: dict[tuple[int, type], set[str]] = {}
    ears = {
        key: listening(TABLES[key[0]][key[1]], BREAKS, heard.setdefault(key, set()))
        for key in kinds(name)
    }
    with put(ears):
        return heard, attempts(ready(name), few)


def caught(name: str, keys: list[tuple[int, type]], one: Break, few: bool) -> bool:
    """Whether the proof notices a break, or less may leave or does; not where the break itself is
    at fault."""
    with put({key: broken(TABLES[key[0]][key[1]], one) for key in keys}):
        try:
            return attempts(ready(name), few) != sound(name, few)[1]
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1].filename
            assert not last.endswith("mutants.py"), f"{one.name}: {error!r}"
            return True


def survivors(rule: str, few: bool) -> tuple[set[str], set[str]]:
    """The breaks of a rule that were tried, and those that nothing notices."""
    keys = BY_NAME[rule]
    tried: dict[str, bool] = {}
    nets = [name for name in NETS if kinds(name).intersection(keys)]
    for place, name in enumerate(nets):
        if few and place and all(tried.values()):
            break
        mine = [key for key in keys if key in kinds(name)]
        heard = set().union(*(sound(name, few)[0][key] for key in mine))
        for one in BREAKS if not few else FIRST:
            known = few and one.name in UNNOTICED.get(rule, {})
            if one.name in heard and not known and not tried.get(one.name):
                tried[one.name] = caught(name, mine, one, few)
    return set(tried), {name for name, seen in tried.items() if not seen}


@pytest.mark.parametrize("rule", BY_NAME)
def test_every_break_of_a_rule_is_caught(rule: str) -> None:
    tried, left = survivors(rule, few=True)
    assert not left
    assert tried, "no net in mutant_nets.py follows this rule"


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rule", BY_NAME)
def test_every_break_is_caught_and_the_table_of_those_that_break_nothing_holds(rule: str) -> None:
    _, left = survivors(rule, few=False)
    assert left == set(UNNOTICED.get(rule, {}))


def lone_kinds() -> list[tuple[int, type]]:
    """The places in the tables of what stands in no net of the ring."""
    seen: set[tuple[int, type]] = set().union(*map(kinds, NETS))
    return [key for keys in BY_NAME.values() for key in keys if key not in seen]


def test_every_layer_that_has_a_rule_stands_in_a_net() -> None:
    for place, kind in lone_kinds():
        steps = traced(lone(kind, by_depth=place == 1)).steps
        assert kind in {type(step.node.call.layer) for step in steps}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_what_stands_in_a_net_of_its_own_is_broken_too() -> None:
    """These share their rule with what stands in the ring's nets."""
    for place, kind in lone_kinds():
        if kind.__name__ not in ALIKE:
            _broken_alone(place, kind)


def _broken_alone(place: int, kind: type) -> None:
    # TensorFlow pools volumes in float32 alone on a CPU.
    single = kind.__name__.endswith("Pooling3D")
    most = 1e-5 if single else 1e-9
    with contextlib.nullcontext() if single else float64():
        model = lone(kind, by_depth=place == 1)
        x = inputs_for(tuple(model.inputs[0].shape[1:]), 0)
        x = x.astype("float32") if single else x

        def attempt() -> int:
            graph = trace(model)
            plan = Plan.cut(graph, {group.name: [1] for group in graph.free})
            proven(model, plan, x, most=most)
            return len(plan.cuts)

        woken(model, x, 0)
        cuts = attempt()
        steps = [one for one in traced(model).steps if type(one.node.call.layer) is kind]
        if not cuts and all(step.rule is not None for step in steps):
            return  # its channels stay, and no call of it is refused
        name = "lane rolled 0" if cuts else "refuses nothing"
        one = next(one for one in BREAKS if one.name == name)
        with put({(place, kind): broken(TABLES[place][kind], one)}):
            try:
                noticed = attempt() != cuts
            except Exception:  # misfits are caught too
                noticed = True
        assert noticed, kind.__name__
