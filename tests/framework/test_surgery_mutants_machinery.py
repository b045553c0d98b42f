"""The mutation ring, second part: what carries the rules out is broken on purpose."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import mutant_nets
import numpy as np
import pytest
import surgery_nets
from mutant_nets import Prepared, prepared
from surgery_nets import float64, inputs_for, outputs_of, proven, random_plan, woken
from test_surgery_accounts import account_of

from edgeprune.costs import Cost
from edgeprune.models import named_layers, named_weights
from edgeprune.plans import Plan
from edgeprune.surgery import (
    accounting,
    carrying,
    deciding,
    folding,
    grouped,
    leftovers,
    passing,
    silence,
    slicing,
    strip_with_report,
    trace,
    tracing,
    zeroing,
)
from edgeprune.surgery.booking import Numbers
from edgeprune.surgery.rules import joins

pytestmark = pytest.mark.nightly


@pytest.fixture(autouse=True)
def _listening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surgery_nets, "LISTENS", True)


L = keras.layers
ops = keras.ops
X = inputs_for((8, 8, 4), 0)


def shared() -> Any:
    """One layer that is called with two constants; and with its own output."""
    i = keras.Input((4,))
    a, b = (L.Dense(5, activation="sigmoid", name=name)(i) for name in "ab")
    both = L.Dense(5, activation="sigmoid", name="both")
    ends = both(a), both(b), both(both(L.Dense(5, activation="tanh", name="c")(i)))
    return keras.Model(i, [L.Dense(3, name=f"out{n}")(y) for n, y in enumerate(ends)])


def half_known() -> Any:
    """A sum whose last position has a channel on one side only."""
    i = keras.Input((4,))
    length = ops.sum(i, axis=-1, keepdims=True)
    x = L.Concatenate()([L.Dense(3, activation="tanh", name="a")(i), length])
    x = L.Add()([x, L.Dense(4, activation="sigmoid", name="b")(i)])
    return keras.Model(i, L.Dense(3, name="out")(x))


def gate() -> Any:
    """A factor that is zero where one channel of two is cut."""
    i = keras.Input((8,))
    two = L.Dense(2, name="gate")(i)
    x = L.Dense(6, activation="sigmoid", name="a")(i) * ops.split(two, 2, axis=-1)[0]
    return keras.Model(i, L.Dense(2, name="out")(L.UnitNormalization()(x)))


@functools.cache
def net_of(make: Callable[[], Any]) -> Prepared:
    with float64():
        return prepared(make)


@functools.cache
def proof(make: Callable[[], Any], few: bool = True) -> Callable[[], None]:
    """The plans of the ring."""

    def attempts() -> None:
        with float64():
            net = net_of(make)
            for plan in net.plans(few):
                proven(net.model, plan, net.x)

    return attempts


def cuts(make: Callable[[], Any], channels: dict[str, list[int]]) -> None:
    with float64():
        net = net_of(make)
        proven(net.model, Plan.cut(trace(net.model), channels), net.x)


def uneven() -> None:
    """Of two runs of a grouped convolution one loses more."""
    cuts(mutant_nets.by_depth, {"first": [0], "runs": [0, 1]})


def heads() -> Any:
    i = keras.Input((2, 5))
    x = L.Dense(4, name="a")(i)
    return keras.Model(i, L.Dense(2)(L.MultiHeadAttention(3, 4, name="mha")(x, x)))


def narrow() -> None:
    """A width of one would let Keras take heads for positions."""
    cuts(heads, {"mha:1": [0], "mha:2": [0, 1, 2]})


def sliced() -> Any:
    i = keras.Input((4,))
    x = L.Dense(6, name="wide")(i)
    x = ops.concatenate([x[:, :2] * 2.0, x[:, 2:]], axis=-1)
    return keras.Model(i, L.Dense(2, name="head")(x))


def emptied_slice() -> None:
    cuts(sliced, {"wide": [0, 1]})


@functools.cache
def folded(beside: bool = False, **more: Any) -> Callable[[], None]:
    """A batch norm folded into a convolution: the outputs stay."""

    def attempt() -> None:
        with float64():
            i = keras.Input((8, 8, 4))
            x = L.Conv2D(4, 1, name="conv", **more)(i)
            y = L.BatchNormalization(epsilon=0.1, name="norm")(x)
            x = L.Add()([x, y]) if beside else y
            model = keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))
            woken(model, X, 0)
            small, _ = strip_with_report(model, fold_batchnorm=True)
            for expected, got in zip(outputs_of(model, X), outputs_of(small, X), strict=True):
                assert np.abs(expected - got).max() <= 1e-9 * np.abs(expected).max()

    return attempt


@functools.cache
def passed(make: Callable[[Any], Any], *stay: str) -> Callable[[], None]:
    """A branch that is zero: the outputs and the losses stay, and these layers."""

    def attempt() -> None:
        with float64():
            i = keras.Input((8, 8, 4), name="image")
            model = keras.Model(i, L.Conv2D(2, 3, name="head")(make(i)))
            woken(model, X, 0)
            for name, value in named_weights(model).items():
                if name.startswith("zero"):
                    value.assign(np.zeros(value.shape))
            small, _ = strip_with_report(model)
            assert set(stay) <= set(named_layers(small))
            assert np.allclose(outputs_of(model, X)[0], outputs_of(small, X)[0], atol=1e-9)
            assert len(model.losses) == len(small.losses)

    return attempt


def _acting(i: Any) -> Any:
    x = L.Conv2D(4, 1, name="stem")(i)
    y = L.ActivityRegularization(0.1, name="acting")(x)
    return L.Add(name="join")([x, L.Conv2D(4, 1, name="zero")(y)])


def _broadcast(i: Any) -> Any:
    one = L.GlobalAveragePooling2D(keepdims=True)(L.Conv2D(4, 1, name="narrow")(i))
    return L.Add(name="join")([one, L.Conv2D(4, 1, name="zero")(i)])


@functools.cache
def accounts(make: Callable[[], Any]) -> Callable[[], None]:
    """Asked, dead before and dead in consequence meet what is left, to the unit."""

    def attempt() -> None:
        model = make()
        for weight in named_weights(model).values():
            if weight.name in ("bias", "beta", "gamma"):
                weight.assign(np.random.default_rng(0).uniform(0.5, 1.5, weight.shape))
        first = next(name for name in named_weights(model) if name.endswith("kernel"))
        kernel = np.array(named_weights(model)[first])
        kernel[..., 2] = 0
        named_weights(model)[first].assign(kernel)
        named_weights(model)[first.replace("kernel", "bias")].assign(np.zeros(kernel.shape[-1]))
        plan = random_plan(model, np.random.default_rng(2))
        graph = trace(model)
        group = first.partition("/")[0]
        rest = [one for one in plan.cuts if one.group != group]
        plan = Plan(plan.model, (*rest, *Plan.cut(graph, {group: [0]}).cuts))
        _, account = account_of(model, plan)
        assert account.rest == Cost()
        kinds: dict[str, set[tuple[str, int]]] = collections.defaultdict(set)
        for lot in account.lots:
            kinds[lot.kind] |= {(lot.group, channel) for channel in lot.channels}
        asked = {(cut.group, channel) for cut in plan.cuts for channel in cut.drop.tolist()}
        assert kinds["asked"] <= asked
        assert kinds["already_dead"] == {(group, 2)}
        assert not kinds["in_consequence"] & (asked | kinds["already_dead"])

    return attempt


def _cut_of(role: str) -> Callable[[Any], Any]:
    """A zeroing that forgets what has this role."""

    def broken(old: Any) -> Any:
        def start(self: Any, *given: Any) -> None:
            old(self, *given)
            for name, cuts in self._cut.items():
                self._cut[name] = [one for one in cuts if one[0].role != role]

        return start

    return broken


def _ties_alone(old: Any) -> Any:
    def tie(self: Any, one: Any, other: Any, reason: str) -> None:
        both = (one >= 0) & (other >= 0)
        old(self, one[both], other[both], reason)

    return tie


def _everything(old: Any) -> Any:
    return lambda origins, half: old(origins, 0) | old(origins, 1)


class _Once(dict[Any, int]):
    """Counts everything as one."""

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __missing__(self, _: Any) -> int:
        return 1

    def update(self, *_: Any) -> None:
        pass


def _without(**gone: float) -> Callable[[Any], Any]:
    """A folding to which these weights of the batch norm look like nothing."""

    def broken(old: Any) -> Any:
        def folds(before: Any, norm: Any, weights: Any) -> Any:
            other = dict(weights)
            for inner, name in norm.weights.items():
                if inner in gone:
                    other[name] = np.full_like(other[name], gone[inner])
            return old(before, norm, other)

        return folds

    return broken


def _no_epsilon(old: Any) -> Any:
    def folds(before: Any, norm: Any, weights: Any) -> Any:
        name = norm.weights["moving_variance"]
        less = np.asarray(weights[name]) - norm.node.call.layer.epsilon
        return old(before, norm, {**weights, name: less})

    return folds


def _nothing(_: Any) -> Any:
    return lambda *_: None


def _says(wanted: Any) -> Callable[[Any], Any]:
    return lambda old: lambda *_: wanted


def _doubled(old: Any) -> Any:
    return lambda self, step: {
        name: (2 * delta, part) for name, (delta, part) in old(self, step).items()
    }


def _shifted(old: Any) -> Any:
    def gone(*given: Any) -> Any:
        return {name: (drop + 1) % 3 for name, drop in old(*given).items()}

    return gone


@dataclass(frozen=True)
class Case:
    """One break.

    Attributes:
        where: the module or class.
        name: what is put in the place of, by ``broken`` of what was there.
        check: what notices.
    """

    where: Any
    name: str
    broken: Callable[[Any], Any]
    check: Callable[[], None]


CASES = {
    "repeated channels taken for tiles": Case(
        slicing, "order_of", lambda old: lambda *given: old(*given) and "tile",
        proof(mutant_nets.chain),
    ),
    "positions in another order": Case(
        slicing, "sliced", lambda old: lambda *given: np.roll(old(*given), 1),
        proof(mutant_nets.perceptron),
    ),
    "the second lane of an axis forgotten": Case(
        carrying, "sliced_by_all", lambda old: lambda lanes, *given: old(lanes[:1], *given),
        proof(mutant_nets.NETS["attention einsum"]),
    ),
    "runs spread beside their place": Case(
        grouped, "spread", lambda old: lambda *given: np.roll(old(*given), 1, axis=-1),
        proof(mutant_nets.by_depth),
    ),
    "runs gathered beside their place": Case(
        leftovers, "gathered", lambda old: lambda *given: np.roll(old(*given), 1, axis=-1),
        proof(mutant_nets.by_depth),
    ),
    "runs may be uneven": Case(
        deciding, "evened", lambda old: lambda *given: given, uneven,
    ),
    "a shared layer takes the first constant for all": Case(
        deciding, "_agreed", lambda old: lambda reads: reads, proof(shared),
    ),
    "no axis has a least length": Case(deciding.Decision, "_least", _nothing, narrow),
    "a slice may become empty": Case(deciding.Decision, "_fill", _nothing, emptied_slice),
    "demands forgotten by strip": Case(
        deciding.Decision, "_demanded", _nothing, proof(mutant_nets.lengths)
    ),
    "demands forgotten by trace": Case(
        tracing, "unmet", _says([]), proof(mutant_nets.sums)
    ),
    "a neighbour's zero counts": Case(silence, "_half", _everything, proof(gate)),
    "a channel that meets none may leave": Case(
        Numbers, "tie", _ties_alone, proof(half_known, False)
    ),
    "a shared weight ties nothing": Case(tracing._Tracer, "_share", _nothing, proof(shared)),
    "readers keep their weights": Case(
        zeroing.Zeroed, "__init__", _cut_of("reads"), proof(mutant_nets.perceptron)
    ),
    "makers keep their weights": Case(
        zeroing.Zeroed, "__init__", _cut_of("makes"), proof(mutant_nets.lengths)
    ),
    "nothing rescaled": Case(
        carrying._Carrier, "_rescale", _nothing, proof(mutant_nets.NETS["attention cross"])
    ),
    "constants folded twice": Case(
        carrying._Carrier, "_deltas", _doubled, proof(mutant_nets.perceptron)
    ),
    "constants of what leaves forgotten": Case(
        carrying._Carrier, "_deltas", _says({}), proof(mutant_nets.perceptron)
    ),
    "epsilon of a folded batch norm": Case(folding, "_folded", _no_epsilon, folded()),
    "mean of a folded batch norm": Case(folding, "_folded", _without(moving_mean=0.0), folded()),
    "beta of a folded batch norm": Case(folding, "_folded", _without(beta=0.0), folded()),
    "gamma of a folded batch norm": Case(folding, "_folded", _without(gamma=1.0), folded()),
    "a batch norm folded beside a reader": Case(
        folding, "Counter", lambda old: _Once, folded(beside=True)
    ),
    "a batch norm folded across an activation": Case(
        folding, "_linear", _says(True), folded(activation="relu")
    ),
    "a loss leaves with its branch": Case(
        passing, "_acts", _says(False), passed(_acting, "acting", "join")
    ),
    "a narrow input stands for a broadcast sum": Case(
        joins, "only_one", _says(0), passed(_broadcast, "join")
    ),
    "asked for whatever left": Case(
        accounting, "_both", lambda old: lambda one, other: dict(one),
        accounts(mutant_nets.perceptron),
    ),
    "what was asked followed too": Case(
        accounting, "_less", lambda old: lambda one, other: dict(one),
        accounts(mutant_nets.perceptron),
    ),
    "other channels left": Case(accounting, "_gone", _shifted, accounts(mutant_nets.perceptron)),
    "lengths of what is left forgotten": Case(
        accounting, "_lengths", _says({}), accounts(mutant_nets.perceptron)
    ),
}  # fmt: skip


@functools.cache
def holds(check: Callable[[], None]) -> None:
    """Whether nothing is found where nothing is broken."""
    check()


@pytest.mark.parametrize("name", CASES)
def test_what_carries_the_rules_out_broken_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    holds(case.check)
    monkeypatch.setattr(case.where, case.name, case.broken(getattr(case.where, case.name)))
    with pytest.raises(Exception):  # noqa: B017  a shape that no longer fits is caught too
        case.check()
