"""Patterns other than 1x4 on models: rounds that come down to them, and strip that keeps them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeprune
from edgeprune.models import named_weights
from edgeprune.pipeline.goals import Goal
from edgeprune.surgery import strip_with_report
from edgeprune.surgery.blocks import block_of, nonempty_blocks, packed

L = keras.layers


def in_blocks(rng: np.random.Generator, rows: int, columns: int, size: int) -> Any:
    """A kernel with a fifth of its blocks along axis 0 left."""
    blocks = rng.random((-(-rows // size), columns)) < 0.2
    return rng.normal(size=(rows, columns)) * np.repeat(blocks, size, axis=0)[:rows]


def test_rounds_come_down_to_the_pattern_and_zeros_stay() -> None:
    goal = Goal(pattern="1:4", rounds=4, schedule="linear")
    assert [step["pattern"] for step in goal.steps()] == ["3:4", "2:4", "1:4", "1:4"]
    model = keras.Sequential([keras.Input((8,)), L.Dense(6, name="a"), L.Dense(3, name="b")])
    plan = None
    for number in range(1, 5):
        scores = edgeprune.score(model, None, "random", seed=number)
        former, plan = plan, goal.plan(scores, None, number=number, within=plan)
        keep = {mask.weight: mask.keep for mask in plan.masks}
        for mask in former.masks if former else ():
            assert not keep[mask.weight][~mask.keep].any()
    assert keep["a/kernel"].reshape(2, 4, 6).sum(axis=1).tolist() == [[1] * 6, [1] * 6]
    kernel = np.asarray(named_weights(edgeprune.zero(model, plan))["a/kernel"])
    assert np.array_equal(kernel != 0, keep["a/kernel"])


@pytest.mark.parametrize("name", ["Conv1D", "Conv2D", "SeparableConv2D"])
def test_pairs_of_outputs_go_together_in_pointwise_convolutions_alone(name: str) -> None:
    shape = (6, 4) if name == "Conv1D" else (6, 6, 4)
    model = keras.Sequential(
        [
            keras.Input(shape),
            getattr(L, name)(7, 1, name="point"),
            getattr(L, name.replace("Separable", ""))(6, 3, name="wide"),
        ]
    )
    scores = edgeprune.score(model, None, "magnitude")
    plan = edgeprune.plan(scores, sparsity=0.5, pattern="2x1", scope="layer")
    mask = next(mask for mask in plan.masks if mask.pattern == "2x1")
    assert mask.weight.startswith("point/")
    keep = mask.keep.reshape(4, 7)
    assert (keep[:, 0:6:2] == keep[:, 1:6:2]).all()
    assert {mask.pattern for mask in plan.masks if "wide" in mask.weight} == {"none"}


def test_a_transposed_convolution_has_its_inputs_last() -> None:
    model = keras.Sequential([keras.Input((5, 5, 8)), L.Conv2DTranspose(3, 2, name="up")])
    plan = edgeprune.plan(edgeprune.score(model, None, "magnitude"), pattern="2:4")
    (mask,) = plan.masks
    assert mask.keep.shape == (2, 2, 3, 8)
    assert (mask.keep.reshape(2, 2, 3, 2, 4).sum(axis=-1) == 2).all()


def same(model: Any, small: Any, x: Any) -> None:
    expected = np.asarray(model(x))
    assert np.abs(expected - np.asarray(small(x))).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("dead", [1, 5, 40])
def test_blocks_of_sixteen_stay_whole_when_units_leave(dead: int) -> None:
    rng = np.random.default_rng(dead)
    model = keras.Sequential([keras.Input((16,)), L.Dense(96, "relu"), L.Dense(20)])
    second = model.layers[1].kernel
    kernel = in_blocks(rng, 96, 20, 16)
    gone = rng.choice(np.flatnonzero(kernel.any(axis=1)), dead, replace=False)
    kernel[gone] = 0
    second.assign(kernel)
    small, report = strip_with_report(model)
    same(model, small, rng.normal(size=(9, 16)).astype("float32"))
    kept = np.asarray(small.layers[1].kernel) != 0
    assert nonempty_blocks(kept, 16) <= nonempty_blocks(kernel != 0, 16)
    assert small.layers[0].units <= 96
    assert small.layers[0].units < 96 or {k.reason for k in report.kept} == {
        "blocks of 1x16 stay whole"
    }


def test_pairs_of_outputs_stay_pairs_when_channels_leave() -> None:
    rng = np.random.default_rng(3)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 30)),
            L.Conv2D(24, 1, activation="relu", name="point"),
            L.Conv2D(5, 3, name="wide"),
        ]
    )
    point = in_blocks(rng, 24, 30, 2).T.reshape(1, 1, 30, 24)
    model.get_layer("point").kernel.assign(point)
    wide = np.asarray(model.get_layer("wide").kernel).copy()
    wide[:, :, [0, 5, 6, 13], :] = 0
    model.get_layer("wide").kernel.assign(wide)
    small, report = strip_with_report(model)
    same(model, small, rng.normal(size=(3, 4, 4, 30)).astype("float32"))
    assert small.get_layer("point").filters == 20 and not report.kept
    before = np.delete(point[0, 0].T != 0, [0, 5, 6, 13], axis=0)
    after = np.asarray(small.get_layer("point").kernel)[0, 0].T != 0
    assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
    # Whole pairs stay pairs; the four halves make two.
    assert (after[::2] != after[1::2]).any(axis=1).sum() <= 2
    alive = (point[0, 0].T != 0) & ~np.isin(np.arange(24), [0, 5, 6, 13])[:, None]
    assert nonempty_blocks(after, 2) <= nonempty_blocks(alive, 2)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([2, 16]),
    units=st.integers(1, 90),
    dead=st.floats(0, 1),
    tail=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_packing_keeps_who_lives_and_never_grows(
    size: int, units: int, dead: float, tail: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    nonzero = in_blocks(rng, units, 6, size) != 0
    leaving = rng.random(units) < dead
    packing = packed(nonzero, leaving, tail=tail, size=size)
    order = packing.order.tolist()
    assert len(set(order)) == len(order) and set(np.flatnonzero(~leaving)) <= set(order)
    alive = nonzero & ~leaving[:, None]
    assert nonempty_blocks(alive[packing.order], size) <= nonempty_blocks(alive, size)
    assert tail or len(order) == units or len(order) % size == 0


def test_scattered_zeros_are_no_pairs_however_many() -> None:
    rng = np.random.default_rng(0)
    none = np.zeros(128, bool)
    for density in (0.3, 0.05, 0.01, 0.003):
        assert block_of(rng.random((128, 256)) < density, none, (2,)) is None
        assert block_of(in_blocks(rng, 128, 256, 2) != 0, none, (2,)) == 2
    assert block_of(in_blocks(rng, 128, 256, 16) != 0, none, (16, 4)) == 16
    assert block_of(in_blocks(rng, 128, 256, 4) != 0, none, (16, 4)) == 4
