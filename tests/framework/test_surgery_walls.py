"""What the surgery does not follow keeps its size, with the reason; the rest still works."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.ops import numpy as numeric
from surgery_nets import inputs_for, proven, random_plan, woken

from edgeprune.errors import ModelError, PlanError
from edgeprune.models import (
    architecture_digest,
    clone,
    kernels,
    load_model,
    named_weights,
    save_model,
    values_digest,
)
from edgeprune.models.calls import calls
from edgeprune.plans import Cut, Mask, Plan
from edgeprune.surgery import Kept, StripReport, cut, strip, strip_with_report, trace, zero

L = keras.layers


class Doubled(L.Layer):
    """A layer of the user's that nobody registered."""

    def call(self, x: Any) -> Any:
        return 2 * x


def _residual() -> Any:
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="stem")(i)
    y = L.Conv2D(5, 1, activation="relu", name="narrow")(x)
    y = L.Conv2D(6, 3, padding="same", name="wide")(y)
    x = L.Add(name="join")([x, y])
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(i, L.Dense(3, name="head")(L.Dense(7, activation="tanh", name="neck")(x)))


def _nested() -> Any:
    inner = keras.Sequential([keras.Input((6,)), L.Dense(4, name="inside")], name="inner")
    i = keras.Input((5,))
    x = L.Dense(6, name="before", activation="tanh")(L.Dense(9, name="first")(i))
    x = L.Dense(5, name="after", activation="tanh")(inner(x))
    return keras.Model(i, L.Dense(3, name="head")(x))


def _shared() -> Any:
    i = keras.Input((6,))
    twice = L.Dense(6, name="twice", activation="tanh")
    x = L.Dense(6, name="first")(L.Dense(8, name="zeroth", activation="elu")(i))
    return keras.Model(i, L.Dense(3, name="head")(twice(twice(x))))


def _custom() -> Any:
    i = keras.Input((6,))
    x = L.Dense(7, name="first")(L.Dense(5, name="zeroth", activation="elu")(i))
    return keras.Model(i, L.Dense(3, name="head")(Doubled(name="own")(x)))


def _fan_out() -> Any:
    i = keras.Input((6,))
    x = L.Dense(9, name="trunk", activation="sigmoid")(i)
    return keras.Model(i, [L.Dense(3, name="a", use_bias=False)(x), L.Dense(2, name="b")(x)])


def _operations() -> Any:
    i = keras.Input((6,))
    x = L.Dense(9, name="first", activation="tanh")(i)
    x = keras.ops.argsort(L.Dense(5, name="second")(x)) * 2.0
    return keras.Model(i, L.Dense(3, name="head")(x))


WALLED = {
    _residual: {"stem": None, "narrow": None, "neck": None, "head": "output"},
    _nested: {"first": None, "before": None, "inner/inside": None, "after": None},
    _shared: {"zeroth": None, "first": None},
    _custom: {"zeroth": None, "first": "own (Doubled)", "own": "own (Doubled)"},
    _fan_out: {"trunk": None, "a": "output", "b": "output"},
    _operations: {"first": None, "second": "Argsort"},
}


@pytest.mark.parametrize("make", WALLED, ids=lambda make: make.__name__)
def test_a_wall_fixes_what_touches_it_and_nothing_else(make: Any) -> None:
    model = make()
    graph = trace(model)
    for name, reason in WALLED[make].items():
        fixed = graph[name].fixed
        assert (fixed is None) if reason is None else (fixed and reason in fixed), (name, fixed)
    x = inputs_for(tuple(model.inputs[0].shape[1:]), 0).astype("float32")
    if len(model.outputs) == 1:
        woken(model, x, 0)
    for seed in range(3):
        zeroed = zero(model, random_plan(model, np.random.default_rng(seed)))
        small = strip(zeroed)
        for expected, got in zip(_outputs(zeroed, x), _outputs(small, x), strict=True):
            assert np.abs(expected - got).max() <= 1e-5 * np.abs(expected).max() + 1e-7
        assert values_digest(strip(small)) == values_digest(small)


def _outputs(model: Any, x: Any) -> list[np.ndarray]:
    made = model(x)
    return [np.asarray(each) for each in (made if isinstance(made, list) else [made])]


def test_masks_zero_single_weights_of_any_model() -> None:
    model = keras.Sequential([keras.Input((5, 4)), L.Bidirectional(L.LSTM(3)), L.Dense(2)])
    rng = np.random.default_rng(0)
    keeps = {name: rng.random(k.variable.shape) < 0.5 for name, k in kernels(model).items()}
    assert len(keeps) == 5
    plan = Plan(architecture_digest(model), masks=tuple(Mask(n, k) for n, k in keeps.items()))
    before = {name: np.asarray(w) for name, w in named_weights(model).items()}
    after = named_weights(zero(model, plan))
    for name, value in before.items():
        assert np.array_equal(np.asarray(after[name]), value * keeps.get(name, 1))


def test_a_subclassed_model_has_no_groups_and_is_masked_all_the_same() -> None:
    model = Pair()
    model(np.zeros((1, 4), np.float32))
    assert trace(model).groups == ()
    mask = Mask("one/kernel", np.zeros((4, 3), bool))
    zeroed = zero(model, Plan(architecture_digest(model), masks=(mask,)))
    assert not np.asarray(named_weights(zeroed)["one/kernel"]).any()
    assert type(strip(zeroed)) is Pair


class Pair(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one, self.two = L.Dense(3), L.Dense(2)

    def call(self, x: Any) -> Any:
        return self.two(self.one(x))


def test_a_constant_stays_behind_same_padding_and_leaves_elsewhere() -> None:
    def net(padding: str) -> Any:
        i = keras.Input((8, 8, 2))
        x = L.Conv2D(4, 3, activation="sigmoid", name="first")(i)
        x = L.Conv2D(3, 3, padding=padding, use_bias=False, name="second")(x)
        model = keras.Model(i, x)
        kernel = np.array(named_weights(model)["first/kernel"].numpy())
        kernel[..., 1] = 0
        named_weights(model)["first/kernel"].assign(kernel)
        named_weights(model)["first/bias"].assign([0.1, 0.2, 0.3, 0.4])
        return model

    small, report = strip_with_report(net("same"))
    assert small.get_layer("first").filters == 4
    assert "padding 'same'" in report.kept[0].reason and report.kept[0].channels == (1,)
    (line,) = report.lines()
    assert line.startswith("first: 1 dead channel stays (1): second reads a constant, and ")
    (kept,) = report.facts()["kept"]
    assert kept == {"layer": "first", "channels": [1], "reason": report.kept[0].reason}
    model = net("valid")
    small, report = strip_with_report(model)
    assert report.removed == {"first": 1} and small.get_layer("second").use_bias
    x = inputs_for((8, 8, 2), 0).astype("float32")
    assert np.abs(np.asarray(model(x)) - np.asarray(small(x))).max() < 1e-5


def test_channels_are_named_of_very_many_the_first() -> None:
    reason = "blocks of 1x4 stay whole"
    many = tuple(range(0, 60, 2))
    report = StripReport({"a": 3}, (Kept("b", (0, 3, 4, 5, 9), reason), Kept("c", many, reason)))
    assert report.lines() == (
        "a: 3 channels leave",
        f"b: 5 dead channels stay (0, 3-5, 9): {reason}",
        "c: 30 dead channels stay (0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, and 18 more): "
        + reason,
    )
    assert report.facts()["kept"][1]["channels"] == list(many)


def test_one_channel_stays_where_all_are_dead() -> None:
    model = keras.Sequential([keras.Input((4,)), L.Dense(5, name="all"), L.Dense(2)])
    model.layers[0].kernel.assign(np.zeros((4, 5)))
    small, report = strip_with_report(model)
    assert small.get_layer("all").units == 1
    assert report.kept[0].reason == "at least one channel stays in a layer"
    assert any("4 channels leave" in line for line in report.lines())
    x = np.ones((2, 4), np.float32)
    assert np.allclose(model(x), small(x), atol=1e-6)


def test_hidden_softmax_keeps_its_layer_whole() -> None:
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(6, name="mixed", activation="softmax"), L.Dense(2)]
    )
    assert trace(model)["mixed"].fixed == "softmax mixes channels"
    odd = keras.Sequential(
        [keras.Input((4,)), L.Dense(6, name="odd", activation=lambda x: x * x), L.Dense(2)]
    )
    assert "not known to work on each element" in str(trace(odd)["odd"].fixed)


def test_names_compile_state_flags_and_training_survive(tmp_path: Any) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,), name="features"),
            L.Dense(16, activation="relu", name="a"),
            L.BatchNormalization(name="n", trainable=False),
            L.Dense(8, activation="relu", name="b", use_bias=False),
            L.Dense(3, name="c"),
        ],
        name="net",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    plan = Plan.cut(trace(model), {"a": [0, 5], "b": [1]})
    zeroed = zero(model, plan)
    small = strip(zeroed)
    names = list(named_weights(model))
    assert len(set(names)) == len(names)
    x, y = np.random.default_rng(0).normal(size=(32, 6)).astype("f"), np.arange(32) % 3
    for each in (zeroed, small, clone(model)):
        save_model(each, tmp_path / "m.keras")
        again = load_model(tmp_path / "m.keras")
        save_model(each, tmp_path / "m.h5")
        from_h5 = load_model(tmp_path / "m.h5")
        cloned = keras.models.clone_model(each)
        for other in (each, again, from_h5, cloned):
            assert list(named_weights(other)) == names
            assert architecture_digest(other) == architecture_digest(each)
        assert values_digest(again) == values_digest(each) == values_digest(from_h5)
        assert each.name == "net" and each.inputs[0]._keras_history.operation.name == "features"
        assert type(each) is keras.Sequential and not each.get_layer("n").trainable
        assert each.optimizer.momentum == 0.9 and each.optimizer is not model.optimizer
        assert "accuracy" in each.evaluate(x, y, verbose=0, return_dict=True)
        again.fit(x, y, epochs=1, verbose=0)
    assert small.get_layer("a").units == 14 and small.get_layer("b").units == 7


def _dense() -> Any:
    return keras.Sequential([keras.Input((4,)), L.Dense(5, name="a"), L.Dense(2, name="b")])


def test_plans_that_do_not_fit_are_refused() -> None:
    model = _dense()
    before = values_digest(model)
    digest = architecture_digest(model)
    other = "0" * 64
    drop = np.array([0], np.int32)
    bad = {
        Plan(other): "000000000000",
        Plan(digest, (Cut("nowhere", drop),)): "nowhere",
        Plan(digest, (Cut("b", drop),)): "model output",
        Plan(digest, (Cut("a", np.array([7], np.int32)),)): "channel 7",
        Plan(digest, (Cut("a", np.arange(5, dtype=np.int32)),)): "all 5",
        Plan(digest, masks=(Mask("a/kernel", np.ones((5, 4), bool)),)): "shape",
        Plan(digest, masks=(Mask("a/kernal", np.ones((4, 5), bool)),)): "a/kernel",
    }
    for plan, text in bad.items():
        with pytest.raises(PlanError, match=text) as caught:
            zero(model, plan)
        assert "\n" not in str(caught.value)
    with pytest.raises(PlanError, match=digest[:12]):
        zero(model, Plan(other))
    assert values_digest(model) == before


def test_models_that_do_not_fit_are_refused() -> None:
    model = _dense()
    model.layers[0].kernel.assign(np.full((4, 5), np.nan))
    with pytest.raises(ModelError, match="a/kernel"):
        zero(model, Plan(architecture_digest(model)))
    with pytest.raises(ModelError, match="no shapes yet"):
        trace(keras.Sequential([L.Dense(3)]))


def test_a_chain_that_is_too_long_for_keras_is_said() -> None:
    x = i = keras.Input((4,))
    for number in range(300):
        x = L.ReLU(name=f"relu_{number}")(x)
    model = keras.Model(i, L.Dense(2)(x))
    before = sys.getrecursionlimit()
    # As a chain of some thousand layers would: Keras walks it with one call in another.
    sys.setrecursionlimit(len(inspect.stack(0)) + 250)
    try:
        with pytest.raises(ModelError, match="its chain of layers is too long"):
            strip(model)
    finally:
        sys.setrecursionlimit(before)


def test_an_input_with_an_open_number_of_channels_is_named() -> None:
    i = keras.Input((8, 8, None), name="picture")
    model = keras.Model(i, L.GlobalAveragePooling2D()(L.ReLU()(i)), name="open")
    for verb in (trace, strip):
        with pytest.raises(ModelError, match=r"'open': input 'picture' has shape .*None\)"):
            verb(model)


def test_open_lengths_that_are_no_channels_pass() -> None:
    words, mask = keras.Input((None,)), keras.Input((None, None))
    x = L.Embedding(9, 6, name="words")(words)
    x = L.MultiHeadAttention(2, 3, name="mha")(x, x, attention_mask=mask)
    model = keras.Model([words, mask], L.Dense(2)(L.GlobalAveragePooling1D()(x)))
    assert {group.name for group in trace(model).free} >= {"words", "mha:1"}


def test_what_no_rule_can_follow_is_a_wall_and_no_crash() -> None:
    i = keras.Input((4,))
    x = L.Dense(5, name="a")(i)
    y = keras.ops.matmul(np.ones((7, 5, 4), "float32"), L.Reshape((4, 1))(i))
    z = keras.ops.squeeze(keras.ops.expand_dims(x, 0), 0)
    model = keras.Model(i, [L.Dense(2, name="out")(z), L.Flatten()(y)])
    graph = trace(model)
    assert "moves the batch" in (graph["a"].fixed or "")
    strip(model)


def test_an_output_keeps_its_name() -> None:
    """Losses and signatures know it by its layer's."""
    i = keras.Input((4,))
    stem = L.Dense(4, name="stem")(i)
    join = L.Add(name="join")([stem, L.Dense(4, name="branch")(stem)])
    model = keras.Model(i, [join, L.BatchNormalization(name="norm")(L.Dense(3, name="b")(stem))])
    model.compile("sgd", {"join": "mse", "norm": "mae"})
    for weight in model.get_layer("branch").weights:
        weight.assign(np.zeros(weight.shape))
    small = strip(model, fold_batchnorm=True)
    assert small.output_names == ["join", "norm"]
    y = {"join": np.ones((8, 4)), "norm": np.ones((8, 3))}
    small.fit(np.ones((8, 4)), y, verbose=0)


def test_an_operation_that_becomes_two_takes_a_name_that_is_free() -> None:
    i = keras.Input((4,))
    x = L.Dense(8, name="wide", activation="tanh")(i)
    parts = [
        numeric.GetItem(name=name)(x, (slice(None), slice(None, None, 3)))
        for name in ("part", "part_1")
    ]
    model = keras.Model(i, L.Dense(2, name="head")(L.Concatenate()([x, *parts])))
    x = inputs_for((4,), 0)
    woken(model, x, 0)
    small = proven(model, Plan.cut(trace(model), {"wide": [1, 3]}), x, most=1e-5)
    assert small.get_layer("wide").units == 6
    assert {"part", "part_1"} <= {call.layer.name for call in calls(small)}


@pytest.mark.parametrize(
    ("how", "said"), [("int8", r"quantised \(int8\)"), ("lora", "LoRA enabled")]
)
def test_quantised_layers_and_lora_are_refused(how: str, said: str) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(8, name="a"), L.Dense(6, name="b"), L.Dense(2, name="c")]
    )
    layer = model.get_layer("b")
    layer.enable_lora(2) if how == "lora" else layer.quantize(how)
    plan = Plan(architecture_digest(model), (Cut("a", np.array([1], np.int32)),))
    for verb in (trace, strip, lambda model: cut(model, plan), lambda model: zero(model, plan)):
        with pytest.raises(ModelError, match=f"layer 'b' is {said}; cut the float model"):
            verb(model)


def _after_a_matrix() -> Any:
    """A layer on its own output, which first reads what has no channels."""
    i = keras.Input((6,))
    x = keras.ops.matmul(L.Dense(5, name="first")(i), np.eye(5, 4))
    twice = L.Dense(4, name="twice", activation="tanh")
    return keras.Model(i, L.Dense(2, name="head")(twice(twice(x))))


def _training(order: int) -> Any:
    """A batch norm that is called twice, and once as in training."""
    i = keras.Input((6,))
    twice = L.BatchNormalization(name="twice")
    calls = [lambda x: twice(x), lambda x: twice(x, training=True)]
    heads = [
        L.Dense(2, name=f"head_{n}")(call(L.Dense(5, name=f"first_{n}")(i)))
        for n, call in enumerate(calls[::order])
    ]
    return keras.Model(i, heads)


@pytest.mark.parametrize("make", [_after_a_matrix, lambda: _training(1), lambda: _training(-1)])
def test_a_layer_that_cannot_follow_in_one_call_stays_in_all(make: Any) -> None:
    model = make()
    x = inputs_for(tuple(model.inputs[0].shape[1:]), 0)
    woken(model, x, 0)
    graph = trace(model)
    for group in graph:
        for member in group.members:
            if member.weight.startswith("twice/"):
                assert group.fixed is not None, group.name
    proven(model, random_plan(model, np.random.default_rng(1)), x, most=1e-5)
