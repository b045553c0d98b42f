"""Attention, einsum and normalisation over channels: groups by hand, and a cut is silence."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from attention_nets import NETS
from surgery_nets import float64, inputs_for, proven, random_plan, woken

from edgeprune.models import named_weights, parameters
from edgeprune.plans import Plan
from edgeprune.surgery import strip, trace, zero
from edgeprune.surgery.flows import Part
from edgeprune.surgery.rules import RULES
from edgeprune.surgery.rules.attention import MultiHeadAttentionRule
from edgeprune.surgery.rules.base import Sent
from edgeprune.surgery.rules.einsum import EinsumDenseRule
from edgeprune.surgery.rules.layer_norms import GroupNormRule, RMSNormRule

L = keras.layers


def ready(name: str, seed: int = 0) -> tuple[Any, list[np.ndarray]]:
    """The net, woken, its scales too, and four examples for each input."""
    model = NETS[name].make()
    x = [inputs_for(tuple(one.shape[1:]), seed + n) for n, one in enumerate(model.inputs)]
    rng = np.random.default_rng(seed)
    for variable in named_weights(model).values():
        if variable.name == "scale":
            variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
    woken(model, x, seed)
    return model, x


def attempts(name: str, seeds: range = range(4)) -> None:
    with float64():
        model, x = ready(name)
        for seed in seeds:
            proven(model, random_plan(model, np.random.default_rng(seed)), x)


@pytest.mark.parametrize("name", NETS)
def test_groups_are_those_written_by_hand(name: str) -> None:
    graph = trace(NETS[name].make())
    free = {g.name: (g.size, sorted((m.weight, m.axis) for m in g.members)) for g in graph.free}
    assert free == {one: (size, sorted(on)) for one, (size, on) in NETS[name].free.items()}
    ends = ("model input", "model output")
    fixed = {group.name: group.fixed for group in graph if group.fixed not in (None, *ends)}
    assert fixed == NETS[name].fixed


@pytest.mark.parametrize("name", NETS)
def test_a_cut_is_silence(name: str) -> None:
    attempts(name)


@pytest.mark.parametrize("name", NETS)
def test_channels_really_leave(name: str) -> None:
    """One channel of every free group: each loses exactly that one."""
    with float64():
        model, x = ready(name)
        graph = trace(model)
        small = proven(model, Plan.cut(graph, {group.name: [1] for group in graph.free}), x)
        assert parameters(small) < parameters(model)
        sizes = {group.name: group.size for group in trace(small)}
        assert all(sizes[group.name] == group.size - 1 for group in graph.free)


def test_configs_follow() -> None:
    def config(name: str, layer: str) -> dict[str, Any]:
        model = NETS[name].make()
        graph = trace(model)
        plan = Plan.cut(graph, {group.name: [0] for group in graph.free})
        return dict(strip(zero(model, plan)).get_layer(layer).get_config())

    found = config("cross", "mha")
    assert [found[key] for key in ("num_heads", "key_dim", "value_dim")] == [2, 3, 1]
    assert tuple(found["output_shape"]) == (5,)
    found = config("grouped", "gqa")
    assert [found["num_query_heads"], found["num_key_value_heads"], found["head_dim"]] == [4, 2, 3]
    assert config("norm groups", "g1")["groups"] == 3
    assert config("prenorm", "n1")["epsilon"] == pytest.approx(0.3 * 8 / 7)
    assert tuple(config("einsum", "two")["output_shape"]) == (6, 3, 4)


def test_what_is_no_plain_attention_is_a_wall() -> None:
    inputs = keras.Input((4, 5, 8))
    x = L.Dense(6, name="a")(inputs)
    attention = L.MultiHeadAttention(2, 3, attention_axes=(2,), name="mha")
    y, _ = attention(x, x, return_attention_scores=True)
    reason = trace(keras.Model(inputs, L.Dense(2)(y)))["a"].fixed
    assert reason == (
        "mha (MultiHeadAttention): it returns scores whose shape Keras takes for another"
    )


def test_a_zero_of_a_neighbour_frees_nothing() -> None:
    """A gate of one channel is zero when it is cut, but not when its neighbour is."""
    inputs = keras.Input((8,))
    gate = L.Dense(1, name="gate")(inputs)
    x = L.Dense(6, activation="sigmoid", name="a")(inputs) * gate
    graph = trace(keras.Model(inputs, L.UnitNormalization()(x) * 1.0))
    assert graph["a"].fixed is not None
    out = L.Dense(2)(L.UnitNormalization()(x))
    assert trace(keras.Model(inputs, out))["a"].fixed.startswith("the length over channels")


def test_a_bias_stays_where_it_was() -> None:
    """keras.ops.add takes positions for heads where there are as many and the width is one."""
    with float64():
        inputs = keras.Input((2, 5))
        x = L.Dense(4, name="a")(inputs)
        y = L.MultiHeadAttention(3, 4, name="mha")(x, x)
        model = keras.Model(inputs, L.Dense(2)(y))
        x = [inputs_for((2, 5), 0)]
        woken(model, x, 0)
        small = proven(model, Plan.cut(trace(model), {"mha:1": [0], "mha:2": [0, 1, 2]}), x)
        assert {"mha:1": 2, "mha:2": 2}.items() <= {g.name: g.size for g in trace(small)}.items()


def test_no_bias_is_made_for_what_leaves_too() -> None:
    """Only the channel that is cut reads the second head, and what it reads is a constant."""
    with float64():
        inputs = keras.Input((5, 4))
        x = L.Dense(6, activation="sigmoid", name="a")(inputs)
        y = L.MultiHeadAttention(2, 3, use_bias=False, name="mha")(x, x)
        model = keras.Model(inputs, L.Dense(3, name="out")(L.Concatenate()([x, y])))
        x = [inputs_for((5, 4), 0)]
        woken(model, x, 0)
        for weight, place in (
            ("a/kernel", np.s_[:, :5]),
            ("mha/value_dense/kernel", np.s_[5, 1]),
            ("mha/output_dense/kernel", np.s_[1, :, 1:]),
        ):
            value = np.array(named_weights(model)[weight])
            value[place] = 0
            named_weights(model)[weight].assign(value)
        small = proven(model, Plan.cut(trace(model), {"mha": [0]}), x)
    assert small.get_layer("mha").num_heads == 1


class _ForgetsTheScale(MultiHeadAttentionRule):
    def rescaled(self, call: Any, after: Any) -> Any:
        return {}


class _ForgetsAQueryBias(MultiHeadAttentionRule):
    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        return _without(super().send(call, inputs, book), "key_dense/bias", 1)


class _ForgetsTheDemand(MultiHeadAttentionRule):
    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        return Sent(sent.outputs, sent.parts)


class _ForgetsTheMean(RMSNormRule):
    def rescaled(self, call: Any, after: Any) -> Any:
        return {}


class _ForgetsEpsilon(RMSNormRule):
    def resized(self, call: Any, config: Any, after: Any) -> Any:
        return config


class _SplitsNormGroups(GroupNormRule):
    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        tie, book.tie = book.tie, lambda *_: None
        try:
            return super().send(call, inputs, book)
        finally:
            book.tie = tie


class _SwapsTheBias(EinsumDenseRule):
    def shifted(self, call: Any, part: Part, bias: Any, delta: Any) -> Any:
        return super().shifted(call, part, bias, delta[::-1])


def _without(sent: Sent, weight: str, axis: int) -> Sent:
    parts = tuple(part for part in sent.parts if (part.weight, part.axis) != (weight, axis))
    return Sent(sent.outputs, parts, sent.demands)


MUTANTS = {
    "key width without its scale": ("cross", L.MultiHeadAttention, _ForgetsTheScale()),
    "a bias forgotten": ("cross", L.MultiHeadAttention, _ForgetsAQueryBias()),
    "scores read nothing": ("cross", L.MultiHeadAttention, _ForgetsTheDemand()),
    "the mean of squares forgotten": ("prenorm", L.RMSNormalization, _ForgetsTheMean()),
    "epsilon forgotten": ("prenorm", L.RMSNormalization, _ForgetsEpsilon()),
    "half a norm group leaves": ("norm groups", L.GroupNormalization, _SplitsNormGroups()),
    "constants in the wrong order": ("einsum", L.EinsumDense, _SwapsTheBias()),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    net, kind, rule = MUTANTS[name]
    monkeypatch.setitem(RULES, kind, rule)  # type: ignore[arg-type]
    with pytest.raises(Exception):  # noqa: B017  a shape that no longer fits is caught too
        attempts(net, range(8))
