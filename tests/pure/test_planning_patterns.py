"""Patterns: each mask keeps the most score that its pattern allows, held against every choice."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.errors import PlanError
from edgeprune.patterns import BLOCKS, Pattern
from edgeprune.planning import check_something, make_plan
from edgeprune.plans import Mask, Plan
from edgeprune.scores import Scores

SHAPES = {
    "dense/kernel": ("dense", (9, 3)),
    "conv/kernel": ("convolution", (3, 3, 2, 5)),
    "point/kernel": ("convolution", (1, 1, 3, 5)),
    "up/kernel": ("transposed", (2, 2, 5, 4)),
    "deep/kernel": ("depthwise", (3, 3, 4, 1)),
    "cell/recurrent_kernel": ("recurrent", (4, 16)),
    "words/embeddings": ("embedding", (6, 4)),
    "heads/kernel": ("dense", (4, 2, 3)),
}
INPUT = {"dense/kernel": 0, "conv/kernel": 2, "point/kernel": 2, "up/kernel": 3}
OUTPUT = {"dense/kernel": 1, "conv/kernel": 3, "point/kernel": 3, "up/kernel": 2}


BLOCKED = [
    ("1x4", "dense", (8, 2)),
    ("1x16", "dense", (64, 1)),
    ("2x1", "convolution", (1, 1, 3, 4)),
]


def scores_of(seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    weights = {name: random.random(shape).astype(np.float32) for name, (_, shape) in SHAPES.items()}
    return Scores("magnitude", "m", weights, kinds={n: kind for n, (kind, _) in SHAPES.items()})


def single(kind: str, score: np.ndarray) -> Scores:
    return Scores("magnitude", "m", {"k": score.astype(np.float32)}, kinds={"k": kind})


def keeps(plan: Plan) -> dict[str, np.ndarray]:
    return {mask.weight: mask.keep for mask in plan.masks}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(BLOCKED),
    st.floats(0.05, 0.8),
    st.integers(0, 1000),
)  # fmt: skip
def test_blocks_keep_the_most_score_of_all_choices_of_whole_blocks(case, share, seed):
    name, kind, shape = case
    score = np.random.default_rng(seed).random(shape)
    keep = keeps(make_plan(single(kind, score), sparsity=share, pattern=name))["k"]
    size, axis = BLOCKS[name], 0 if kind == "dense" else 3
    blocks = np.moveaxis(score.astype(np.float32), axis, 0).reshape(shape[axis] // size, size, -1)
    sums = blocks.sum(axis=1, dtype=np.float64).ravel()
    count = math.ceil(math.ceil(share * score.size - 1e-9) / size)
    best = max(
        sum(sums[list(stay)])
        for stay in itertools.combinations(range(sums.size), sums.size - min(count, sums.size - 1))
    )
    assert score[keep].sum() == pytest.approx(best, rel=1e-5)
    kept = np.moveaxis(keep, axis, 0).reshape(blocks.shape)
    assert (kept.all(axis=1) | ~kept.any(axis=1)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(1, 4), (2, 4), (1, 2), (3, 5)]),
    st.sampled_from(["input", "output"]),
    st.integers(1, 11),
    st.integers(0, 1000),
)
def test_n_of_m_keeps_the_most_score_of_all_masks_that_obey(quota, axis, length, seed):
    keep, size = quota
    score = np.random.default_rng(seed).random((length, 2))
    if axis == "output":
        score = score.T
    plan = make_plan(single("dense", score), pattern=f"{keep}:{size}:{axis}")
    kept = keeps(plan).get("k", np.ones(score.shape, bool))
    led, scored = (kept, score) if axis == "input" else (kept.T, score.T)
    for start in range(0, length, size):
        for column in range(2):
            group = led[start : start + size, column]
            assert group.sum() == min(keep, group.size)
            values = scored[start : start + size, column]
            best = max(
                values[list(stay)].sum()
                for stay in itertools.combinations(range(group.size), int(group.sum()))
            )
            assert values[group].sum() == pytest.approx(best)


def test_each_pattern_goes_along_its_own_axis_of_its_own_kernels():
    for name, sparsity in (("1x4", 0.5), ("1x16", 0.5), ("2x1", 0.5)):
        plan = make_plan(scores_of(), sparsity=sparsity, pattern=name)
        fits = {"point/kernel"} if name == "2x1" else {"dense/kernel", "heads/kernel"}
        assert {mask.weight for mask in plan.masks if mask.pattern == name} <= fits
        assert all(mask.pattern in (name, "none") for mask in plan.masks)
        assert set(plan.why["unpatterned"]) == set(SHAPES) - fits


@pytest.mark.parametrize(("name", "axes"), [("2:4", INPUT), ("2:4:output", OUTPUT)])
def test_n_of_m_takes_kernels_that_sum_over_inputs_and_leaves_the_rest_whole(name, axes):
    plan = make_plan(scores_of(), pattern=name)
    found = keeps(plan)
    recurrent = {"cell/recurrent_kernel": 0 if axes is INPUT else 1}
    # Of groups no longer than two nothing goes.
    wide = {k: a for k, a in (axes | recurrent).items() if SHAPES[k][1][a] > 2}
    assert set(found) == set(wide)
    assert {mask.pattern for mask in plan.masks} == {name}
    for weight, axis in wide.items():
        led = np.moveaxis(found[weight], axis, 0)
        for start in range(0, led.shape[0], 4):
            group = led[start : start + 4]
            assert (group.sum(axis=0) == min(2, len(group))).all()
    assert plan.why["asked"] == {"pattern": name}
    total = sum(value.size for value in scores_of().weights.values())
    assert plan.why["reached"]["sparsity"] == sum((~k).sum() for k in found.values()) / total
    assert {"deep/kernel", "words/embeddings", "heads/kernel"} <= set(plan.why["unpatterned"])


def test_zeros_of_before_count_in_their_group_and_stay():
    score = np.arange(8, dtype=float).reshape(8, 1) + 1
    before = np.ones((8, 1), bool)
    before[[3, 6, 7]] = False
    plan = make_plan(
        single("dense", score), pattern="2:4", within=Plan("m", masks=(Mask("k", before),))
    )
    kept = keeps(plan)["k"][:, 0]
    assert np.flatnonzero(kept).tolist() == [1, 2, 4, 5]


def test_excluded_kernels_stay_whole_and_equal_scores_go_in_order():
    assert "dense/kernel" not in keeps(make_plan(scores_of(), pattern="1:4", exclude=["dense"]))
    mask = keeps(make_plan(single("dense", np.ones((6, 1))), pattern="2:4"))["k"]
    assert mask[:, 0].tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"pattern": "2:4", "sparsity": 0.5}, "says itself how much goes.*leave sparsity out"),
        ({"pattern": "2:4", "threshold": 0.5}, "leave threshold out"),
        ({"pattern": "2:4", "channels": 0.5}, "leave channels out; channels can be cut"),
        ({"pattern": "4:4"}, "from 1 to below M"),
        ({"pattern": "0:4"}, "from 1 to below M"),
        ({"pattern": "2:4:inputs"}, "'input' or 'output'"),
        ({"pattern": "1x8", "sparsity": 0.5}, "did you mean '1x"),
        ({"pattern": "dense", "sparsity": 0.5}, "known: none, 1x4"),
        ({"pattern": None, "sparsity": 0.5}, "no pattern None"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(asked, said):
    with pytest.raises(PlanError, match=said):
        make_plan(scores_of(), **asked)


def test_a_model_that_the_pattern_is_not_for_is_told():
    scores = single("depthwise", np.ones((3, 3, 8, 1)))
    with pytest.raises(PlanError, match="2:4 is for kernels that sum over an input axis"):
        check_something(make_plan(scores, pattern="2:4"), scores)


def test_names_are_canonical_and_survive_a_file(tmp_path):
    assert Pattern.parse("2:4:input") == Pattern.parse("2:4")
    plan = make_plan(scores_of(), pattern="2:4:output")
    plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    assert {mask.pattern for mask in loaded.masks} == {"2:4:output"}
    assert loaded.digest() == plan.digest()
