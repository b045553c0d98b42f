"""How surely one model is worse than another: the intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from edgeprune.drops import paired, resampled


def test_the_drop_is_the_mean_of_the_differences() -> None:
    drop = paired(np.array([1.0] * 3 + [-1.0] + [0.0] * 96), counted=True)
    assert drop.value == pytest.approx(0.02) and drop.examples == 100
    # Agresti and Min: b + ½ lost, c + ½ won, n + 2.
    assert drop.centre == pytest.approx((3.5 - 1.5) / 102)
    assert drop.error == pytest.approx(((5 / 102 - drop.centre**2) / 102) ** 0.5)
    low, high = drop.interval()
    assert low < 0.02 < high < drop.most(0.975)


def test_no_change_on_few_examples_is_no_certainty() -> None:
    assert paired(np.zeros(40), counted=True).most() > 0.02
    assert paired(np.zeros(40_000), counted=True).most() < 1e-4


def test_numbers_that_are_no_accuracy_have_their_standard_error() -> None:
    values = np.random.default_rng(0).normal(0.3, 2, 400)
    drop = paired(values)
    assert drop.value == drop.centre == pytest.approx(values.mean())
    assert drop.error == pytest.approx(values.std(ddof=1) / 20)
    assert paired(np.array([0.5])).error == float("inf")
    # No change of a squared error is no accuracy of which few examples would say little.
    assert paired(np.zeros(40)).interval() == (0, 0)
    assert paired(np.array([0.0] * 38 + [1.0, -1.0])).centre == 0


@pytest.mark.parametrize("examples", [200, 2000])
@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.01), (0.005, 0.0), (0.05, 0.05)])
def test_intervals_hold_the_truth_and_bounds_another_set(examples, lost, won) -> None:
    random = np.random.default_rng(examples)
    draw = lambda: random.choice([1.0, -1.0, 0.0], examples, p=[lost, won, 1 - lost - won])  # noqa: E731
    held = within = 0
    for _ in range(600):
        drop = paired(draw(), counted=True)
        low, high = drop.interval(0.95)
        held += low <= lost - won <= high
        within += draw().mean() <= drop.most(0.95)
    assert held >= 0.92 * 600 and within >= 0.92 * 600
    assert within <= 0.999 * 600 or lost * examples < 5


def test_a_bootstrap_agrees_with_the_formula_and_goes_by_seed() -> None:
    values = np.random.default_rng(1).normal(0.1, 1, 500)
    drop = resampled(lambda rows: float(values[rows].mean()), 500, seed=3)
    assert drop.value == pytest.approx(values.mean())
    assert drop.error == pytest.approx(paired(values).error, rel=0.15)
    assert drop == resampled(lambda rows: float(values[rows].mean()), 500, seed=3)
    assert drop != resampled(lambda rows: float(values[rows].mean()), 500, seed=4)
