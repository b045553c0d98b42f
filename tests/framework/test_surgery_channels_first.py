"""``channels_first`` is followed like channels last: the same groups, cut to the unit, exactly.

Judged in float32, since TensorFlow has such convolutions on a CPU in that precision alone.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import inputs_for, proven, random_plan, woken

from edgeprune.models import macs, parameters
from edgeprune.plans import Plan
from edgeprune.surgery import strip, strip_with_report, trace, zero

L = keras.layers


def image(order: str) -> Any:
    """Every layer with a data format that images pass through, and both ways out of it."""
    own: dict[str, Any] = {"data_format": order}
    axis = 1 if order == "channels_first" else -1
    i = keras.Input((3, 16, 16) if axis == 1 else (16, 16, 3))
    x = L.Conv2D(6, 3, padding="same", name="stem", **own)(i)
    x = L.ReLU()(L.BatchNormalization(axis=axis, name="norm")(x))
    y = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depth", **own)(x)
    y = L.Conv2D(6, 1, activation="tanh", name="point", **own)(y)
    y = L.PReLU(shared_axes=[2, 3] if axis == 1 else [1, 2], name="slope")(y)
    x = L.Add()([x, L.SpatialDropout2D(0.1, **own)(y)])
    x = L.MaxPooling2D(2, **own)(L.ZeroPadding2D(1, **own)(x))
    x = L.Concatenate(axis=axis)([x, L.SeparableConv2D(5, 3, padding="same", name="sep", **own)(x)])
    x = L.Conv2DTranspose(4, 2, name="up", **own)(L.Cropping2D(1, **own)(x))
    x = L.Conv2D(6, 3, padding="same", name="wide", **own)(L.UpSampling2D(2, **own)(x))
    x = L.Conv2D(6, 3, groups=3, name="runs", **own)(x)
    one = L.Dense(5, activation="sigmoid", name="mean")(L.GlobalAveragePooling2D(**own)(x))
    x = L.AveragePooling2D(2, **own)(x)
    two = L.Dense(5, name="flat")(L.Flatten(**own)(x))
    return keras.Model(i, [L.Dense(3, name="a")(one), L.Dense(2, name="b")(two)])


def signal(order: str) -> Any:
    own: dict[str, Any] = {"data_format": order}
    i = keras.Input((3, 24) if order == "channels_first" else (24, 3))
    x = L.Conv1D(5, 3, activation="relu", name="a", **own)(i)
    x = L.MaxPooling1D(2, **own)(L.DepthwiseConv1D(2, name="d", **own)(x))
    x = L.GlobalMaxPooling1D(**own)(L.SeparableConv1D(4, 2, name="s", **own)(x))
    return keras.Model(i, L.Dense(2, name="out")(x))


def volume(order: str) -> Any:
    own: dict[str, Any] = {"data_format": order}
    i = keras.Input((2, 6, 5, 9) if order == "channels_first" else (6, 5, 9, 2))
    x = L.Conv3D(4, 2, activation="relu", name="a", **own)(i)
    x = L.Conv3D(3, 1, use_bias=False, name="b", **own)(L.AveragePooling3D(2, **own)(x))
    return keras.Model(i, L.Dense(2, name="out")(L.GlobalAveragePooling3D(**own)(x)))


NETS = pytest.mark.parametrize("make", [image, signal, volume], ids=lambda make: make.__name__)


@NETS
def test_the_groups_are_those_of_channels_last(make: Any) -> None:
    first, last = trace(make("channels_first")), trace(make("channels_last"))
    seen = {
        group.name: (group.size, group.fixed, group.macs, group.parameters)
        for group in first
        if group.fixed != "model input"
    }
    assert seen == {
        group.name: (group.size, group.fixed, group.macs, group.parameters)
        for group in last
        if group.fixed != "model input"
    }
    for group in first.free:
        # All but PReLU's slopes have their channels on the same axis for both.
        members = [
            [
                (m.weight, m.weight == "slope/alpha" or m.axis, m.role, m.channel.tolist())
                for m in graph[group.name].members
            ]
            for graph in (first, last)
        ]
        assert members[0] == members[1]


@NETS
@pytest.mark.parametrize("seed", range(2))
def test_a_cut_is_silence(make: Any, seed: int) -> None:
    model = make("channels_first")
    x = inputs_for(tuple(model.inputs[0].shape[1:]), seed).astype("float32")
    woken(model, x, seed)
    proven(model, random_plan(model, np.random.default_rng(seed)), x, most=1e-5)


@NETS
def test_it_costs_and_leaves_to_the_unit(make: Any) -> None:
    model = make("channels_first")
    graph = trace(model)
    # Every third, so that the three runs of the grouped convolution stay even.
    plan = Plan.cut(graph, {g.name: range(0, g.size, 3) for g in graph.free if g.name != "runs"})
    small = strip(zero(model, plan))
    cost = plan.cost(graph)
    assert (parameters(small), macs(small)) == (cost.parameters, cost.macs)
    assert parameters(small) < parameters(model)


def test_what_is_constant_folds_and_what_is_padded_does_not() -> None:
    i = keras.Input((3, 6, 9))
    own: dict[str, Any] = {"data_format": "channels_first"}
    x = L.Conv2D(4, 1, activation="sigmoid", name="a", **own)(i)
    x = L.Conv2D(5, 2, activation="tanh", name="b", **own)(x)
    x = L.PReLU(shared_axes=[2, 3], alpha_initializer="ones")(x)
    x = L.Conv2D(3, 2, padding="same", name="c", **own)(x)
    model = keras.Model(i, L.Dense(2)(L.Flatten(**own)(x)))
    x = inputs_for((3, 6, 9), 0).astype("float32")
    woken(model, x, 0)
    for name in ("a", "b"):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[..., :2] = 0
        model.get_layer(name).set_weights([kernel, bias])
    small, report = strip_with_report(model)
    np.testing.assert_allclose(small(x), model(x), rtol=0, atol=1e-5)
    assert report.removed == {"a": 2}
    assert [(kept.layer, kept.channels) for kept in report.kept] == [("b", (0, 1))]
    assert "padding" in report.kept[0].reason


@pytest.mark.parametrize(("axis", "folds"), [(1, True), (-1, False)])
def test_a_batch_norm_folds_only_on_the_channels(axis: int, folds: bool) -> None:
    i = keras.Input((3, 4, 6))
    x = L.Conv2D(4, 1, data_format="channels_first", name="conv")(i)
    x = L.ReLU()(L.BatchNormalization(axis=axis)(x))
    model = keras.Model(i, L.Dense(2)(L.Flatten()(x)))
    x = inputs_for((3, 4, 6), 0).astype("float32")
    woken(model, x, 0)
    small = strip(model, fold_batchnorm=True)
    np.testing.assert_allclose(small(x), model(x), rtol=0, atol=1e-5)
    assert folds != any(isinstance(one, L.BatchNormalization) for one in small.layers)


def test_where_keras_may_add_the_bias_to_the_width_the_layer_keeps_its_size() -> None:
    own: dict[str, Any] = {"data_format": "channels_first", "activation": "relu"}
    i = keras.Input((3, 6, 6))
    x = L.Conv2D(5, 3, name="narrow", **own)(i)
    x = L.Conv2D(4, 1, use_bias=False, name="bare", **own)(x)
    graph = trace(keras.Model(i, L.Dense(2)(L.Flatten()(x))))
    assert graph["bare"].fixed is None
    assert "adds a bias along the width" in (graph["narrow"].fixed or "")
