"""Strip never breaks a 1x4 pattern."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surgery_nets import inputs_for

from edgeprune.models import named_weights, values_digest
from edgeprune.surgery import strip_with_report
from edgeprune.surgery.blocks import has_pattern, nonempty_blocks, packed

L = keras.layers


def _blocked(rng: np.random.Generator, shape: tuple[int, int], density: float) -> np.ndarray:
    """A random kernel whose zeros fill whole blocks of four rows."""
    blocks = rng.random((-(-shape[0] // 4), shape[1])) < density
    return rng.normal(size=shape) * np.repeat(blocks, 4, axis=0)[: shape[0]]


def _blocks(kernel: Any) -> int:
    """Counted here by itself, the slow way."""
    kernel = np.asarray(kernel)
    return sum(
        bool(kernel[start : start + 4, column].any())
        for start in range(0, kernel.shape[0], 4)
        for column in range(kernel.shape[1])
    )


def _perceptron(rng: np.random.Generator, sizes: list[int], density: float, dead: float) -> Any:
    """Kernels in blocks; units dead because nothing reads them, or because they are constant."""
    layers = [L.Dense(size, activation="relu") for size in sizes[1:-1]]
    model = keras.Sequential([keras.Input((sizes[0],)), *layers, L.Dense(sizes[-1])])
    kernels = [_blocked(rng, tuple(layer.kernel.shape), density) for layer in model.layers]
    for place, layer in enumerate(model.layers[:-1]):
        gone = rng.random(layer.units) < dead
        unread = rng.random(layer.units) < 0.5
        kernels[place][:, gone & ~unread] = 0
        kernels[place + 1][gone & unread] = 0
    for layer, kernel in zip(model.layers, kernels, strict=True):
        layer.kernel.assign(kernel)
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def _holds(model: Any, tolerance: float = 1e-5) -> Any:
    """Strip, assert what must hold, return the report."""
    small, report = strip_with_report(model)
    x = inputs_for(tuple(model.inputs[0].shape[1:]), 0).astype("float32")
    expected = np.asarray(model(x))
    assert np.abs(expected - np.asarray(small(x))).max() <= tolerance * np.abs(expected).max()
    for layer in model.layers:
        if isinstance(layer, L.Dense) and has_pattern(
            np.asarray(layer.kernel) != 0, np.zeros(layer.kernel.shape[0], bool)
        ):
            assert _blocks(small.get_layer(layer.name).kernel) <= _blocks(layer.kernel)
    again, _ = strip_with_report(small)
    assert values_digest(again) == values_digest(small)
    return small, report


def test_the_mlp_of_the_demo_keeps_its_blocks() -> None:
    model = _perceptron(np.random.default_rng(0), [784, 512, 512, 10], 0.07, 0.02)
    small, report = _holds(model)
    assert sum(report.removed.values()) > 0
    kept = [each for each in report.kept if each.reason == "blocks of 1x4 stay whole"]
    dead = (
        1024
        - sum(layer.units for layer in small.layers[:-1])
        + sum(len(each.channels) for each in kept)
    )
    assert dead >= 15 and all(each.channels for each in kept)


def test_one_dead_unit_leaves_by_reordering() -> None:
    rng = np.random.default_rng(1)
    model = _perceptron(rng, [64, 64, 32, 5], 0.1, 0.0)
    kernel = np.array(named_weights(model)[f"{model.layers[1].name}/kernel"].numpy())
    alive = np.flatnonzero(kernel.any(axis=1))[0]
    kernel[alive] = 0
    model.layers[1].kernel.assign(kernel)
    small, report = _holds(model)
    assert small.layers[0].units < 64
    assert alive not in [c for kept in report.kept for c in kept.channels] or report.removed


def test_half_of_the_units_dead_leave_almost_all() -> None:
    model = _perceptron(np.random.default_rng(2), [64, 256, 128, 10], 0.2, 0.5)
    small, _ = _holds(model)
    assert small.layers[0].units < 180 and small.layers[1].units < 90


def test_without_a_pattern_every_dead_unit_leaves() -> None:
    rng = np.random.default_rng(3)
    model = _perceptron(rng, [32, 48, 24, 5], 1.0, 0.2)
    for layer in model.layers:
        layer.kernel.assign(np.asarray(layer.kernel) * (rng.random(layer.kernel.shape) < 0.5))
    _, report = _holds(model)
    assert report.removed and not report.kept


@pytest.mark.parametrize("filters", [8, 6])
def test_blocks_behind_flatten(filters: int) -> None:
    rng = np.random.default_rng(filters)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            L.Conv2D(filters, 3, activation="relu", name="conv"),
            L.Flatten(),
            L.Dense(20, name="dense", activation="relu"),
            L.Dense(3),
        ]
    )
    kernel = np.asarray(model.get_layer("conv").kernel).copy()
    kernel[..., [1, 2, 4]] = 0
    model.get_layer("conv").kernel.assign(kernel)
    model.get_layer("conv").bias.assign(rng.normal(size=filters))
    model.get_layer("dense").kernel.assign(_blocked(rng, (16 * filters, 20), 0.1))
    _holds(model)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.integers(4, 40), min_size=2, max_size=4),
    density=st.sampled_from([0.05, 0.1, 0.25, 0.45]),
    dead=st.sampled_from([0.02, 0.1, 0.3, 0.6]),
    seed=st.integers(0, 2**31 - 1),
)
def test_blocks_never_grow(sizes: list[int], density: float, dead: float, seed: int) -> None:
    _holds(_perceptron(np.random.default_rng(seed), [*sizes, 7], density, dead))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    units=st.integers(1, 70),
    width=st.integers(1, 12),
    density=st.sampled_from([0.05, 0.2, 0.45]),
    dead=st.floats(0, 1),
    tail=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_packing_keeps_who_lives_and_never_grows(
    units: int, width: int, density: float, dead: float, tail: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    nonzero = _blocked(rng, (units, width), density) != 0
    leaving = rng.random(units) < dead
    packing = packed(nonzero, leaving, tail=tail)
    order = packing.order.tolist()
    assert len(set(order)) == len(order)
    assert set(np.flatnonzero(~leaving)) <= set(order)
    assert set(packing.kept.tolist()) == set(order) & set(np.flatnonzero(leaving).tolist())
    alive = nonzero & ~leaving[:, None]
    assert nonempty_blocks(alive[packing.order]) <= nonempty_blocks(alive)
    assert nonempty_blocks(alive) == _blocks(alive)
    assert tail or len(order) == units or len(order) % 4 == 0


def test_what_a_pattern_is() -> None:
    rng = np.random.default_rng(0)
    none = np.zeros(64, bool)
    assert has_pattern(_blocked(rng, (64, 64), 0.1) != 0, none)
    assert not has_pattern(rng.random((64, 64)) < 0.1, none)
    assert not has_pattern(_blocked(rng, (64, 64), 0.7) != 0, none)
    assert not has_pattern(np.zeros((64, 64), bool), none)
    short = _blocked(rng, (62, 64), 0.1) != 0
    assert has_pattern(short, none[:62])
    dead = rng.random(64) < 0.2
    ragged = (_blocked(rng, (64, 64), 0.1) != 0) | dead[:, None]
    assert not has_pattern(ragged, none)
    assert has_pattern(ragged, dead)
