"""Whole channels, alone and with single weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning import make_plan
from edgeprune.scores import Scores


def at_least(share: float, total: int) -> int:
    """The fewest whole weights that are a share of ``total``."""
    return math.ceil(share * total - 1e-9 * total)


def _member(weight, axis, size, role, repeat=1):
    return Member(weight, axis, np.tile(np.arange(size, dtype=np.int32), repeat), role)


def _chain() -> Graph:
    """conv (8) → flatten of 4 places → dense (6) → head, whose own outputs are fixed."""
    conv = Group(
        "conv",
        8,
        (
            _member("conv/kernel", 3, 8, "makes"),
            _member("conv/bias", 0, 8, "makes"),
            _member("norm/moving_mean", 0, 8, "follows"),
            _member("dense/kernel", 0, 8, "reads", repeat=4),
        ),
    )
    dense = Group(
        "dense", 6, (_member("dense/kernel", 1, 6, "makes"), _member("head/kernel", 0, 6, "reads"))
    )
    head = Group("head", 3, (_member("head/kernel", 1, 3, "makes"),), fixed="the model's output")
    return Graph("m", (conv, dense, head))


GRAPH = _chain()
SHAPES = {"conv/kernel": (3, 3, 1, 8), "dense/kernel": (32, 6), "head/kernel": (6, 3)}
N = sum(int(np.prod(shape)) for shape in SHAPES.values())


def scores_of(seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    weights = {name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()}
    kinds = {"conv/kernel": "convolution", "dense/kernel": "dense", "head/kernel": "dense"}
    return Scores("taylor", "m", weights, kinds=kinds)


def drops(plan):
    return {cut.group: cut.drop.tolist() for cut in plan.cuts}


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.99), st.integers(0, 30))
def test_each_group_loses_its_share_and_keeps_one(share, seed):
    plan = make_plan(scores_of(seed), GRAPH, channels=share, scope="layer")
    dropped = drops(plan)
    for name, size in (("conv", 8), ("dense", 6)):
        assert len(dropped.get(name, [])) == min(round(share * size), size - 1)
    assert "head" not in dropped
    assert not plan.masks


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.99), st.integers(0, 30))
def test_all_groups_together_lose_the_share_and_keep_one_each(share, seed):
    dropped = drops(make_plan(scores_of(seed), GRAPH, channels=share))
    assert sum(map(len, dropped.values())) == min(round(share * 14), 12)
    assert len(dropped.get("conv", [])) <= 7
    assert len(dropped.get("dense", [])) <= 5


def test_the_channels_with_the_lowest_summed_scores_go():
    scores = scores_of()
    made = scores.weights["conv/kernel"].sum(axis=(0, 1, 2))
    read = scores.weights["dense/kernel"].sum(axis=1).reshape(4, 8).sum(axis=0)
    wanted = np.sort(np.argsort(made + read)[:4]).tolist()
    assert drops(make_plan(scores, GRAPH, channels=0.5, scope="layer"))["conv"] == wanted


def test_each_run_of_a_grouped_convolution_scores_the_channels_it_reads():
    """Of four filters the first two read channels 0 and 1, the others 2 and 3: one of each leaves,
    as the runs stay even."""
    runs = Member("grouped/kernel", 0, np.array([[0, 1], [2, 3]], np.int32), "reads")
    group = Group("made", 4, (_member("made/kernel", 1, 4, "makes"), runs))
    kernel = np.array([[1, 1, 9, 9], [2, 2, 0, 0]], np.float32)  # (read, filters)
    made = np.zeros((3, 4), np.float32)
    scores = Scores("taylor", "m", {"made/kernel": made, "grouped/kernel": kernel})
    graph = Graph("m", (group,))
    assert drops(make_plan(scores, graph, channels=0.2)) == {}
    assert drops(make_plan(scores, graph, channels=0.5)) == {"made": [0, 3]}
    for shape in ((2, 3), (3, 4), (4,)):
        wrong = {"made/kernel": made, "grouped/kernel": np.ones(shape, np.float32)}
        with pytest.raises(PlanError, match="'grouped/kernel' do not fit this graph"):
            make_plan(Scores("taylor", "m", wrong), graph, channels=0.25)


def test_given_channel_scores_decide():
    scores = scores_of()
    given = {"conv": np.arange(8, 0, -1, dtype=np.float32)}
    scores = Scores("gate", "m", scores.weights, given, scores.kinds)
    assert drops(make_plan(scores, GRAPH, channels=0.25, scope="layer"))["conv"] == [6, 7]


def test_a_hybrid_counts_the_zeros_of_its_cuts():
    plan = make_plan(scores_of(), GRAPH, channels=0.25, sparsity=0.7, scope="global")
    assert plan.cuts
    assert sum(int((~mask.keep).sum()) for mask in plan.masks) == at_least(0.7, N)
    keep = {mask.weight: mask.keep for mask in plan.masks}
    for drop in drops(plan).get("conv", []):
        assert not keep["conv/kernel"][..., drop].any()
        assert not keep["dense/kernel"][drop::8].any()
    assert plan.why["asked"] == {"sparsity": 0.7, "channels": 0.25}


def test_earlier_cuts_and_masks_stay():
    first = make_plan(scores_of(), GRAPH, channels=0.25, sparsity=0.4, scope="layer")
    second = make_plan(scores_of(5), GRAPH, channels=0.5, scope="layer", within=first)
    for name, drop in drops(first).items():
        assert set(drop) <= set(drops(second)[name])
    assert len(drops(second)["conv"]) == 4
    before = {mask.weight: mask.keep for mask in first.masks}
    after = {mask.weight: mask.keep for mask in second.masks}
    assert all(not after[name][~keep].any() for name, keep in before.items())
    with pytest.raises(PlanError, match="graph"):
        make_plan(scores_of(), sparsity=0.5, within=first)


def test_an_excluded_layer_keeps_its_units():
    plan = make_plan(scores_of(), GRAPH, channels=0.5, exclude=["dense"], scope="layer")
    assert set(drops(plan)) == {"conv"}
    with pytest.raises(PlanError, match="no group of this model is free"):
        make_plan(scores_of(), GRAPH, channels=0.5, exclude=["dense", "conv"])


def test_a_graph_of_another_model_is_refused():
    with pytest.raises(PlanError, match="another model"):
        make_plan(scores_of(), Graph("n", GRAPH.groups), channels=0.5)
