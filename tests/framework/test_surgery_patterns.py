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
from edgeprune.patterns import Pattern
from edgeprune.pipeline.goals import Goal
from edgeprune.plans import Mask, Plan
from edgeprune.surgery import strip_with_report
from edgeprune.surgery.blocks import block_of, nonempty_blocks, packed
from edgeprune.surgery.quotas import SURE, quota_in

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


def kept(kernel: Any, pattern: str) -> bool:
    """Whether a Dense or convolution kernel keeps to an N:M, told from its values alone."""
    parsed = Pattern.parse(pattern)
    assert parsed.quota is not None
    led = np.moveaxis(np.asarray(kernel) != 0, -2 if parsed.axis == "input" else -1, 0)
    led = led.reshape(led.shape[0], -1)
    groups = [led[first : first + parsed.size] for first in range(0, led.shape[0], parsed.size)]
    return all(group.sum(axis=0).max() <= parsed.quota for group in groups)


def with_dead_units(kind: str, units: int = 24) -> Any:
    """A net whose middle layer has dead units: a whole group of four, and others here and there."""
    keras.utils.set_random_seed(3)
    mix: dict[str, Any] = {
        "dense": ((20,), lambda name, size: L.Dense(size, activation="relu", name=name)),
        "convolution": ((9, 9, 3), lambda name, size: L.Conv2D(size, 3, name=name)),
    }
    shape, layer = mix["convolution" if kind == "flat" else kind]
    x = inputs = keras.Input(shape)
    x = layer("make", units)(x)
    if kind == "flat":
        x = L.Flatten()(x)
        x = L.Dense(16, activation="relu", name="read")(x)
    else:
        x = layer("read", 16)(x)
    x = L.Flatten()(x) if kind == "convolution" else x
    model = keras.Model(inputs, L.Dense(3, name="out")(x))
    read = model.get_layer("read")
    kernel, bias = read.get_weights()
    led = kernel.reshape(-1, units, 16)
    led[:, [1, 4, 5, 6, 7, 10, 19]] = 0
    read.set_weights([led.reshape(kernel.shape), bias])
    return model


@pytest.mark.parametrize("told", [True, False], ids=["with the plan", "by the zeros"])
@pytest.mark.parametrize("kind", ["dense", "convolution", "flat"])
@pytest.mark.parametrize("pattern", ["2:4", "1:4", "4:8", "2:4:output"])
def test_what_keeps_to_n_of_m_still_does_when_units_leave(
    kind: str, pattern: str, told: bool
) -> None:
    model = with_dead_units(kind)
    plan = edgeprune.plan(edgeprune.score(model, None, "magnitude"), pattern=pattern)
    zeroed = edgeprune.zero(model, plan)
    small, report = strip_with_report(zeroed, plan=plan if told else None)
    x = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype(np.float32)
    same(zeroed, small, x)
    for name in ("make", "read"):
        assert kept(small.get_layer(name).kernel, pattern), name
    if pattern in ("2:4", "1:4"):
        # The group that is dead as a whole left, the others stay and it is said why.
        assert small.get_layer("make").kernel.shape[-1] == 20
        (stays,) = [each for each in report.kept if each.layer == "make"]
        assert {1, 10, 19} <= set(stays.channels) and not {4, 5, 6, 7} & set(stays.channels)
        assert stays.reason == f"groups of {pattern} stay whole"
    if told:
        assert kept(small.get_layer("out").kernel, pattern)
    again, _ = strip_with_report(small, plan=plan if told else None)
    for one, other in zip(small.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_dead_units_leave_where_n_of_m_is_kept_without_them() -> None:
    """Behind the last unit that lives there is nobody to shift."""
    model = with_dead_units("dense")
    read = model.get_layer("read")
    kernel, bias = read.get_weights()
    place = np.arange(24)[:, None] % 4
    kernel[:] = np.where((place < 2) == (np.arange(16) % 2 == 0), 1, 0)
    kernel[21:] = 0
    read.set_weights([kernel, bias])
    plan = Plan(edgeprune.trace(model).model, (), (Mask("read/kernel", kernel != 0, "2:4"),))
    small, report = strip_with_report(model, plan=plan)
    assert small.get_layer("make").units == 21 and not report.kept
    assert kept(small.get_layer("read").kernel, "2:4")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.75, 0.95])
def test_zeros_anywhere_are_no_n_of_m(share: float) -> None:
    rng = np.random.default_rng(7)
    for rows, columns in ((24, 16), (64, 64), (300, 100)):
        nonzero = rng.random((rows, columns)) >= share
        dead = rng.random(rows) < 0.2
        assert quota_in(nonzero, dead) is None
        assert quota_in(nonzero, ~nonzero.any(axis=1)) is None


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 7), st.integers(2, 8), st.integers(4, 30), st.integers(40, 80), st.integers(0)
)
def test_n_of_m_is_found_in_a_kernel_of_some_size(
    keep: int, size: int, groups: int, columns: int, seed: int
) -> None:
    if keep >= size:
        keep = size - 1
    rng = np.random.default_rng(seed)
    order = rng.random((groups, size, columns)).argsort(axis=1)
    nonzero = (order < keep).reshape(-1, columns)
    if expected(nonzero, keep, size) >= 2 * SURE:
        assert quota_in(nonzero, np.zeros(groups * size, bool)) == (keep, size)


def expected(nonzero: Any, keep: int, size: int) -> float:
    """How many groups would have more than N, by drawing instead of by formula."""
    rng = np.random.default_rng(1)
    drawn = rng.random((2000, size)) < nonzero.mean()
    return float((drawn.sum(axis=1) > keep).mean() * nonzero.size / size)


def test_prune_writes_what_keeps_to_n_of_m() -> None:
    model = with_dead_units("dense")
    x = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    small, plan = edgeprune.prune(
        model,
        (x, np.zeros((64, 3))),
        loss="mse",
        metric="loss",
        pattern="2:4",
        epochs=1,
        method="magnitude",
    )
    assert {mask.pattern for mask in plan.masks} == {"2:4"}
    for name in ("make", "read", "out"):
        assert kept(small.get_layer(name).kernel, "2:4"), name


def test_prune_in_blocks_writes_no_more_blocks_than_it_planned() -> None:
    model = with_dead_units("dense", 64)
    x = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32)
    data = (x, np.zeros((64, 3)))
    small, plan = edgeprune.prune(
        model, data, loss="mse", metric="loss", sparsity=0.85, pattern="1x4", epochs=1
    )
    assert small.get_layer("make").units < 64
    planned = next(mask.keep for mask in plan.masks if mask.weight == "read/kernel")
    stripped = np.asarray(small.get_layer("read").kernel) != 0
    assert nonempty_blocks(stripped) <= nonempty_blocks(planned)
