"""A cut is silence in every kind of coupling: residuals, concats, slices, shared and nested models;
and the groups are the ones written down by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, outputs_of, proven, random_plan, woken
from zoo_nets import OUT, ZOO, resized

from edgeprune.errors import ModelError
from edgeprune.models import load_model, parameters, save_model, values_digest
from edgeprune.plans import Mask, Plan
from edgeprune.surgery import strip, trace, zero
from edgeprune.surgery.rules import RULES
from edgeprune.surgery.rules.base import Rule

L = keras.layers
NETS = pytest.mark.parametrize("make", ZOO, ids=lambda make: make.__name__)


def given(model: Any, seed: int = 0) -> list[np.ndarray]:
    return [inputs_for(tuple(i.shape[1:]), seed + n) for n, i in enumerate(model.inputs)]


@NETS
def test_groups_are_those_written_by_hand(make: Any) -> None:
    found = {
        group.name: (group.size, sorted((m.weight, m.axis) for m in group.members))
        if group.fixed is None
        else group.fixed
        for group in trace(make())
        if group.fixed != "model input"
    }
    assert found == {
        name: group if isinstance(group, str) else (group[0], sorted(group[1]))
        for name, group in ZOO[make].items()
    }


@NETS
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 12))]
)
def test_a_cut_is_silence(make: Any, seed: int) -> None:
    with float64():
        model = make()
        x = given(model, seed)
        woken(model, x, seed)
        # TensorFlow resizes in float32.
        most = 1e-6 if make is resized else 1e-9
        proven(model, random_plan(model, np.random.default_rng(seed)), x, most=most)


@NETS
def test_channels_really_leave(make: Any) -> None:
    """Half of every free group cut: no free group keeps its size."""
    model = make()
    graph = trace(model)
    plan = Plan.cut(graph, {g.name: range(1, g.size, 2) for g in graph.free if g.size > 1})
    small = strip(zero(model, plan))
    assert parameters(small) < parameters(model)
    sizes = {group.name: group.size for group in trace(small)}
    for group in graph.free:
        assert sizes[group.name] == group.size - group.size // 2, group.name


@NETS
def test_what_is_stripped_saves_loads_and_trains(make: Any, tmp_path: Any) -> None:
    model = make()
    graph = trace(model)
    small = strip(zero(model, Plan.cut(graph, {g.name: [0] for g in graph.free if g.size > 1})))
    save_model(small, tmp_path / "small.keras")
    loaded = load_model(tmp_path / "small.keras")
    assert values_digest(loaded) == values_digest(small)
    loaded.compile("sgd", "mse")
    keras.utils.set_random_seed(0)
    x = [array.astype("float32") for array in given(model)]
    wanted = outputs_of(loaded, x)
    loaded.fit(x, wanted if len(wanted) > 1 else wanted[0], verbose=0)


class _Forgetful(Rule):
    """A rule that forgets or mixes up one thing of another one."""

    def __init__(self, rule: Rule, spoil: Any) -> None:
        self._rule, self._spoil = rule, spoil

    def __getattribute__(self, name: str) -> Any:
        if name in ("_rule", "_spoil", "send"):
            return object.__getattribute__(self, name)
        return getattr(self._rule, name)

    def send(self, *arguments: Any) -> Any:
        return self._spoil(self._rule.send(*arguments), *arguments)


def _rolled(sent: Any, *_: Any) -> Any:
    """The lanes of the output, one place on."""
    flow = tuple(tuple(np.roll(ids, 1) for ids in lanes) for lanes in sent.outputs[0])
    return type(sent)((flow, *sent.outputs[1:]), sent.parts, sent.demands)


BROKEN = {
    "UpSampling2D": ("u_net", _rolled),
    "Concatenate": ("inception", _rolled),
    "Reshape": ("turned", _rolled),
    "SeparableConv2D": ("ds_cnn", None),
    "Permute": ("turned", None),
    "PReLU": ("borders", None),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_rule_is_caught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, spoil = BROKEN[kind]
    make = next(make for make in ZOO if make.__name__ == name)
    with float64():
        model = make()
        x = given(model)
        woken(model, x, 0)

        def attempts() -> None:
            for seed in range(4):
                proven(model, random_plan(model, np.random.default_rng(seed)), x)

        attempts()
        broken = _Forgetful(RULES[getattr(L, kind)], spoil or _without_first_part)
        monkeypatch.setitem(RULES, getattr(L, kind), broken)  # type: ignore[arg-type]
        with pytest.raises((AssertionError, ModelError)):
            attempts()


def _without_first_part(sent: Any, *_: Any) -> Any:
    if sent.parts:
        return type(sent)(sent.outputs, sent.parts[1:], sent.demands)
    return _rolled(sent)


def test_a_slice_that_would_be_empty_keeps_one_channel() -> None:
    i = keras.Input((4,))
    x = L.Dense(6, name="wide")(i)
    x = keras.ops.concatenate([x[:, :2] * 2.0, x[:, 2:]], axis=-1)
    model = keras.Model(i, L.Dense(2, name="head")(x))
    small = strip(zero(model, Plan.cut(trace(model), {"wide": [0, 1]})))
    assert small.get_layer("wide").units == 5
    data = inputs_for((4,), 0).astype("float32")
    zeroed = zero(model, Plan.cut(trace(model), {"wide": [0, 1]}))
    assert np.allclose(zeroed(data), small(data), atol=1e-6)


def test_output_reason_wins() -> None:
    assert OUT in {group.fixed for group in trace(next(iter(ZOO))())}


def test_lists_are_rounded_as_keras_rounds_them() -> None:
    """To float32, also where it computes in float64."""
    with float64():
        i = keras.Input((4,))
        x = L.Dense(5, activation="sigmoid", name="a")(i)
        x = L.Rescaling([0.1, 0.2, 0.3, 0.4, 0.7], offset=[0.3, 0.9, 0.6, 0.1, 0.7])(x)
        model = keras.Model(i, L.Dense(3, name="head")(x))
        x = inputs_for((4,), 0)
        woken(model, x, 0)
        keep = np.ones((4, 5), bool)
        keep[:, [1, 4]] = False
        plan = Plan(trace(model).model, (), (Mask("a/kernel", keep),))
        assert proven(model, plan, x).get_layer("a").units == 3
