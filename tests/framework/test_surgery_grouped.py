"""Grouped convolutions: whole groups leave, or as many of each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surgery_nets import float64, inputs_for, proven, woken

from edgeprune.graphs import evened
from edgeprune.models import named_weights
from edgeprune.plans import Plan
from edgeprune.surgery import Kept, strip, strip_with_report, trace, zero
from edgeprune.surgery.grouped import gathered, spread

L = keras.layers
UNEVEN = "the groups of a grouped convolution stay of equal size"
X = inputs_for((6, 6, 3), 0)


def _net() -> Any:
    """8 inputs in 4 groups of 2 inputs and 3 filters; then 2 groups of 6 inputs and 5 filters."""
    i = keras.Input((6, 6, 3), name="i")
    x = L.Conv2D(8, 3, activation="relu", padding="same", name="a")(i)
    x = L.Conv2D(12, 3, groups=4, activation="elu", padding="same", name="g")(x)
    x = L.Conv2D(10, 1, groups=2, activation="sigmoid", name="h")(x)
    x = L.Conv2D(6, 1, activation="relu", name="b")(x)
    return keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def net() -> Any:
    with float64():
        model = _net()
        woken(model, X, 0)
    return model


def _same(one: Any, other: Any) -> bool:
    left, right = np.asarray(one(X)), np.asarray(other(X))
    return bool(np.abs(left - right).max() <= 1e-9 * np.abs(left).max())


def test_every_channel_is_one_of_its_group(net: Any) -> None:
    members = {
        group.name: {(m.weight, m.axis, m.role): m.channel.shape for m in group.members}
        for group in trace(net)
    }
    assert members["a"][("g/kernel", 2, "reads")] == (4, 2)
    assert members["g"][("g/kernel", 3, "makes")] == (12,)
    assert members["g"][("h/kernel", 2, "reads")] == (2, 6)
    assert {group.name for group in trace(net).free} == {"a", "g", "h", "b"}
    assert {name: [place[:2] for place in sorted(found)] for name, found in members.items()} == {
        "i": [("a/kernel", 2)],
        "a": [("a/bias", 0), ("a/kernel", 3), ("g/kernel", 2)],
        "g": [("g/bias", 0), ("g/kernel", 3), ("h/kernel", 2)],
        "h": [("b/kernel", 2), ("h/bias", 0), ("h/kernel", 3)],
        "b": [("b/bias", 0), ("b/kernel", 3), ("head/kernel", 0)],
        "head": [("head/bias", 0), ("head/kernel", 1)],
    }


@pytest.mark.parametrize(
    ("cuts", "removed", "left"),
    [
        # As many of each group.
        ({"a": [0, 2, 4, 6]}, {"a": 4}, {"g": (4, 12, 1), "h": (2, 10, 6)}),
        ({"a": [1, 3, 4, 7], "g": [0, 3, 6, 9]}, {"a": 4, "g": 4}, {"g": (4, 8, 1)}),
        # Whole groups: what they read, and what reads them, goes with them.
        ({"g": range(6)}, {"a": 4, "g": 6, "h": 5}, {"g": (2, 6, 2), "h": (1, 5, 6)}),
        ({"a": [2, 3], "g": [3, 4, 5]}, {"a": 0, "g": 0}, {"g": (4, 12, 2)}),
        # Not evenly: silenced, and kept as zeros.
        ({"a": [0, 3, 4]}, {"a": 0}, {"g": (4, 12, 2)}),
        ({"h": [1, 2, 6], "b": [2]}, {"h": 2, "b": 1}, {"h": (2, 8, 6)}),
    ],
)
def test_cut_is_silence(net: Any, cuts: Any, removed: Any, left: Any) -> None:
    before = {name: np.array(value) for name, value in named_weights(net).items()}
    silent = zero(net, Plan.cut(trace(net), cuts))
    small, report = strip_with_report(silent)
    assert not _same(net, silent)
    assert _same(silent, small)
    assert dict(report.removed) == {name: count for name, count in removed.items() if count}
    for name, (groups, filters, width) in left.items():
        layer = small.get_layer(name)
        assert (layer.groups, layer.filters, layer.kernel.shape[-2]) == (groups, filters, width)
    again = strip(small)
    for one, other in zip(small.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for name, value in named_weights(net).items():
        np.testing.assert_array_equal(before[name], value)


def test_what_cannot_leave_evenly_is_named(net: Any) -> None:
    report = strip_with_report(zero(net, Plan.cut(trace(net), {"h": [1, 2, 6]})))[1]
    assert report.kept == (Kept("h", (1,), UNEVEN),)
    report = strip_with_report(zero(net, Plan.cut(trace(net), {"a": [0, 3, 4]})))[1]
    assert report.kept == (Kept("a", (0, 3, 4), UNEVEN),)


def test_a_small_one_saves_trains_and_opens(tmp_path: Any) -> None:
    keras.utils.set_random_seed(0)
    model = _net()
    small = strip(zero(model, Plan.cut(trace(model), {"a": [0, 2, 4, 6], "h": [0, 9]})))
    small.compile("adam", "mse")
    small.fit(X, np.zeros((len(X), 3)), verbose=0)
    small.save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(X), small(X))


def test_blocks_of_a_pattern_stay_whole_behind_a_grouped_convolution() -> None:
    with float64():
        i = keras.Input((4, 4, 4))
        x = L.Conv2D(16, 1, groups=2, activation="sigmoid", name="g")(i)
        x = L.GlobalAveragePooling2D()(x)
        model = keras.Model(i, L.Dense(8, name="head")(x))
        rng = np.random.default_rng(0)
        weights = named_weights(model)
        for value in weights.values():
            value.assign(rng.normal(size=value.shape))
        keep = np.repeat(rng.random((4, 8)) < 0.4, 4, axis=0)
        weights["head/kernel"].assign(np.array(weights["head/kernel"]) * keep)
        silent = zero(model, Plan.cut(trace(model), {"g": [0, 8]}))
        small, report = strip_with_report(silent)
        x = inputs_for((4, 4, 4), 1)
        np.testing.assert_allclose(small(x), silent(x), rtol=0, atol=1e-9)
    assert Kept("g", (0, 8), "blocks of 1x4 stay whole") in report.kept


@pytest.mark.parametrize(
    ("cuts", "stays"),
    [({"a": [0, 2], "g": [0]}, (0,)), ({"g": [0]}, (0,)), ({"g": [0, 3]}, ()), ({"a": [0, 2]}, ())],
)
def test_what_stays_is_told_though_a_later_pass_sees_no_groups(
    cuts: dict[str, list[int]], stays: tuple[int, ...]
) -> None:
    """When one input a run is left, the filters belong to the inputs and nothing is uneven."""
    i = keras.Input((6, 6, 3))
    x = L.Conv2D(6, 1, groups=2, name="g")(L.Conv2D(4, 1, name="a")(i))
    model = keras.Model(i, L.Dense(2, name="o")(L.GlobalAveragePooling2D()(x)))
    woken(model, inputs_for((6, 6, 3), 0).astype("float32"), 0)
    _, report = strip_with_report(zero(model, Plan.cut(trace(model), cuts)))
    kept = [one for one in report.kept if one.layer == "g"]
    assert tuple(channel for one in kept for channel in one.channels) == stays
    assert all("stay of equal size" in one.reason for one in kept)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.randoms(use_true_random=False))
def test_spread_and_gathered(runs: int, width: int, filters: int, random: Any) -> None:
    rng = np.random.default_rng(random.randrange(2**32))
    kernel = rng.normal(size=(2, width, runs * filters))
    wide = spread(kernel, runs)
    assert wide.shape == (2, runs * width, runs * filters)
    for run in range(runs):
        block = wide[:, run * width : (run + 1) * width]
        mine = slice(run * filters, (run + 1) * filters)
        np.testing.assert_array_equal(block[..., mine], kernel[..., mine])
    assert np.count_nonzero(wide) == np.count_nonzero(kernel)
    np.testing.assert_array_equal(gathered(wide, runs), kernel)


@settings(max_examples=200)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**24))
def test_evened_keeps_what_was_to_stay_and_no_more_than_it_must(
    runs: int, inputs: int, filters: int, bits: int
) -> None:
    mask = np.array([bits >> n & 1 for n in range(runs * (inputs + filters))], bool)
    before = mask[: runs * inputs].reshape(runs, -1), mask[runs * inputs :].reshape(runs, -1)
    after = evened(*before)
    stays = before[0].any(axis=1) | before[1].any(axis=1)
    for was, now in zip(before, after, strict=True):
        assert not (was & ~now).any()
        assert not now[~stays].any()
        assert set(now[stays].sum(axis=1)) <= {max(1, was.sum(axis=1).max())}


@pytest.mark.parametrize(("drop", "left"), [([0], 6), ([0, 4], 4), ([3, 4, 5], 6)])
def test_filters_stay_even_behind_what_has_no_channels(drop: list[int], left: int) -> None:
    with float64():
        i = keras.Input((6, 6, 3))
        x = keras.ops.matmul(L.Conv2D(5, 1, name="a")(i), np.eye(5, 4))
        x = L.Conv2D(6, 1, groups=2, activation="tanh", name="g")(x)
        model = keras.Model(i, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))
        x = inputs_for((6, 6, 3), 0)
        woken(model, x, 0)
        small = proven(model, Plan.cut(trace(model), {"g": drop}), x)
    assert small.get_layer("g").filters == left
