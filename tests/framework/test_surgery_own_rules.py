"""A rule for a user's own layer, as docs/layers.md writes it: the page's own code is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, proven, random_plan, woken

from edgeprune.errors import ModelError
from edgeprune.inspection import inspect_model
from edgeprune.models import layer_macs
from edgeprune.plans import Plan
from edgeprune.surgery import cut, strip, trace, zero
from edgeprune.surgery.flows import Part, Sent
from edgeprune.surgery.rules.base import Rule, weighed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layers.md"
L = keras.layers


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's blocks of Python define; the first one is a sketch on a model."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"keras": keras}
    for block in blocks[1:]:
        exec(block, names)
    return names


@pytest.mark.parametrize("name", ["Swish2", "Gain"])
def test_channels_pass_through_a_layer_of_the_users(page: dict[str, Any], name: str) -> None:
    with float64():
        i = keras.Input((6,))
        x = page[name](name="own")(L.Dense(8, activation="tanh", name="first")(i))
        model = keras.Model(i, L.Dense(3, name="head")(x))
        data = inputs_for((6,), 0)
        woken(model, data, 0)
        graph = trace(model)
        assert graph["first"].fixed is None
        weights = {member.weight for member in graph["first"].members}
        assert ("own/gain" in weights) == (name == "Gain")
        for seed in range(4):
            zeroed = zero(model, random_plan(model, np.random.default_rng(seed)))
            small = strip(zeroed)
            assert np.allclose(zeroed(data), small(data), rtol=0, atol=1e-9)
        assert small.get_layer("first").units < 8


def test_channels_pass_through_a_function_of_the_users(page: dict[str, Any]) -> None:
    with float64():
        i = keras.Input((6,))
        x = L.Dense(8, activation=page["wave"], name="first")(i)
        model = keras.Model(i, L.Dense(3, name="head")(x))
        data = inputs_for((6,), 0)
        woken(model, data, 0)
        assert trace(model)["first"].fixed is None
        proven(model, random_plan(model, np.random.default_rng(0)), data)


def test_a_layer_of_the_users_with_channels_inside(page: dict[str, Any]) -> None:
    """As many inside as go in: what is inside is not taken for what goes in."""
    with float64():
        i = keras.Input((5, 6))
        x = L.Dense(8, activation="relu", name="first")(i)
        x = L.Dense(7, name="last")(page["Squeeze"](8, name="own")(x))
        model = keras.Model(i, L.Dense(3, name="head")(L.Flatten()(x)))
        data = inputs_for((5, 6), 0)
        woken(model, data, 0)
        graph = trace(model)
        assert {group.name for group in graph.free} == {"first", "own", "last"}
        for seed in range(4):
            proven(model, random_plan(model, np.random.default_rng(seed)), data)
        proven(model, Plan.cut(graph, {"first": [1, 2]}), data)
        small = strip(zero(model, Plan.cut(graph, {"own": [0, 3], "first": [1]})))
        assert small.get_layer("own").squeeze.kernel.shape == (7, 6)


def test_what_own_layers_multiply_is_what_they_say(page: dict[str, Any]) -> None:
    i = keras.Input((10, 3))
    x = L.Dense(16, name="first")(i)
    x = page["Squeeze"](5, name="squeeze")(x)
    x = page["Project"](14, name="project")(x)
    model = keras.Model(i, L.Dense(2, name="head")(x))
    macs = layer_macs(model)
    assert (macs["squeeze"], macs["project"]) == (16 * 5 + 5 * 16, 10 * 16 * 14)
    assert inspect_model(model)["macs_estimated"] == []
    graph = trace(model)
    plan = Plan.cut(graph, {"first": [0, 3], "squeeze": [1], "project": [2]})
    small = cut(model, plan)
    assert plan.cost(graph).macs == sum(layer_macs(small).values())
    assert (layer_macs(small)["squeeze"], layer_macs(small)["project"]) == (112, 10 * 14 * 13)


def test_an_own_layer_that_does_not_say_what_it_multiplies_is_named() -> None:
    class Silent(L.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(name="w", shape=(shape[-1], 2))

        def call(self, x: Any) -> Any:
            return x @ self.w

    i = keras.Input((7,))
    model = keras.Model(i, Silent(name="own")(L.Dense(6)(i)))
    assert inspect_model(model)["macs_estimated"] == ["own"]


class _Fails(Rule):
    def send(self, call: Any, inputs: Any, book: Any) -> Any:
        raise ValueError("no such luck")


class _Gives(Rule):
    def __init__(self, what: Any) -> None:
        self.what = what

    def send(self, call: Any, inputs: Any, book: Any) -> Any:
        return self.what(inputs[0])


class _FailsLater(Rule):
    def constant(self, call: Any, weights: Any, values: Any) -> Any:
        return values[7]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (_Fails(), "_Fails.send fails (ValueError: no such luck)"),
        (_Gives(lambda flow: None), "gives NoneType, not a Sent"),
        (_Gives(lambda flow: Sent(())), "lanes for 0 outputs; the layer has 1"),
        (_Gives(lambda flow: Sent(((*flow, ()),))), "2 axes; without the batch it has 1"),
        (_Gives(lambda flow: Sent((((flow[0][0][:2],),),))), "2 channels on axis 0 of output 0"),
        (
            _Gives(lambda flow: Sent((flow,), (Part("gain", 5, flow[0][0], "makes"),))),
            "axis 5 of weight 'gain'",
        ),
        (
            _Gives(lambda flow: Sent((flow,), (Part("gain", 0, flow[0][0][:2], "makes"),))),
            "2 channels on axis 0 of weight 'gain'",
        ),
        (
            _Gives(lambda flow: Sent((flow,), tuple(weighed("gain", 0, flow[0], "make")))),  # type: ignore[arg-type]
            "the role 'make'; roles are makes, reads, follows",
        ),
        (_FailsLater(), "_FailsLater.constant fails (IndexError"),
        ("mine", "edgeprune_rule of Own is 'mine'"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(rule: Any, says: str) -> None:
    class Own(L.Layer):
        edgeprune_rule = rule

        def build(self, shape: Any) -> None:
            self.gain = self.add_weight(name="gain", shape=shape[-1:])

        def call(self, x: Any) -> Any:
            return x * self.gain

    i = keras.Input((7,))
    model = keras.Model(i, L.Dense(3)(Own(name="own")(L.Dense(6, name="first")(i))))
    with pytest.raises(ModelError) as caught:
        strip(model)
    assert "layer 'own'" in str(caught.value) and says in str(caught.value)


def test_a_rule_that_forgets_a_weight_is_named() -> None:
    class Forgetful(L.Layer):
        edgeprune_rule = Rule()

        def build(self, shape: Any) -> None:
            self.gain = self.add_weight(name="gain", shape=shape[-1:])

        def call(self, x: Any) -> Any:
            return x * self.gain

    i = keras.Input((7,))
    x = Forgetful(name="own")(L.Dense(6, name="first")(i))
    model = keras.Model(i, L.Dense(3)(x))
    with pytest.raises(ModelError, match=r"'own/gain' has shape .* the rule of Forgetful \(Rule\)"):
        cut(model, Plan.cut(trace(model), {"first": [1]}))


def test_a_layer_of_the_users_that_makes_channels(page: dict[str, Any]) -> None:
    """Its rule says nothing of constants: nothing may be taken for known."""
    with float64():
        i = keras.Input((6,))
        x = L.Dense(8, name="first")(i)
        x = L.Dense(7, activation="tanh", name="last")(page["Project"](8, name="own")(x))
        model = keras.Model(i, L.Dense(3, name="head")(x))
        data = inputs_for((6,), 0)
        for weight in model.weights:
            weight.assign(np.random.default_rng(0).normal(size=weight.shape))
        graph = trace(model)
        assert [group.size for group in graph.free] == [8, 8, 7]
        for cuts in ({"first": [2]}, {"own": [2, 5]}, {"first": [0], "own": [7], "last": [1]}):
            small = proven(model, Plan.cut(graph, cuts), data)
            widths = [small.get_layer(name).width if name == "own" else small.get_layer(name).units
                      for name in ("first", "own", "last")]  # fmt: skip
            assert widths == [
                size - len(cuts.get(name, []))
                for name, size in (("first", 8), ("own", 8), ("last", 7))
            ]


def test_a_rule_that_does_not_fit_its_layer_is_named() -> None:
    class Forgetful(Rule):
        def send(self, call: Any, inputs: Any, book: Any) -> Sent:
            return Sent((inputs[0],), tuple(weighed("gain", 0, inputs[0][-1], "makes")))

    class Plain(L.Layer):
        edgeprune_rule = Forgetful  # the class does as well as an instance

        def call(self, x: Any) -> Any:
            return x

    i = keras.Input((6,))
    model = keras.Model(i, L.Dense(3)(Plain(name="own")(L.Dense(8, name="first")(i))))
    with pytest.raises(ModelError, match=r"'own' \(Plain\): its rule names weight 'gain'.* none"):
        trace(model)


def test_a_subclass_inherits_no_rule(page: dict[str, Any]) -> None:
    class Other(page["Swish2"]):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return keras.ops.cumsum(x, axis=-1)

    i = keras.Input((6,))
    x = Other(name="own")(L.Dense(8, name="first")(i))
    graph = trace(keras.Model(i, L.Dense(3)(x)))
    assert "own (Other): no rule for this class" in str(graph["first"].fixed)
