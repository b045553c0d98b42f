"""Groups that can only leave at the price of other outputs, and ``cut``."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import inputs_for, woken

from edgeprune.errors import PlanError
from edgeprune.models import named_weights
from edgeprune.plans import Cut, Plan
from edgeprune.surgery import cut, cut_with_report, strip, trace, zero

L = keras.layers


def _encoder() -> Any:
    """A transformer's block behind an embedding by Dense; its width runs through layer norms."""
    i = keras.Input((6, 8), name="i")
    x = L.Dense(12, name="embed")(i)
    a = L.MultiHeadAttention(2, 4, name="attend")(x, x)
    x = L.LayerNormalization(name="norm_1")(L.Add()([x, a]))
    h = L.Dense(12, name="narrow")(L.Dense(20, activation="relu", name="wide")(x))
    x = L.LayerNormalization(name="norm_2")(L.Add()([x, h]))
    s = L.Dense(6, activation="softmax", name="gate")(x)
    x = L.Dense(9, name="mix")(L.Concatenate()([x, s]))
    x = L.GroupNormalization(1, name="whole")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling1D()(x)))


MIXED = {
    "embed": "norm_1 takes means over channels",
    "gate": "softmax mixes channels",
    "mix": "whole takes means over channels",
}


X = inputs_for((6, 8), 0)


def _awake() -> Any:
    keras.utils.set_random_seed(0)
    model = _encoder()
    woken(model, X, 0)
    return model


def test_groups_mixed_without_weights_are_fixed_or_marked() -> None:
    model = _encoder()
    exact, inexact = trace(model), trace(model, inexact=True)
    assert {g.name: g.fixed for g in exact if g.fixed} == {
        "i": "model input",
        "head": "model output",
        **MIXED,
    }
    assert all(group.inexact is None for group in exact)
    assert {g.name: g.inexact for g in inexact if g.inexact} == MIXED
    assert {g.name for g in inexact if g.fixed} == {"i", "head"}
    assert [(g.name, g.size, g.macs, g.parameters) for g in exact] == [
        (g.name, g.size, g.macs, g.parameters) for g in inexact
    ]
    assert inexact["embed"].facts()["inexact"] == MIXED["embed"]


def test_what_is_counted_is_not_freed() -> None:
    i = keras.Input((6,))
    x = L.Dense(5, name="a")(i)
    places = keras.ops.cast(keras.ops.argmax(x, axis=-1), x.dtype)
    model = keras.Model(i, L.Dense(3)(keras.ops.reshape(places, (-1, 1))))
    assert "counts them" in str(trace(model, inexact=True)["a"].fixed)


def test_what_stays_of_an_inexact_cut_are_the_old_weights() -> None:
    """Against the same layers built by hand: an inexact cut is a slice of each weight."""
    model = _awake()
    graph = trace(model, inexact=True)
    plan = Plan.cut(graph, {"embed": [0, 5, 11], "gate": [1], "mix": [8, 2]})
    small, report = cut_with_report(model, plan)
    assert dict(report.inexact) == MIXED
    assert dict(report.removed) == {"embed": 3, "gate": 1, "mix": 2}
    assert f"embed: inexact, {MIXED['embed']}" in report.lines()
    assert report.facts()["inexact"] == MIXED
    old, new = named_weights(model), named_weights(small)
    gone: dict[tuple[str, int], np.ndarray] = {}
    for one in plan.cuts:
        for member in graph[one.group].members:
            leaves = np.isin(member.channel, one.drop)
            place = (member.weight, member.axis)
            gone[place] = gone.get(place, False) | leaves
    sliced = {name: np.asarray(value) for name, value in old.items()}
    for (name, axis), leaves in gone.items():
        sliced[name] = np.compress(~leaves, sliced[name], axis=axis)
    assert set(old) == set(new)
    for name, value in new.items():
        np.testing.assert_array_equal(np.asarray(value), sliced[name], err_msg=name)
    cost = plan.cost(graph)
    assert small.count_params() == cost.parameters
    assert not np.allclose(small(X), model(X), atol=1e-3)


def test_an_inexact_cut_trains_saves_and_opens_again(tmp_path: Any) -> None:
    keras.utils.set_random_seed(0)
    model = _encoder()
    graph = trace(model, inexact=True)
    half = {group.name: range(0, group.size, 2) for group in graph.free}
    small = cut(model, Plan.cut(graph, half))
    small.compile("adam", "mse")
    small.fit(X, np.zeros((len(X), 3)), verbose=0)
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(X), small(X))


def test_cut_of_an_exact_plan_is_strip_of_zero() -> None:
    model = _awake()
    graph = trace(model)
    plan = Plan.cut(graph, {group.name: range(0, group.size, 3) for group in graph.free})
    one, other = cut(model, plan), strip(zero(model, plan))
    assert [v.path for v in one.weights] == [v.path for v in other.weights]
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_cut_strips_what_was_dead_already() -> None:
    model = _encoder()
    kernel = named_weights(model)["wide/kernel"]
    value = np.array(kernel)
    value[:, 3] = 0.0
    kernel.assign(value)
    small, report = cut_with_report(model, Plan.cut(trace(model, inexact=True), {"gate": [0]}))
    assert report.removed == {"wide": 1, "gate": 1}
    assert small.get_layer("wide").units == 19
    untouched = cut(model, Plan(trace(model).model))
    assert untouched.get_layer("wide").units == 19
    assert untouched is not model


def test_zero_refuses_what_zeros_do_not_silence() -> None:
    model = _encoder()
    plan = Plan.cut(trace(model, inexact=True), {"embed": [1]})
    with pytest.raises(PlanError, match=r"'embed', which zeros do not silence: norm_1 .* cut\("):
        zero(model, plan)
    with pytest.raises(PlanError, match="'embed' keeps its size: norm_1 takes means"):
        Plan.cut(trace(model), {"embed": [1]})


@pytest.mark.parametrize(
    ("cuts", "said"),
    [
        ({"head": [0]}, "'head', which keeps its size: model output"),
        ({"embed": [12]}, "channel 12 of group 'embed', which has 0 to 11"),
        ({"mix": range(9)}, "all 9 channels of group 'mix'"),
        ({"embd": [0]}, "'embd', which this model has not; did you mean 'embed'"),
    ],
)
def test_cut_refuses_what_cannot_leave(cuts: Any, said: str) -> None:
    model = _encoder()
    before = [np.array(value) for value in model.get_weights()]
    drops = tuple(Cut(name, np.array(list(drop), np.int32)) for name, drop in cuts.items())
    with pytest.raises(PlanError, match=said):
        cut(model, Plan(trace(model).model, drops))
    with pytest.raises(PlanError, match="made for the model"):
        cut(keras.Sequential([keras.Input((2,)), L.Dense(3)]), Plan(trace(model).model, drops))
    for old, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, value)
