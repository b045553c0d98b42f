"""What a device asks of widths: multiples, a minimum, at most a share, bundles; by brute force."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.costs import Weight
from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning import Constraints, make_plan
from edgeprune.planning.descending import descend, ladder
from edgeprune.scores import Scores

SHARES = st.integers(0, 19).map(lambda part: part / 20)
CONSTRAINTS = st.builds(
    Constraints,
    multiple=st.integers(1, 4),
    minimum=st.integers(1, 4),
    most=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
)
RATED = st.lists(
    st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=3
)  # scores that are small whole numbers: many ties, and exact sums


def graph_of(sizes: list[int]) -> Graph:
    groups = tuple(
        Group(
            f"layer{place}",
            size,
            (Member(f"layer{place}/kernel", 1, np.arange(size, dtype=np.int32), "makes"),),
        )
        for place, size in enumerate(sizes)
    )
    weights = {group.members[0].weight: Weight((1, group.size)) for group in groups}
    return Graph("m", groups, weights)


def scores_of(rated: list[list[int]]) -> Scores:
    weights = {
        f"layer{place}/kernel": np.asarray([row], np.float32) for place, row in enumerate(rated)
    }
    return Scores("taylor", "m", weights, kinds=dict.fromkeys(weights, "dense"))


def planned(rated: list[list[int]], share: float, **asked):
    return make_plan(
        scores_of(rated), graph_of([len(row) for row in rated]), channels=share, **asked
    )


def drops(plan) -> dict[str, list[int]]:
    return {cut.group: cut.drop.tolist() for cut in plan.cuts}


def widths(size: int, constraints: Constraints) -> list[int]:
    """The widths that a group may have, as the words say it."""
    most = math.floor(Fraction(str(constraints.most)) * size)
    return [
        kept
        for kept in range(1, size + 1)
        if kept == size
        or (
            kept % constraints.multiple == 0 and kept >= constraints.minimum and size - kept <= most
        )
    ]


def kept_of(plan, rated: list[list[int]]) -> list[int]:
    gone = drops(plan)
    return [len(row) - len(gone.get(f"layer{place}", [])) for place, row in enumerate(rated)]


@settings(max_examples=120, deadline=None)
@given(RATED, SHARES, CONSTRAINTS)
def test_all_together_the_least_score_goes_at_allowed_widths(rated, share, constraints):
    try:
        plan = planned(rated, share, constraints=constraints)
    except PlanError as error:
        total = sum(map(len, rated))
        reach = total - sum(min(widths(len(row), constraints)) for row in rated)
        loose = Constraints(constraints.multiple)
        rounded = total - sum(min(widths(len(row), loose)) for row in rated)
        short = reach + constraints.multiple / 2 < min(share * total, rounded)
        assert constraints.most < share or (short and "can be reached" in str(error))
        return
    kept = kept_of(plan, rated)
    allowed = [widths(len(row), constraints) for row in rated]
    assert all(width in each for width, each in zip(kept, allowed, strict=True))
    lost = [[row[channel] for channel in drops(plan).get(f"layer{place}", [])]
            for place, row in enumerate(rated)]  # fmt: skip
    total = sum(map(len, rated))
    gone = sum(map(len, lost))
    # No other choice of as many channels at allowed widths costs less.
    best = min(
        sum(sum(sorted(row)[: len(row) - width]) for row, width in zip(rated, choice, strict=True))
        for choice in itertools.product(*allowed)
        if total - sum(choice) == gone
    )
    assert sum(map(sum, lost)) == best
    # And the count is off by half a step at most, where it is in reach.
    steps = [high - low for each in allowed for low, high in itertools.pairwise(each)]
    reach = total - sum(min(each) for each in allowed)
    assert abs(gone - min(share * total, reach)) <= max(steps, default=0) / 2 + 1e-9
    assert plan.why["reached"]["channels"] == gone / total
    assert plan.why["constraints"] == constraints.facts()


@settings(max_examples=80, deadline=None)
@given(RATED, SHARES, CONSTRAINTS)
def test_each_group_goes_to_its_nearest_allowed_width(rated, share, constraints):
    if constraints.most < share:
        with pytest.raises(PlanError, match="with most ="):
            planned(rated, share, constraints=constraints, scope="layer")
        return
    plan = planned(rated, share, constraints=constraints, scope="layer")
    for row, kept in zip(rated, kept_of(plan, rated), strict=True):
        size = len(row)
        allowed = widths(size, constraints)
        assert kept in allowed
        off = min(abs(size - width - share * size) for width in allowed)
        assert abs(size - kept - share * size) == off
    for name, gone in drops(plan).items():
        row = rated[int(name.removeprefix("layer"))]
        ranked = sorted(range(len(row)), key=lambda channel: (row[channel], channel))
        assert gone == sorted(ranked[: len(gone)]), "the lowest, of equal ones the first"


@settings(max_examples=80, deadline=None)
@given(RATED, SHARES, SHARES, CONSTRAINTS, st.sampled_from(["global", "layer"]))
def test_a_larger_share_takes_what_a_smaller_one_takes(rated, one, other, constraints, scope):
    low, high = sorted((one, other))
    asked = {"constraints": constraints, "scope": scope}
    try:
        less, more = planned(rated, low, **asked), planned(rated, high, **asked)
    except PlanError:
        return
    for name, gone in drops(less).items():
        assert set(gone) <= set(drops(more)[name])
    assert planned(rated, low, **asked).digest() == less.digest()


@settings(max_examples=80, deadline=None)
@given(RATED, RATED, SHARES, SHARES, CONSTRAINTS, st.sampled_from(["global", "layer"]))
def test_rounds_end_at_allowed_widths(rated, later, one, other, constraints, scope):
    """Also on a first round that knew of no constraint, as far as its cuts leave room."""
    low, high = sorted((one, other))
    later = [[column % 7 for column in row] for row in rated[::-1]][::-1]
    first = planned(rated, low, scope=scope)
    try:
        last = planned(later, high, scope=scope, constraints=constraints, within=first)
    except PlanError:
        return
    for row, was, kept in zip(rated, kept_of(first, rated), kept_of(last, rated), strict=True):
        allowed = [width for width in widths(len(row), constraints) if width <= was]
        assert kept in allowed if allowed else kept == was
    for name, gone in drops(first).items():
        assert set(gone) <= set(drops(last)[name])


def test_without_constraints_nothing_changes():
    rated = [[5, 1, 4, 2], [3, 0, 9]]
    assert drops(planned(rated, 0.5)) == drops(planned(rated, 0.5, constraints=Constraints()))
    assert drops(planned(rated, 0.5)) == {"layer0": [1, 3], "layer1": [0, 1]}


def test_a_group_that_is_no_multiple_goes_to_the_next_lower_one_and_a_narrow_one_stays():
    rated = [list(range(20)), list(range(8)), [9] * 24]
    plan = planned(rated, 0.1, constraints=Constraints(8))
    assert kept_of(plan, rated) == [16, 8, 24]
    assert plan.why["widths"] == {"layer0": {"kept": 16, "size": 20}}
    assert kept_of(planned(rated, 0.5, constraints=Constraints(8)), rated) == [8, 8, 8]
    # What a multiple puts out of reach is rounded, and reached says so.
    plan = planned(rated, 0.9, constraints=Constraints(8))
    assert kept_of(plan, rated) == [8, 8, 8]
    assert plan.why["reached"]["channels"] == 28 / 52


def test_what_minimum_and_most_put_out_of_reach_is_refused():
    rated = [list(range(16)), list(range(16))]
    with pytest.raises(PlanError, match=r"minimum = 8, 16 of 32 channels .* most 0\.5000"):
        planned(rated, 0.75, constraints=Constraints(minimum=8))
    with pytest.raises(PlanError, match=r"most = 0\.5: of no group"):
        planned(rated, 0.6, constraints=Constraints(most=0.5))
    # Each by itself a group stops at the minimum.
    plan = planned(rated, 0.75, constraints=Constraints(minimum=8), scope="layer")
    assert kept_of(plan, rated) == [8, 8]
    # Where the others can make it up, they do.
    rated = [[0] * 16, [9] * 48]
    assert kept_of(planned(rated, 0.5, constraints=Constraints(minimum=12)), rated) == [12, 20]


def test_a_tenth_of_ten_is_one():
    for share, of in itertools.product((0.1, 0.3, 0.7), (10, 20, 70)):
        plan = planned([list(range(of))], share, constraints=Constraints(most=share))
        assert kept_of(plan, [[0] * of]) == [of - round(share * of)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda across: st.lists(
            st.lists(st.integers(0, 9), min_size=across, max_size=across), min_size=1, max_size=5
        )
    ),
    st.integers(1, 4),
    SHARES,
)
def test_bundles_leave_whole(rows, multiple, share):
    """One channel of each of ``across`` convolution groups: the widths stay even."""
    across = len(rows[0])
    rated = np.asarray(rows, float).T.ravel()
    bundles = np.tile(np.arange(len(rows)), across)
    each = ladder(rated, Constraints(multiple), bundles=bundles)
    (steps,) = descend([each], share)
    gone = each.gone(steps)
    assert (np.bincount(bundles[gone], minlength=len(rows)) % across == 0).all()
    kept = rated.size - gone.size
    assert kept == rated.size or (kept % math.lcm(multiple, across) == 0 and kept > 0)
    left = set(bundles) - set(bundles[gone])
    sums = [sum(row) for row in rows]
    assert max((sums[b] for b in bundles[gone]), default=0) <= min(sums[b] for b in left)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"multiple": 0}, "multiple = 0: a whole number"),
        ({"multiple": 2.5}, "multiple = 2.5: a whole number"),
        ({"multiple": True}, "multiple = True: a whole number"),
        ({"minimum": -1}, "minimum = -1: a whole number"),
        ({"most": 0}, "most = 0: a share"),
        ({"most": 1.5}, "most = 1.5: a share"),
        ({"most": float("nan")}, "most = nan: a share"),
        ({"most": "half"}, "most = half: a share"),
    ],
)
def test_nonsense_is_refused(asked, said):
    with pytest.raises(PlanError, match=said):
        Constraints(**asked)


def test_constraints_are_about_channels():
    with pytest.raises(PlanError, match="multiple = 8 without channels"):
        make_plan(scores_of([[1, 2]]), sparsity=0.5, constraints=Constraints(8))


def test_an_unscored_group_stays_and_is_named():
    graph = graph_of([4, 4])
    scores = scores_of([[1, 2, 3, 4]])
    plan = make_plan(scores, graph, channels=0.5)
    assert drops(plan) == {"layer0": [0, 1]}
    assert plan.why["unscored"] == ["layer1"]
    assert plan.why["reached"] | {"sparsity": 0} == {
        "channels": 0.5, "dropped": 2, "free": 4, "sparsity": 0, "zeros": 2, "weights": 4,
    }  # fmt: skip
    with pytest.raises(PlanError, match="without a scored weight"):
        make_plan(scores, graph, channels=0.5, exclude=["layer0"])


def test_globs_hold_groups_layers_and_nested_models():
    """By the group's name, a weight that makes it, scored or not, or a model that it lies in."""
    names = ("net/deep/first", "net/second", "third")
    groups = tuple(
        Group(
            name,
            4,
            (
                Member(f"{name}/kernel", 1, np.arange(4, dtype=np.int32), "makes"),
                Member(f"{name}_norm/gamma", 0, np.arange(4, dtype=np.int32), "makes"),
            ),
        )
        for name in names
    )
    weights = {m.weight: Weight((4, 4)) for group in groups for m in group.members}
    graph = Graph("m", groups, weights)
    kernels = {f"{name}/kernel": np.ones((4, 4), np.float32) for name in names}
    scores = Scores("taylor", "m", kernels, kinds=dict.fromkeys(kernels, "dense"))
    for glob, held in {
        "net": {names[0], names[1]},
        "net/deep": {names[0]},
        "*/second": {names[1]},
        "third_norm": {names[2]},
        "*_norm/gamma": set(names),
        "t*": {names[2]},
    }.items():
        if held == set(names):
            with pytest.raises(PlanError, match="free to lose"):
                make_plan(scores, graph, channels=0.5, exclude=[glob])
            continue
        plan = make_plan(scores, graph, channels=0.5, exclude=[glob])
        assert set(drops(plan)).isdisjoint(held) and drops(plan), glob
        assert plan.why["reached"]["channels"] == 0.5, "of those that may be cut"
