"""Least squares on random graphs of every layer family: what holds whatever the model is."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from random_graphs import WORDS, Case, cases, grown
from surgery_nets import outputs_of, random_plan, woken
from test_surgery_random import told

import edgeprune
from edgeprune.errors import PlanError
from edgeprune.models import kernels, named_weights
from edgeprune.pipeline.reconstructing import reconstructed
from edgeprune.plans import Plan

FEW, MANY = 2, 60
EXAMPLES = 24
ROUNDING = 1e-4
"""Of float32, as a share of what the dense model answers."""


def many_of(x: Any, seed: int) -> list[np.ndarray]:
    """As many examples as it takes to solve something, each with a spread of its own."""
    random = np.random.default_rng(seed)
    found = []
    for array in x if isinstance(x, list) else [x]:
        shape = (EXAMPLES, *array.shape[1:])
        if (array == np.round(array)).all():
            found.append(random.integers(1, WORDS, shape).astype(array.dtype))
        else:
            spread = random.uniform(0.5, 2, (EXAMPLES,) + (1,) * (array.ndim - 1))
            found.append((random.normal(size=shape) * spread).astype(array.dtype))
    return found


def error_of(model: Any, dense: Any, x: list[np.ndarray]) -> float:
    """√ of the summed squares of what is wrong in all outputs, as a share of what is right."""
    given_ = x if len(x) > 1 else x[0]
    pairs = [*zip(outputs_of(model, given_), outputs_of(dense, given_), strict=True)]
    wrong, right = (
        sum(float((np.asarray(one, np.float64) ** 2).sum()) for one in values)
        for values in ([one - two for one, two in pairs], [two for _, two in pairs])
    )
    return float(np.sqrt(wrong / right))


def held(case: Case, seen: Counter[str], *, everything: bool) -> None:
    """Prove it for one model and one plan, given as zeroed and as stripped, with the plan and
    without; of these four two, where not ``everything`` is asked for."""
    one = grown(case)
    try:
        woken(one.model, one.x, case.seed)
    except AssertionError:
        assume(False)
    with told(case, one):
        dense, x = one.model, many_of(one.x, case.seed)
        plan = random_plan(dense, np.random.default_rng(case.seed))
        plan = replace(plan, masks=()) if case.seed % 2 else plan
        zeroed = edgeprune.zero(dense, plan)
        before = error_of(zeroed, dense, x)
        assume(np.isfinite(before))
        seen["models"] += 1
        seen["cut"] += before > ROUNDING
        batches = [(tuple(x),)]
        same, _ = reconstructed(dense, dense, batches)
        for path, weight in named_weights(same).items():
            theirs = np.asarray(named_weights(dense)[path])
            np.testing.assert_array_equal(weight, theirs, f"nothing was cut: {path}")
        stripped = edgeprune.strip(zeroed)
        after = {}
        ways = [
            ("zeroed", zeroed, None),
            ("stripped, plan", stripped, plan),
            ("zeroed, plan", zeroed, plan),
            ("stripped", stripped, None),
        ]
        for name, pruned, given_ in ways if everything else ways[:2]:
            new = _new(pruned, dense, batches, given_)
            if new is None:
                seen["not found by values"] += 1
                continue
            after[name] = error_of(new, dense, x)
            assert after[name] <= before * (1 + ROUNDING) + ROUNDING, (name, before, after)
            for path, kernel in kernels(pruned).items():
                there = np.asarray(kernel.variable) != 0
                value = np.asarray(kernels(new)[path].variable)
                assert (value[~there] == 0).all(), f"{name}: a zero of {path} grew back"
        seen["better"] += after["zeroed"] < 0.99 * before
        if not plan.masks:
            # A mask may leave a constant channel: zeroed, its bias is solved as any other's;
            # stripped, it is gone.
            seen["cuts alone"] += 1
            assert max(after.values()) - min(after.values()) <= 0.05 * before + ROUNDING, after


def _new(pruned: Any, dense: Any, batches: Any, plan: Plan | None) -> Any:
    """The reconstructed model; ``None`` where values do not tell and no plan is given."""
    try:
        return reconstructed(pruned, dense, batches, plan=plan)[0]
    except PlanError as error:
        if plan is None and "give plan=" in str(error):
            return None
        raise


@functools.cache
def proofs(amount: int) -> Counter[str]:
    """Prove it for so many cases; what was seen."""
    seen: Counter[str] = Counter()

    @settings(
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        max_examples=amount,
    )
    @given(case=cases())
    @example(case=Case("image", 4, 1016))  # one input is left of a grouped convolution
    def every(case: Case) -> None:
        held(case, seen, everything=amount > FEW)

    every()
    return seen


def test_what_holds_on_every_graph() -> None:
    seen = proofs(FEW)
    assert seen["models"] >= 2 and seen["cut"] >= 2 and seen["better"] >= 1, seen


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_what_holds_on_many_graphs() -> None:
    seen = proofs(MANY)
    assert seen["models"] >= 40 and seen["cut"] >= 30 and seen["better"] >= 15, seen
    assert seen["cuts alone"] >= 15, seen
    assert seen["not found by values"] <= 0.1 * seen["models"], seen
