"""Single weights and blocks: how many go, which ones, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.errors import PlanError
from edgeprune.planning import make_plan, ramp
from edgeprune.plans import Mask, Plan
from edgeprune.scores import Scores

SHAPES = {"conv/kernel": (3, 3, 2, 5), "body/dense/kernel": (18, 7), "head/kernel": (7, 3)}
KINDS = {"conv/kernel": "convolution", "body/dense/kernel": "dense", "head/kernel": "dense"}


def at_least(share: float, total: int) -> int:
    """The fewest whole weights that are a share of ``total``."""
    return math.ceil(share * total - 1e-9 * total)


def scores_of(seed: int = 0, levels: int | None = None) -> Scores:
    """Random scores; few ``levels`` make ties."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in SHAPES.items():
        value = random.random(shape) if levels is None else random.integers(0, levels, shape)
        weights[name] = value.astype(np.float32)
    return Scores("magnitude", "m", weights, kinds=KINDS)


def zeros(plan: Plan) -> int:
    return sum(int((~mask.keep).sum()) for mask in plan.masks)


def masks(plan: Plan) -> dict[str, np.ndarray]:
    return {mask.weight: mask.keep for mask in plan.masks}


N = sum(math.prod(shape) for shape in SHAPES.values())


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.97), st.integers(0, 50), st.sampled_from([None, 1, 3]))
def test_global_sparsity_takes_exactly_the_rounded_share_and_the_lowest(s, seed, levels):
    scores = scores_of(seed, levels)
    plan = make_plan(scores, sparsity=s)
    assert zeros(plan) == at_least(s, N)
    keep = masks(plan)
    gone = [scores.weights[name][~k] for name, k in keep.items()]
    left = [
        value[keep.get(name, np.ones(value.shape, bool))] for name, value in scores.weights.items()
    ]
    if gone and not plan.why["guarded"]:
        assert np.concatenate(gone).max() <= min(part.min() for part in left)
    assert all(part.size for part in left)
    assert plan.digest() == make_plan(scores, sparsity=s).digest()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 50))
def test_layer_sparsity_takes_the_share_of_each(s, seed):
    keep = masks(make_plan(scores_of(seed), sparsity=s, scope="layer"))
    for name, shape in SHAPES.items():
        size = math.prod(shape)
        lost = int((~keep[name]).sum()) if name in keep else 0
        assert lost == min(at_least(s, size), size - 1)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 50), st.sampled_from(["global", "layer"]))
def test_blocks_go_whole_along_the_input_axis_of_dense_kernels(s, seed, scope):
    scores = scores_of(seed)
    plan = make_plan(scores, sparsity=s, pattern="1x4", scope=scope)
    for mask in plan.masks:
        dense = scores.kinds[mask.weight] == "dense"
        assert mask.pattern == ("1x4" if dense else "none")
        for start in range(0, mask.keep.shape[0], 4) if dense else ():
            block = mask.keep[start : start + 4]
            assert (block.all(axis=0) | ~block.any(axis=0)).all()
    if scope == "global" and not plan.why["guarded"]:
        assert at_least(s, N) <= zeros(plan) < at_least(s, N) + 4


def test_a_short_last_block_is_judged_by_its_mean():
    value = np.ones((6, 1), np.float32)
    value[:4] = 0.1  # sum 0.4, mean 0.1
    value[4:] = 0.15  # sum 0.3, mean 0.15
    scores = Scores("magnitude", "m", {"d/kernel": value}, kinds={"d/kernel": "dense"})
    (mask,) = make_plan(scores, sparsity=0.5, pattern="1x4").masks
    assert mask.keep[:, 0].tolist() == [False] * 4 + [True] * 2


def test_threshold_takes_what_lies_below_it():
    scores = scores_of()
    keep = masks(make_plan(scores, threshold=0.3))
    for name, value in scores.weights.items():
        assert (keep[name] == (value >= np.float32(0.3))).all()


def test_no_layer_dies_and_the_plan_says_so():
    scores = scores_of()
    low = dict(scores.weights) | {"head/kernel": scores.weights["head/kernel"] * 1e-3}
    plan = make_plan(Scores("taylor", "m", low, kinds=KINDS), sparsity=0.9)
    assert masks(plan)["head/kernel"].sum() == 1
    assert plan.why["guarded"] == ["head/kernel"]
    assert zeros(plan) == at_least(0.9, N)
    all_below = make_plan(scores, threshold=2.0)
    assert zeros(all_below) == N - len(SHAPES)
    assert set(all_below.why["guarded"]) == set(SHAPES)


def test_excluded_weights_keep_all_and_count():
    scores = scores_of()
    for glob in ("head", "head/*", "head/kernel", "*ead*"):
        plan = make_plan(scores, sparsity=0.6, exclude=[glob])
        assert "head/kernel" not in masks(plan)
        assert zeros(plan) == at_least(0.6, N)
    assert "body/dense/kernel" not in masks(make_plan(scores, sparsity=0.3, exclude=["body"]))


def test_a_sparsity_that_exclusions_make_impossible_is_refused():
    with pytest.raises(PlanError, match=r"at most 0\.62"):
        make_plan(scores_of(), sparsity=0.9, exclude=["conv"])


def test_an_exclude_that_matches_nothing_names_the_nearest():
    with pytest.raises(PlanError, match=r"'haed' matches no layer.*'head'"):
        make_plan(scores_of(), sparsity=0.5, exclude=["haed"])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.6), st.integers(0, 20), st.sampled_from(["none", "1x4"]))
def test_earlier_zeros_stay_and_count(s, seed, pattern):
    first = make_plan(scores_of(seed), sparsity=s / 2, pattern=pattern)
    second = make_plan(scores_of(seed + 1), sparsity=s, pattern=pattern, within=first)
    now = masks(second)
    for mask in first.masks:
        assert not now[mask.weight][~mask.keep].any()
    assert at_least(s, N) <= zeros(second) < at_least(s, N) + 4


def test_less_than_what_is_gone_changes_nothing():
    first = make_plan(scores_of(), sparsity=0.5)
    assert make_plan(scores_of(1), sparsity=0.2, within=first).digest() == first.digest()


def test_why_says_what_was_asked_and_reached():
    why = make_plan(scores_of(), sparsity=0.5).why
    assert why["method"] == "magnitude"
    assert why["asked"] == {"sparsity": 0.5}
    assert why["reached"]["zeros"] == at_least(0.5, N)
    assert 0.4 < why["threshold"] < 0.6


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "exactly one"),
        ({"sparsity": 0.5, "threshold": 0.1}, "exactly one"),
        ({"sparsity": 0.5, "threshold": 0.1, "channels": 0.1}, "exactly one"),
        ({"threshold": 0.5, "channels": 0.1}, "exactly one"),
        ({"sparsity": 1.0}, "sparsity = 1.0"),
        ({"sparsity": -0.1}, "sparsity = -0.1"),
        ({"sparsity": float("nan")}, "sparsity = nan"),
        ({"threshold": -1.0}, "threshold = -1.0"),
        ({"threshold": float("inf")}, "threshold = inf"),
        ({"channels": 1.5}, "channels = 1.5"),
        ({"channels": 0.5}, "graph"),
        ({"sparsity": 0.5, "pattern": "1x5"}, "did you mean '1x4'"),
        ({"sparsity": 0.5, "scope": "layers"}, "did you mean 'layer'"),
    ],
)
def test_requests_that_make_no_sense_are_refused(asked, said):
    with pytest.raises(PlanError, match=said):
        make_plan(scores_of(), **asked)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused_by_name(value):
    scores = scores_of()
    scores.weights["head/kernel"][0, 0] = value
    with pytest.raises(PlanError, match="'head/kernel' hold NaN or Inf"):
        make_plan(scores, sparsity=0.5)


def test_scores_without_weights_and_a_plan_of_another_model_are_refused():
    with pytest.raises(PlanError, match="no weight"):
        make_plan(Scores("magnitude", "m", {}), sparsity=0.5)
    with pytest.raises(PlanError, match="another model"):
        make_plan(scores_of(), sparsity=0.5, within=Plan("other"))
    strange = Plan("m", masks=(Mask("head/kernel", np.ones((2, 2), bool)),))
    with pytest.raises(PlanError, match="head/kernel"):
        make_plan(scores_of(), sparsity=0.5, within=strange)


@given(st.floats(0, 0.999), st.integers(1, 30), st.sampled_from(["cubic", "linear", "constant"]))
def test_a_ramp_never_falls_and_ends_at_its_target(target, rounds, schedule):
    shares = ramp(schedule, target, rounds)
    assert len(shares) == rounds
    assert shares[-1] == target
    assert list(shares) == sorted(shares)


def test_the_cubic_ramp_is_the_published_one():
    assert ramp("cubic", 0.8, 4) == pytest.approx(
        [0.8 * (1 - (1 - t / 4) ** 3) for t in (1, 2, 3, 4)]
    )
    for bad in (("cubik", 0.5, 2), ("cubic", 1.0, 2), ("cubic", 0.5, 0)):
        with pytest.raises(PlanError):
            ramp(*bad)
