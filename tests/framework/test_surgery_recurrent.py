"""Recurrent layers: their groups by hand, and a cut is silence in all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from recurrent_nets import NETS, Net
from surgery_nets import float64, inputs_for, outputs_of, proven, random_plan, woken

from edgeprune.models import macs, named_layers, parameters
from edgeprune.models.names import named_states
from edgeprune.plans import Cut, Plan
from edgeprune.surgery import strip, strip_with_report, trace, zero
from edgeprune.surgery.flows import Part
from edgeprune.surgery.rules import RULES
from edgeprune.surgery.rules.base import Sent
from edgeprune.surgery.rules.bidirectional import BidirectionalRule
from edgeprune.surgery.rules.recurrent import RecurrentRule

L = keras.layers


def ready(net: Net, seed: int = 0) -> tuple[Any, list[Any]]:
    """The model, woken, and four examples for each of its inputs."""
    model = net.make()
    shapes = [tensor.shape[1:] for tensor in model.inputs]
    if net.words:
        rng = np.random.default_rng(seed)
        x = [rng.integers(0, 9, size=(4, *shape)).astype("float64") for shape in shapes]
        x[0][0, :2] = 0
    else:
        x = [inputs_for(shape, seed + place) for place, shape in enumerate(shapes)]
    for layer in named_layers(model).values():
        if isinstance(layer, L.Embedding):
            table = np.random.default_rng(seed).normal(size=layer.embeddings.shape)
            layer.embeddings.assign(table)
    woken(model, x, seed)
    return model, x


def attempts(net: Net) -> None:
    with float64():
        model, x = ready(net)
        for seed in range(3):
            plan = random_plan(model, np.random.default_rng(seed))
            proven(model, plan, x)
        empty_units(model)
        proven(model, Plan(plan.model, ()), x)


def empty_units(model: Any) -> None:
    """In every cell, unit 1 is made by nothing, and unit 2, which none of the cell reads, by a
    bias alone."""
    for layer in named_layers(model).values():
        if isinstance(layer, L.LSTMCell | L.GRUCell | L.SimpleRNNCell):
            for weight in layer.weights:
                value = np.array(weight)
                value[..., 1 :: layer.units] = 0
                if weight.name != "bias":
                    value[..., 2 :: layer.units] = 0
                if weight.name == "recurrent_kernel":
                    value[2] = 0
                weight.assign(value)


@pytest.mark.parametrize("name", NETS)
def test_groups_are_those_written_by_hand(name: str) -> None:
    net = NETS[name]
    found = {
        group.name: (group.size, sorted((m.weight, m.axis) for m in group.members))
        for group in trace(net.make()).free
    }
    assert found == {group: (size, sorted(parts)) for group, (size, parts) in net.groups.items()}


@pytest.mark.parametrize("name", NETS)
def test_a_cut_is_silence(name: str) -> None:
    attempts(NETS[name])


@pytest.mark.parametrize("name", NETS)
def test_costs_of_a_unit_are_exact(name: str) -> None:
    model, _ = ready(NETS[name])
    graph = trace(model)
    for group in graph.free:
        small = strip(zero(model, Plan(graph.model, (Cut(group.name, np.array([1], np.int32)),))))
        assert macs(model) - macs(small) == group.macs, group.name
        assert parameters(model) - parameters(small) == group.parameters, group.name


def test_states_between_calls_are_kept_and_sliced() -> None:
    with float64():
        model, _ = ready(NETS["stateful"])
        before = {name: np.asarray(state) for name, state in named_states(model).items()}
        assert all(value.any() for value in before.values())
        graph = trace(model)
        cut = Cut("one", np.array([0, 3], np.int32))
        zeroed = zero(model, Plan(graph.model, (cut,)))
        small = strip(zeroed)
        after = {name: np.asarray(state) for name, state in named_states(small).items()}
        assert after.keys() == before.keys() == named_states(zeroed).keys()
        for name, value in before.items():
            expected = np.delete(value, [0, 3], axis=1) if name.startswith("one") else value
            assert np.array_equal(after[name], expected)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("used", ["one", "chain"])
def test_units_that_nothing_makes_leave_with_those_that_only_they_feed(
    kind: str, used: str
) -> None:
    """Unit 1 is made of nothing, unit 2 of unit 1 alone: both are zero at every step."""
    with float64():
        model = keras.Sequential(
            [keras.Input((6, 3)), getattr(L, kind)(5, name="rnn"), L.Dense(4, name="end")]
        )
        x = [inputs_for((6, 3), 1)]
        woken(model, x, 1)
        cell = model.get_layer("rnn").cell
        kernel, recurrent, bias = (np.array(w) for w in cell.get_weights())
        silent = [1] if used == "one" else [1, 2]
        for unit in silent:
            kernel[:, unit::5] = bias[..., unit::5] = recurrent[:, unit::5] = 0
        if used == "chain":
            recurrent[1, 2::5] = 0.7
        cell.set_weights([kernel, recurrent, bias])
        small, report = strip_with_report(model)
        assert dict(report.removed) == {"rnn": len(silent)}
        assert np.allclose(outputs_of(model, x)[0], outputs_of(small, x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "start", "leaves"), [("tanh", 0, 1), ("sigmoid", 0, 0), ("tanh", 1, 0)]
)
def test_a_unit_is_zero_only_from_zero_and_where_its_activation_keeps_it(
    activation: str, start: int, leaves: int
) -> None:
    with float64():
        model = keras.Sequential(
            [
                keras.Input((6, 3), batch_size=4),
                L.LSTM(5, activation=activation, stateful=True, name="rnn"),
                L.Dense(4, name="end"),
            ]
        )
        x = [inputs_for((6, 3), 1)]
        woken(model, x, 1)
        layer = model.get_layer("rnn")
        layer.cell.set_weights([_emptied(w) for w in layer.cell.get_weights()])
        for state in layer.states:
            state.assign(np.full(state.shape, float(start)))
        small, report = strip_with_report(model)
        assert report.removed.get("rnn", 0) == leaves
        assert np.allclose(outputs_of(model, x)[0], outputs_of(small, x)[0], rtol=0, atol=1e-12)


def _emptied(weight: Any) -> np.ndarray:
    value = np.array(weight)
    value[..., 2::5] = 0
    return value


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN"])
def test_a_constant_moves_into_the_bias(name: str, bias: bool) -> None:
    with float64():
        layer = {
            "Bidirectional": lambda: L.Bidirectional(L.GRU(4, use_bias=bias), name="rnn"),
            "RNN": lambda: L.RNN([L.LSTMCell(4, use_bias=bias), L.LSTMCell(3)], name="rnn"),
        }.get(name, lambda: getattr(L, name)(4, use_bias=bias, name="rnn"))()
        model = keras.Sequential(
            [
                keras.Input((6, 3)),
                L.Dense(5, activation="sigmoid", name="front"),
                layer,
                L.Dense(4, name="end"),
            ]
        )
        x = [inputs_for((6, 3), 1)]
        woken(model, x, 1)
        front = model.get_layer("front")
        kernel, offset = front.get_weights()
        kernel[:, 2] = 0  # sigmoid(bias) at every step
        front.set_weights([kernel, offset])
        small, report = strip_with_report(model)
        assert dict(report.removed) == {"front": 1}
        assert np.allclose(outputs_of(model, x)[0], outputs_of(small, x)[0], rtol=0, atol=1e-12)
        loaded = type(small).from_config(small.get_config())
        assert [w.shape for w in loaded.weights] == [w.shape for w in small.weights]


def _wall(layer: Any) -> Any:
    shape = (5, 4, 4, 2) if isinstance(layer, L.ConvLSTM2D) else (5, 3)
    return keras.Sequential([keras.Input(shape), L.Dense(4, name="front"), layer])


class _Cell(L.LSTMCell):
    pass


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: L.ConvLSTM2D(3, 3, name="wall"), "recurrence by convolution is not followed"),
        (lambda: L.RNN(_Cell(3), name="wall"), "its cell is a _Cell"),
        (lambda: L.TimeDistributed(L.UnitNormalization(), name="wall"), None),
        (lambda: L.TimeDistributed(_Dense(3), name="wall"), "no rule for this class"),
    ],
)
def test_walls_say_why(make: Any, reason: str | None) -> None:
    fixed = trace(_wall(make()))["front"].fixed
    assert (reason is None) or (fixed and reason in fixed), fixed


class _Dense(L.Dense):
    pass


class _ForgetsItsOwnUnits(RecurrentRule):
    """The rows of the recurrent kernel."""

    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        parts = tuple(p for p in sent.parts if (p.weight[-16:], p.axis) != ("recurrent_kernel", 0))
        return replace(sent, parts=parts)


class _RepeatsTheGates(RecurrentRule):
    """A unit's gates beside each other, as they are not."""

    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        return replace(sent, parts=tuple(map(self._wrong, sent.parts)))

    @staticmethod
    def _wrong(part: Part) -> Part:
        if part.role != "makes":
            return part
        units = np.unique(part.ids)
        return replace(part, ids=np.repeat(units, part.ids.size // units.size))


class _StartsFromZero(BidirectionalRule):
    """Whatever the initial state."""

    def runs(self, call: Any, weights: Any, values: Any) -> Any:
        zeros = [np.zeros(value.shape) for value in values[1:]]
        return super().runs(call, weights, [values[0], *zeros])


class _UnmaskedConstants(RecurrentRule):
    """Whatever is masked."""

    def constant(self, call: Any, weights: Any, values: Any) -> Any:
        seen = replace(call, inputs=call.inputs[:1])
        return super().constant(seen, weights, values[:1])


class _SecondBias(RecurrentRule):
    """Constants into the bias of the state, which a gate multiplies."""

    def shifted(self, call: Any, part: Any, bias: Any, delta: Any) -> Any:
        made = super().shifted(call, part, bias, delta)
        return made[::-1] if bias is None else bias + (made - bias)[::-1]


class _HalvesApart(BidirectionalRule):
    """Units of one direction leave without those of the other."""

    def lanes(self, call: Any, made: Any, book: Any) -> Any:
        class Loose:
            def tie(self, *_: Any) -> None:
                pass

        return super().lanes(call, made, Loose())  # type: ignore[arg-type]


class _KeepsStates(RecurrentRule):
    """States between calls are forgotten."""

    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        return replace(sent, parts=tuple(p for p in sent.parts if "states" not in p.weight))


MUTANTS = {
    "rows of the recurrent kernel forgotten": ("stacked", L.LSTM, _ForgetsItsOwnUnits()),
    "gates in the wrong order": ("stacked", L.LSTM, _RepeatsTheGates()),
    "the initial state forgotten": ("started", L.Bidirectional, _StartsFromZero()),
    "a mask forgotten": ("masked", L.SimpleRNN, _UnmaskedConstants()),
    "a constant in the wrong bias": ("gru", L.GRU, _SecondBias()),
    "directions apart": ("crnn", L.Bidirectional, _HalvesApart()),
    "states forgotten": ("stateful", L.LSTM, _KeepsStates()),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, kind, rule = MUTANTS[name]
    monkeypatch.setitem(RULES, kind, rule)  # type: ignore[arg-type]
    with pytest.raises(Exception):  # noqa: B017  a shape that no longer fits is caught too
        attempts(NETS[net])
