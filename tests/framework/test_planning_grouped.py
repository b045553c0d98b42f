"""A plan of a net with grouped convolutions: strip takes out exactly what it names."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, woken

from edgeprune.models import macs, parameters
from edgeprune.planning import Constraints, make_plan
from edgeprune.scoring import score_model
from edgeprune.surgery import accounted, strip_with_report, trace, zero

L = keras.layers
X = inputs_for((6, 6, 3), 0)


def _resnext() -> Any:
    """Two blocks of ResNeXt with four groups, then a channel shuffle between two grouped ones."""
    i = keras.Input((6, 6, 3), name="i")
    x = L.Conv2D(24, 3, padding="same", activation="relu", name="stem")(i)
    for block in "ab":
        y = L.Conv2D(16, 1, use_bias=False, name=f"{block}_in")(x)
        y = L.ReLU()(L.BatchNormalization(name=f"{block}_norm")(y))
        y = L.Conv2D(16, 3, groups=4, padding="same", activation="elu", name=f"{block}_mid")(y)
        x = L.Add()([x, L.Conv2D(24, 1, name=f"{block}_out")(y)])
    x = L.Conv2D(24, 1, groups=3, activation="sigmoid", name="first")(x)
    x = L.Reshape((6, 6, 3, 8))(x)
    x = L.Reshape((6, 6, 24))(L.Permute((1, 2, 4, 3))(x))
    x = L.Conv2D(12, 1, groups=3, activation="tanh", name="second")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def net() -> Any:
    keras.utils.set_random_seed(0)
    with float64():
        model = _resnext()
        woken(model, X, 0)
    return model


@pytest.mark.parametrize(
    ("share", "scope", "constraints"),
    [
        (0.3, "global", Constraints()),
        (0.5, "layer", Constraints(multiple=8)),
        (0.9, "layer", Constraints()),
    ],
)
def test_strip_takes_out_what_the_plan_names(
    net: Any, share: float, scope: Any, constraints: Constraints
) -> None:
    graph = trace(net)
    scores = score_model(net, None, method="magnitude")
    plan = make_plan(scores, graph, channels=share, scope=scope, constraints=constraints)
    assert plan.cuts and plan.why["uneven"] == []
    silent = zero(net, plan)
    small, report = strip_with_report(silent)
    assert report.kept == ()
    assert dict(report.removed) == {cut.group: cut.drop.size for cut in plan.cuts}
    cost = plan.cost(graph)
    assert (cost.parameters, cost.macs) == (parameters(small), macs(small))
    account = accounted(net, small, report, plan, graph).account
    assert account is not None and account.stays == ()
    one, other = np.asarray(silent(X)), np.asarray(small(X))
    assert np.abs(one - other).max() <= 1e-9 * np.abs(one).max()
    for cut in plan.cuts:
        assert (graph[cut.group].size - cut.drop.size) % constraints.multiple == 0


def test_rounds_stay_even(net: Any) -> None:
    graph, plan = trace(net), None
    for share in (0.2, 0.5, 0.7):
        scores = score_model(net if plan is None else zero(net, plan), None, method="magnitude")
        plan = make_plan(scores, graph, channels=share, within=plan)
        _, report = strip_with_report(zero(net, plan))
        assert report.kept == ()
        assert dict(report.removed) == {cut.group: cut.drop.size for cut in plan.cuts}


def test_a_group_that_fills_one_run_alone_stays() -> None:
    i = keras.Input((4, 4, 3))
    x = L.Concatenate()([L.Conv2D(4, 1, name="a")(i), L.Conv2D(4, 1, name="b")(i)])
    x = L.Conv2D(8, 1, groups=2, activation="relu", name="g")(x)
    model = keras.Model(i, L.Conv2D(2, 1, name="out")(x))
    plan = make_plan(score_model(model, None, method="magnitude"), trace(model), channels=0.5)
    assert {cut.group: cut.drop.size for cut in plan.cuts} == {"g": 4}
    assert plan.why["uneven"] == ["a", "b"]
