"""What several calls share has one config and one shape: channels leave it in all calls alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, proven, random_plan, woken

from edgeprune.plans import Plan
from edgeprune.surgery import trace

L = keras.layers
STAYS = "is shared with a call whose channels cannot leave there"


def _model(body: Callable[[Any], Any]) -> Any:
    inputs = keras.Input((6,))
    return keras.Model(inputs, body(inputs), name="shared")


def _squash() -> Any:
    return _model(L.Activation("tanh"))


def _pieces() -> Any:
    return _model(lambda x: keras.ops.reshape(x, (-1, 1, 6))[:, :, 1:])


def _deep() -> Any:
    return _model(_squash())


def _called_twice(make: Callable[[], Any]) -> Any:
    i = keras.Input((5,))
    shared = make()
    ends = [L.Flatten()(shared(L.Dense(6, name=name)(i))) for name in "ab"]
    return keras.Model(i, [L.Dense(2, name=f"out{n}")(end) for n, end in enumerate(ends)])


def _proven(model: Any) -> Any:
    x = inputs_for(model.input_shape[1:], 0)
    woken(model, x, 0)
    for seed in range(3):
        proven(model, random_plan(model, np.random.default_rng(seed)), x)
    graph = trace(model)
    return proven(model, Plan.cut(graph, {group.name: [0] for group in graph.free}), x)


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (_squash, 6),
        (_deep, 6),
        (lambda: L.Reshape((2, 3)), 3),
        (lambda: L.Reshape((1, 6)), 6),
        (lambda: L.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 6),
        (lambda: L.Normalization(mean=[0.5] * 6, variance=[2.0] * 6), 6),
        (_pieces, 6),
    ],
    ids=["model", "model in model", "reshape", "one row", "scales", "statistics", "operations"],
)
def test_without_weights_it_ties_its_inputs(make: Callable[[], Any], size: int) -> None:
    with float64():
        model = _called_twice(make)
        (group,) = trace(model).free
        assert (group.size, {member.weight for member in group.members}) == (
            size,
            {f"{name}/{kind}" for name in "ab" for kind in ("kernel", "bias")}
            | {"out0/kernel", "out1/kernel"},
        )
        small = _proven(model)
        assert small.get_layer("a").units == small.get_layer("b").units < 6


@pytest.mark.parametrize("make", [L.Flatten, L.Activation, L.UnitNormalization])
def test_what_spells_no_lengths_ties_nothing(make: Any) -> None:
    with float64():
        given = ("relu",) if make is L.Activation else ()
        model = _called_twice(lambda: make(*given))
        names = {group.name for group in trace(model)}
        assert {"a", "b"} <= names
        if make is not L.UnitNormalization:
            _proven(model)


def test_a_model_that_reads_the_input_too_keeps_its_width() -> None:
    with float64():
        i = keras.Input((6,))
        shared = _squash()
        ends = [L.Dense(2)(shared(i)), L.Dense(3)(shared(L.Dense(6, name="a")(i)))]
        model = keras.Model(i, ends)
        # It is tied to the channels of the input.
        assert not trace(model).free
        _proven(model)


@pytest.mark.parametrize("turn", [False, True])
def test_a_call_without_channels_holds_those_of_the_other(turn: bool) -> None:
    """One call reads positions of the image, the other channels."""
    with float64():
        i = keras.Input((4, 6, 3))
        given = [L.Permute((3, 1, 2))(i), L.Conv2D(6, 1, name="wide")(i)]
        shared = L.Dense(3, name="shared")
        ends = [shared(one) for one in (given[::-1] if turn else given)]
        model = keras.Model(i, [L.Dense(2)(L.Flatten()(end)) for end in ends])
        assert trace(model)["wide"].fixed == f"shared/kernel {STAYS}"
        _proven(model)


def _masked(turn: bool) -> Any:
    """A nested model that is called with a mask, which its own graph does not show, and without."""
    words = keras.Input((5,))
    x = L.Embedding(9, 6, mask_zero=True, name="words")(words)
    inner = keras.Input((5, 6))
    y = L.Dense(4, activation="tanh", name="second")(L.Dense(7, name="first")(inner))
    shared = keras.Model(inner, L.Dot(1)([y, y]), name="shared")
    given = [x, L.Conv1D(6, 1, name="wide")(x)]
    ends = [L.Flatten()(shared(one)) for one in (given[::-1] if turn else given)]
    return keras.Model(words, [L.Dense(2, name=f"out{n}")(end) for n, end in enumerate(ends)])


@pytest.mark.parametrize("turn", [False, True])
def test_a_model_that_one_call_does_not_open_keeps_its_ends(turn: bool) -> None:
    with float64():
        model = _masked(turn)
        words = np.random.default_rng(0).integers(1, 9, (4, 5)).astype("float64")
        words[1, 3:] = 0.0
        woken(model, words, 0)
        graph = trace(model)
        fixed = {group.name: group.fixed for group in graph}
        assert fixed["shared/first"] is None
        assert fixed["shared/second"] == "model output"
        for seed in range(3):
            proven(model, random_plan(model, np.random.default_rng(seed)), words)
        small = proven(model, Plan.cut(graph, {"shared/first": [0, 3]}), words)
        assert small.get_layer("shared").get_layer("first").units == 5


@pytest.mark.parametrize("how", ["rounded", "squeezed"])
def test_a_nested_model_that_changes_what_goes_in_is_a_wall(how: str) -> None:
    """Keras casts to the dtype of an input, and adds or drops an axis of one."""
    with float64():
        i = keras.Input((5, 4))
        if how == "rounded":
            inner = keras.Input((5, 6), dtype="int32")
            given = L.Dense(6, name="given")(i) * 8.0
        else:
            inner = keras.Input((5,))
            given = L.Dense(1, name="given")(L.Dense(3, name="free")(i))
        end = L.Dense(3, name="inside")(keras.ops.cast(inner, "float64"))
        end = keras.Model(inner, end, name="inner")(given)
        model = keras.Model(i, L.Dense(2, name="head")(end))
        x = inputs_for((5, 4), 0)
        woken(model, x, 0)
        if how == "rounded":
            kernel, bias = model.get_layer("given").get_weights()
            kernel[:, :3], bias[:3] = 0, (0.31, 0.22, 0.09)
            model.get_layer("given").set_weights([kernel, bias])
        for seed in range(3):
            proven(model, random_plan(model, np.random.default_rng(seed)), x)
    fixed = {group.name: group.fixed for group in trace(model)}
    assert fixed["given"] == "inner (Functional): no rule for this class"


@keras.saving.register_keras_serializable("sharing")
class Unknown(L.Layer):
    """A class that no rule knows."""

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x: Any) -> Any:
        return self.inner(x)


@pytest.mark.parametrize("turn", [False, True])
def test_a_wall_that_holds_a_layer_keeps_its_weights(turn: bool) -> None:
    i = keras.Input((6,))
    dense = L.Dense(4, name="inside")
    dense.build((None, 6))
    calls = [lambda: dense(L.Dense(6, name="wide")(i)), lambda: Unknown(dense, name="wall")(i)]
    ends = [call() for call in (calls[::-1] if turn else calls)]
    graph = trace(keras.Model(i, [L.Dense(2)(end) for end in ends]))
    fixed = {group.name: group.fixed for group in graph}
    assert not graph.free and STAYS in str(fixed["wide"])
