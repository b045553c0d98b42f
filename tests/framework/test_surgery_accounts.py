"""Asked and extra meet the result to the unit, and are told apart."""

from __future__ import annotations

from typing import Any

import attention_nets
import keras
import numpy as np
import pytest
import recurrent_nets
import test_surgery_grouped as grouped_nets
from surgery_nets import random_plan
from zoo_nets import ZOO

from edgeprune.costs import Cost
from edgeprune.errors import PlanError
from edgeprune.models import macs, named_weights, parameters
from edgeprune.plans import Cut, Plan
from edgeprune.surgery import Account, accounted, strip_with_report, trace, zero
from edgeprune.surgery.accounting import NEEDED

L = keras.layers
NETS: dict[str, Any] = {
    **{make.__name__: make for make in ZOO},
    "grouped": grouped_nets._net,
    **{f"attention {name}": net.make for name, net in attention_nets.NETS.items()},
    **{f"recurrent {name}": net.make for name, net in recurrent_nets.NETS.items()},
}


def account_of(model: Any, plan: Plan) -> tuple[Any, Account]:
    small, report = strip_with_report(zero(model, plan))
    account = accounted(model, small, report, plan).account
    assert account is not None
    assert account.before == Cost(parameters(model), macs(model))
    assert account.after == Cost(parameters(small), macs(small)) == account.total
    assert account.predicted == plan.cost(trace(model))
    return small, account


def _shaken(name: str) -> Any:
    model = NETS[name]()
    for weight in named_weights(model).values():
        if weight.name in ("bias", "beta", "gamma", "alpha", "scale"):
            weight.assign(np.random.default_rng(0).uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize("name", NETS)
def test_asked_and_extra_meet_the_result(name: str) -> None:
    model = _shaken(name)
    plan = random_plan(model, np.random.default_rng(2))
    _, account = account_of(model, Plan(plan.model, plan.cuts))
    assert account.rest == Cost()
    # Whether a whole run of a grouped convolution leaves, only the weights tell.
    assert account.held == Cost() or name == "grouped", account.stays
    assert all(stay.reason != NEEDED for stay in account.stays), account.stays


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", NETS)
def test_they_meet_where_masks_empty_whole_filters_too(name: str, seed: int) -> None:
    model = _shaken(name)
    account_of(model, random_plan(model, np.random.default_rng(seed)))


def _chain(**head: Any) -> Any:
    i = keras.Input((8, 8, 2))
    x = L.Conv2D(6, 3, activation="sigmoid", name="one")(i)
    x = L.Conv2D(5, 1, name="two", **head)(x)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(i, L.Dense(3, name="end")(x))


def _empty(model: Any, layer: str, unit: int) -> None:
    """One unit reads nothing; its bias is a constant."""
    kernel = np.array(model.get_layer(layer).kernel)
    kernel[..., unit] = 0.0
    model.get_layer(layer).kernel.assign(kernel)


def test_what_left_is_told_apart() -> None:
    model = _chain()
    _empty(model, "one", 4)
    graph = trace(model)
    _, account = account_of(model, Plan.cut(graph, {"one": [0], "two": [1, 2]}))
    kinds = {(lot.kind, lot.group): lot.channels for lot in account.lots}
    assert kinds == {
        ("asked", "one"): (0,),
        ("asked", "two"): (1, 2),
        ("already_dead", "one"): (4,),
    }
    # A filter of 19 weights over 36 positions, and what reads it in three others.
    assert account.of("already_dead") == Cost(19 + 3, 36 * (18 + 3))
    assert account.predicted == Cost(
        parameters(model) - 19 - 5 - 2 * (5 + 1) - 2 * 3,
        account.before.macs - 36 * (18 + 5 + 10) - 6,
    )
    rows = {row["group"]: row for row in account.groups()}
    assert (rows["one"]["asked"], rows["one"]["already_dead"], rows["one"]["left"]) == (1, 1, 4)
    by_layer = {row["layer"]: row for row in account.layers()}
    assert by_layer["end"]["parameters"] == {"asked": 6}
    assert by_layer["two"]["parameters"] == {"asked": 5 + 2 * 6, "already_dead": 3}


def test_dead_in_consequence() -> None:
    """Nobody else reads two of the filters once the units that read them leave."""
    model = _chain()
    kernel = np.array(model.get_layer("two").kernel)
    kernel[:, :, [1, 3], 1:] = 0.0
    model.get_layer("two").kernel.assign(kernel)
    graph = trace(model)
    assert not strip_with_report(model)[1].removed
    _, account = account_of(model, Plan.cut(graph, {"two": [0]}))
    kinds = {(lot.kind, lot.group): lot.channels for lot in account.lots}
    assert kinds == {("asked", "two"): (0,), ("in_consequence", "one"): (1, 3)}


def test_a_new_bias_is_counted() -> None:
    model = _chain(use_bias=False)
    _empty(model, "one", 4)
    small, account = account_of(model, Plan.cut(trace(model), {"one": [0]}))
    assert account.biases == {"two/bias": 5} and small.get_layer("two").use_bias
    without = account.predicted - account.of("already_dead")
    assert account.after == Cost(without.parameters + 5, without.macs)


def test_without_a_plan_all_was_dead_already() -> None:
    model = _chain()
    _empty(model, "one", 4)
    small, report = strip_with_report(model)
    account = accounted(model, small, report).account
    assert account is not None and account.total == account.after == Cost(
        parameters(small), macs(small)
    )
    assert [(lot.kind, lot.channels) for lot in account.lots] == [("already_dead", (4,))]
    assert account.predicted == account.before


def test_what_a_slice_needs_stays_with_its_reason() -> None:
    i = keras.Input((4,))
    x = L.Dense(6, name="wide")(i)
    x = keras.ops.concatenate([x[:, :2] * 2.0, x[:, 2:]], axis=-1)
    model = keras.Model(i, L.Dense(2, name="head")(x))
    plan = Plan.cut(trace(model), {"wide": [0, 1, 5]})
    small, account = account_of(model, plan)
    assert [(stay.channels, stay.reason) for stay in account.stays] == [
        ((0,), "a tensor that is read keeps at least one channel")
    ]
    row = account.groups()[0]
    assert (row["asked"], row["possible"], row["left"]) == (3, 2, 4)
    assert plan.cost(trace(model)).parameters == parameters(small)


@pytest.mark.parametrize(
    ("cuts", "held"),
    [
        ({"a": [0, 2, 4, 6]}, 0),
        ({"a": [1, 3, 4, 7], "g": [0, 3, 6, 9]}, 0),
        ({"a": [0, 3, 4]}, 0),
        ({"a": [2, 3], "g": [3, 4, 5]}, 0),
        ({"h": [0, 1, 2, 3, 4]}, 0),
        # That the filters of a run without inputs fold away, only the weights tell.
        ({"g": range(6)}, -1),
    ],
)
def test_what_cannot_leave_evenly_stays(cuts: Any, held: int) -> None:
    model = grouped_nets._net()
    for weight in named_weights(model).values():
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    _, account = account_of(model, Plan.cut(trace(model), cuts))
    assert np.sign(account.held.parameters) == held and account.rest == Cost()
    reasons = {stay.reason for stay in account.stays}
    assert reasons <= {"the groups of a grouped convolution stay of equal size"}
    assert bool(reasons) == (cuts in ({"a": [0, 3, 4]}, {"a": [2, 3], "g": [3, 4, 5]}))


def test_what_a_pattern_needs_is_set_against_the_prediction() -> None:
    """Blocks of 1x4 stay whole: only the weights tell, so a graph cannot foresee it."""
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(18, name="wide"), L.Dense(16, name="head")]
    )
    rng = np.random.default_rng(0)
    blocks = np.repeat(rng.random((5, 16)) < 0.3, 4, axis=0)[:18]
    model.get_layer("head").kernel.assign(rng.normal(size=(18, 16)) * blocks)
    plan = Plan.cut(trace(model), {"wide": [0, 5, 10]})
    small, report = strip_with_report(zero(model, plan))
    account = accounted(model, small, report, plan).account
    assert account is not None and account.after == account.total
    assert {stay.reason for stay in account.stays} == {"blocks of 1x4 stay whole"}
    kept = sum(len(stay.channels) for stay in account.stays)
    assert kept and account.held == Cost(kept * (4 + 1 + 16), kept * (4 + 16))


def _turned() -> Any:
    """A Dense that runs once for each channel of what was turned."""
    i = keras.Input((7, 5))
    x = L.Dense(6, name="wide")(i)
    x = L.Permute((2, 1))(x)
    x = L.Flatten()(L.Dense(4, name="over")(x))
    return keras.Model(i, L.Dense(3, name="end")(x))


def _timed() -> Any:
    """The same, inside TimeDistributed, over the channels that became its steps."""
    i = keras.Input((7, 5))
    x = L.Permute((2, 1))(L.Dense(6, name="wide")(i))
    x = L.TimeDistributed(L.Dense(4, name="over"))(x)
    return keras.Model(i, L.Dense(3, name="end")(L.Flatten()(x)))


def _products() -> Any:
    """Scores by hand, a dot product, an einsum, and attention without weights."""
    i = keras.Input((7, 5))
    q, k = L.Dense(6, name="q")(i), L.Dense(6, name="k")(i)
    v = L.Dense(4, name="v")(i)
    scores = keras.ops.matmul(q, keras.ops.transpose(k, (0, 2, 1)))
    mixed = keras.ops.matmul(scores, v)
    dotted = L.Dot((2, 2))([L.Dense(3, name="a")(i), L.Dense(3, name="b")(i)])
    both = keras.ops.einsum("btc,bsc->bts", L.Dense(5, name="c")(i), i)
    seen = L.Attention()([L.Dense(5, name="d")(i), L.Dense(5, name="e")(i)])
    x = L.Concatenate()([mixed, dotted, both, seen])
    return keras.Model(i, L.Dense(2, name="end")(x))


@keras.saving.register_keras_serializable("accounts")
class Holder(L.Layer):
    """A wall that calls a model of its own."""

    def __init__(self, inner: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inner": keras.saving.serialize_keras_object(self.inner)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        inner = keras.saving.deserialize_keras_object(config.pop("inner"))
        return cls(inner, **config)


def test_a_branch_that_leaves_is_counted() -> None:
    i = keras.Input((7, 5))
    x = L.Dense(6, name="wide")(i)
    seen = L.MultiHeadAttention(2, 3, name="seen")(x, x)
    norm = L.LayerNormalization(name="norm")(x)
    mixed = L.Dense(6, use_bias=False, name="mixed")(
        keras.ops.matmul(norm, L.Permute((2, 1))(norm))
    )
    x = L.Add()([x, seen, mixed])
    model = keras.Model(i, L.Dense(3, name="end")(x))
    for weight in (*model.get_layer("seen")._output_dense.weights, model.get_layer("mixed").kernel):
        weight.assign(np.zeros(weight.shape))
    small, report = strip_with_report(model)
    account = accounted(model, small, report).account
    assert {"seen", "norm", "mixed"} <= set(report.left)
    assert account is not None and account.after == account.total
    assert account.after == Cost(6 * 6 + 7 * 3, 7 * (5 * 6 + 6 * 3))


def _inner() -> Any:
    return keras.Sequential([keras.Input((7, 5)), L.Dense(6, name="wide"), L.Dense(4, name="back")])


def _held() -> Any:
    i = keras.Input((7, 5))
    return keras.Model(i, L.Dense(3, name="end")(Holder(_inner())(i)))


def _unopened() -> Any:
    """A nested model that is called in a way that its own graph does not show."""
    i = keras.Input((7, 5))
    mask = keras.ops.any(i > 0.0, axis=-1)
    return keras.Model(i, L.Dense(3, name="end")(_inner()(i, mask=mask)))


@pytest.mark.parametrize("make", [_turned, _timed, _products, _held, _unopened])
def test_products_that_run_over_channels(make: Any) -> None:
    model = make()
    graph = trace(model)
    assert graph.cost({}) == Cost(parameters(model), macs(model))
    free = [group for group in graph.free if group.size > 1]
    assert free
    account_of(model, Plan.cut(graph, {group.name: [1] for group in free}))
    for group in free:
        _, account = account_of(model, Plan.cut(graph, {group.name: [1]}))
        assert account.before - account.after == Cost(group.parameters, group.macs), group.name


def test_a_plan_that_does_not_fit_is_refused() -> None:
    model = _chain()
    small, report = strip_with_report(model)
    other = Plan("0" * 64)
    with pytest.raises(PlanError, match="made for the model 000000000000"):
        accounted(model, small, report, other)
    drop = np.array([9], np.int32)
    for cut, words in (
        (Cut("one", drop), "0 to 5"),
        (Cut("on", drop), "did you mean 'one'"),
        (Cut("end", drop[:0]), "keeps its size"),
        (Cut("one", np.arange(6, dtype=np.int32)), "leave at least one"),
    ):
        with pytest.raises(PlanError, match=words):
            accounted(model, small, report, Plan(trace(model).model, (cut,)))
