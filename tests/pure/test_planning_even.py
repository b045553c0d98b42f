"""Groups in grouped convolutions: as many channels leave of each run, on graphs made by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.costs import Weight
from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning import Constraints, make_plan
from edgeprune.planning.evening import bundled, in_runs
from edgeprune.scores import Scores


def graph_of(groups, weights=None) -> Graph:
    """Each group of ``groups`` (name → how each grouped kernel holds it) made by a Dense kernel."""
    made = []
    shapes = dict(weights or {})
    for name, (size, members) in groups.items():
        own = Member(f"{name}/kernel", 1, np.arange(size, dtype=np.int32), "makes")
        shapes[f"{name}/kernel"] = Weight((1, size), name)
        made.append(Group(name, size, (own, *members)))
    return Graph("m", tuple(made), shapes)


def reading(kernel: str, rows) -> Member:
    return Member(kernel, 2, np.asarray(rows, np.int32), "reads")


def making(kernel: str, channel) -> Member:
    return Member(kernel, 3, np.asarray(channel, np.int32), "makes")


def scores_of(rated) -> Scores:
    return Scores(
        "magnitude",
        "m",
        {f"{name}/kernel": np.asarray([row], np.float32) for name, row in rated.items()},
        kinds={f"{name}/kernel": "dense" for name in rated},
    )


def drops(plan):
    return {cut.group: cut.drop.tolist() for cut in plan.cuts}


def test_the_lowest_of_each_run_leave_together():
    graph = graph_of({"a": (6, [reading("g/kernel", [[0, 1, 2], [3, 4, 5]])])})
    # By the sums alone both of the lowest, 0 and 1, would be of the first run.
    scores = scores_of({"a": [0, 1, 9, 8, 5, 7]})
    assert drops(make_plan(scores, graph, channels=1 / 3)) == {"a": [0, 4]}
    assert drops(make_plan(scores, graph, channels=2 / 3)) == {"a": [0, 1, 4, 5]}
    plan = make_plan(scores, graph, channels=0.9)
    assert drops(plan) == {"a": [0, 1, 4, 5]}
    assert plan.why["uneven"] == []


def test_filters_lie_in_runs_as_inputs_do():
    weights = {"g/kernel": Weight((3, 3, 2, 6), "g", runs=3)}
    graph = graph_of({"f": (6, [making("g/kernel", range(6))])}, weights)
    (counts,) = in_runs(graph, graph["f"])
    assert counts.tolist() == [[1, 0, 0]] * 2 + [[0, 1, 0]] * 2 + [[0, 0, 1]] * 2
    assert drops(make_plan(scores_of({"f": [5, 0, 0, 5, 1, 2]}), graph, channels=0.5)) == {
        "f": [1, 2, 4]
    }
    plain = {"g/kernel": Weight((3, 3, 2, 6), "g")}
    assert in_runs(graph_of({"f": (6, [making("g/kernel", range(6))])}, plain), graph["f"]) == ()


def test_a_finer_division_decides_for_a_coarser_one():
    rows = np.arange(12)
    graph = graph_of(
        {
            "a": (
                12,
                [
                    reading("two/kernel", rows.reshape(2, 6)),
                    reading("four/kernel", rows.reshape(4, 3)),
                ],
            )
        }
    )
    scores = scores_of({"a": np.arange(12)})
    assert drops(make_plan(scores, graph, channels=0.4)) == {"a": [0, 3, 6, 9]}


def test_a_shuffle_leaves_in_bundles_as_small_as_the_runs():
    """Three runs of twenty that a channel shuffle sends to three others: no two channels need to
    leave with a third of each pair of runs."""
    one = np.arange(60).reshape(3, 20)
    other = one.T.reshape(3, 20)
    graph = graph_of({"a": (60, [reading("g/kernel", one), reading("h/kernel", other)])})
    rated = np.random.default_rng(0).random(60)
    plan = make_plan(scores_of({"a": rated}), graph, channels=0.5)
    drop = drops(plan)["a"]
    assert len(drop) == 30
    for runs in (one, other):
        assert [np.isin(row, drop).sum() for row in runs] == [10, 10, 10]
    # Not just any bundles: nearly what the lowest thirty would be.
    assert rated[drop].sum() < 0.62 * rated.sum() / 2


def test_what_cannot_be_even_keeps_its_size_and_is_named():
    graph = graph_of(
        {
            "a": (4, [reading("g/kernel", [[0, 1, 2, 3], [-1] * 4])]),
            "b": (8, [reading("g/kernel", [[-1] * 4, [0, 1, 2, 3]])]),
            "c": (2, [reading("h/kernel", [[0], [1]])]),
            "d": (4, []),
        }
    )
    scores = scores_of({"a": [1] * 4, "b": [1] * 8, "c": [1, 1], "d": [1, 2, 3, 4]})
    plan = make_plan(scores, graph, channels=0.5)
    assert drops(plan) == {"d": [0, 1]}
    assert plan.why["uneven"] == ["a", "b", "c"]
    assert plan.why["reached"]["free"] == 4
    with pytest.raises(PlanError, match=r"\(fixed or excluded, uneven in a grouped convolution\)"):
        make_plan(scores, graph, channels=0.5, exclude=["d"])


def test_a_channel_that_lies_in_every_run_alike_leaves_alone():
    graph = graph_of({"a": (3, [reading("g/kernel", [[0, 1, 2], [2, 1, 0]])])})
    assert in_runs(graph, graph["a"]) == ()
    assert drops(make_plan(scores_of({"a": [3, 1, 2]}), graph, channels=1 / 3)) == {"a": [1]}


def test_channels_that_lie_across_runs_leave_with_what_fills_up():
    """Twenty-four positions that a shuffle makes of eight channels, read in three runs of eight."""
    rows = np.repeat(np.arange(8), 3).reshape(3, 8)
    graph = graph_of({"a": (9, [reading("g/kernel", rows)])})
    plan = make_plan(scores_of({"a": [1, 9, 5, 1, 9, 5, 1, 9, 6]}), graph, channels=0.6)
    assert drops(plan) == {"a": [0, 2, 3, 5, 6]}
    # The ninth is read by nobody there, so it leaves by itself.
    plan = make_plan(scores_of({"a": [1, 9, 5, 1, 9, 5, 1, 9, 0]}), graph, channels=0.1)
    assert drops(plan) == {"a": [8]}


def test_widths_are_multiples_and_even_at_once():
    graph = graph_of({"a": (24, [reading("g/kernel", np.arange(24).reshape(3, 8))])})
    scores = scores_of({"a": np.arange(24)})
    plan = make_plan(scores, graph, channels=0.4, constraints=Constraints(multiple=4))
    assert drops(plan) == {"a": [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]}
    plan = make_plan(scores, graph, channels=0.4, constraints=Constraints(minimum=13))
    assert len(drops(plan)["a"]) == 9
    with pytest.raises(PlanError, match=r"3 of 24 channels can leave"):
        make_plan(scores, graph, channels=0.4, constraints=Constraints(minimum=19))


RUNS = st.sampled_from([1, 2, 3, 4, 6])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(RUNS, min_size=1, max_size=3),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**16),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.integers(1, 4),
)
def test_what_leaves_is_even_in_every_convolution_round_after_round(
    runs, width, shuffled, seed, share, later, multiple
):
    size = 12 * width
    rng = np.random.default_rng(seed)
    order = [rng.permutation(size) if shuffled else np.arange(size) for _ in runs]
    members = [
        reading(f"g{place}/kernel", order[place].reshape(count, -1))
        for place, count in enumerate(runs)
        if count > 1
    ]
    graph = graph_of({"a": (size, members), "b": (5, [])})
    plan = None
    gone: set[int] = set()
    for round_, asked in enumerate(sorted([share, later])):
        rated = {"a": rng.random(size), "b": rng.random(5)}
        plan = make_plan(
            scores_of(rated),
            graph,
            channels=asked,
            within=plan,
            scope=("layer", "global")[round_ % 2],
            constraints=Constraints(multiple),
        )
        drop = drops(plan).get("a", [])
        assert gone <= set(drop) and len(drop) < size
        gone = set(drop)
        assert not drop or (size - len(drop)) % multiple == 0
        for member in members:
            assert len({int(np.isin(row, drop).sum()) for row in member.channel}) == 1


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([(2, 2), (2, 3), (3, 2), (4, 6), (3, 3)]), st.integers(0, 2**16))
def test_bundles_of_two_divisions_are_the_smallest(runs, seed):
    """Whatever way two convolutions divide channels: bundles of the least common multiple."""
    size, rng = 24, np.random.default_rng(seed)
    sides = []
    for count in runs:
        run = rng.permutation(np.repeat(np.arange(count), size // count))
        sides.append(np.eye(count, dtype=np.int64)[run])
    bundles = bundled(rng.random(size), sides, np.ones(size, bool))
    assert bundles is not None
    assert set(np.unique(bundles, return_counts=True)[1]) == {np.lcm(*runs)}
    for bundle, side in itertools.product(np.unique(bundles), sides):
        assert len(set(side[bundles == bundle].sum(axis=0))) == 1
