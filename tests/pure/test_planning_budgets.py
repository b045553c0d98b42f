"""Budgets: the knapsack against brute force, costs that truly hold, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.costs import Weight, Work
from edgeprune.errors import PlanError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.planning import Budgets, Constraints, Latency, make_plan, rescored
from edgeprune.planning.knapsack import Options, least_lost
from edgeprune.planning.pricing import Prices
from edgeprune.planning.rescoring import Stage
from edgeprune.scores import Scores

TABLE = Latency({"layer0": 0.5, "layer*": 0.25}, constant=1.0)


def _lies(weight: str, axis: int, size: int, role: str) -> Member:
    return Member(weight, axis, np.arange(size, dtype=np.int32), role)


def chain(sizes: list[int], places: list[int], *, mixed: bool = False) -> Graph:
    """Kernels one behind the other, each at so many places; ``mixed``: the first group has one
    more that it is both sides of, as in a residual block."""
    members: list[list[Member]] = [[] for _ in sizes]
    weights, works, read = {}, [], 3
    for place, size in enumerate(sizes):
        name = f"layer{place}"
        weights[f"{name}/kernel"] = Weight((read, size), name)
        if place:
            members[place - 1].append(_lies(f"{name}/kernel", 0, read, "reads"))
        members[place].append(_lies(f"{name}/kernel", 1, size, "makes"))
        works.append(Work(name, f"{name}/kernel", (), places[place % len(places)]))
        read = size
    if mixed:
        weights["mix/kernel"] = Weight((sizes[0], sizes[0]), "mix")
        members[0] += [_lies("mix/kernel", a, sizes[0], r) for a, r in ((0, "reads"), (1, "makes"))]
        works.append(Work("mix", "mix/kernel", (), places[0]))
    weights["head/kernel"] = Weight((read, 2), "head")
    members[-1].append(_lies("head/kernel", 0, read, "reads"))
    works.append(Work("head", "head/kernel", (), 1))
    groups = tuple(
        Group(f"layer{place}", size, tuple(members[place])) for place, size in enumerate(sizes)
    )
    return Graph("m", groups, weights, tuple(works))


def scores_of(rated: list[list[int]]) -> Scores:
    given_ = {f"layer{place}": np.asarray(row, np.float32) for place, row in enumerate(rated)}
    return Scores("gate", "m", {}, given_)


def lost(plan, rated: list[list[int]]) -> int:
    return sum(
        rated[int(cut.group.removeprefix("layer"))][channel]
        for cut in plan.cuts
        for channel in cut.drop.tolist()
    )


def choices(rated: list[list[int]], constraints: Constraints):
    """Every choice of widths: the channels that go, and the score that is lost."""
    of_group = []
    for row in rated:
        ranked = sorted(range(len(row)), key=lambda channel: (row[channel], channel))
        kept = np.arange(len(row) + 1)
        allowed = kept[constraints.fit(len(row), kept)].tolist()
        of_group.append([ranked[: len(row) - width] for width in allowed])
    for gone in itertools.product(*of_group):
        cuts = {f"layer{place}": np.asarray(drop, np.int32) for place, drop in enumerate(gone)}
        yield cuts, sum(rated[place][c] for place, drop in enumerate(gone) for c in drop)


RATED = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4)
CONSTRAINTS = st.builds(Constraints, st.integers(1, 3), st.integers(1, 2))
PLACES = st.lists(st.integers(1, 20), min_size=4, max_size=4)


@settings(max_examples=60, deadline=None)
@given(RATED, CONSTRAINTS, st.floats(0.3, 0.99), st.sampled_from(["global", "layer"]))
def test_a_latency_table_is_spent_at_the_optimum(rated, constraints, share, scope):
    graph = chain([len(row) for row in rated], [1])
    each = [0.5] + [0.25] * (len(rated) - 1)
    whole = 1.0 + sum(len(row) * cost for row, cost in zip(rated, each, strict=True))

    def milliseconds(cuts) -> float:
        gone = sum(each[int(n.removeprefix("layer"))] * drop.size for n, drop in cuts.items())
        return whole - gone

    table = TABLE if len(rated) > 1 else Latency({"layer0": 0.5}, constant=1.0)
    budgets = Budgets(max_latency_ms=share * whole, latency=table)
    holding = [
        score for cuts, score in choices(rated, constraints) if milliseconds(cuts) <= share * whole
    ]
    asked = {"budgets": budgets, "constraints": constraints, "scope": scope}
    if not holding:
        with pytest.raises(PlanError, match=r"max_latency_ms = .*: at least .* ms stay"):
            make_plan(scores_of(rated), graph, **asked)
        return
    plan = make_plan(scores_of(rated), graph, **asked)
    assert milliseconds({cut.group: cut.drop for cut in plan.cuts}) <= share * whole + 1e-9
    if scope == "global":
        assert lost(plan, rated) == min(holding)


@settings(max_examples=60, deadline=None)
@given(RATED, PLACES, st.booleans(), CONSTRAINTS, st.floats(0.1, 0.95))
def test_products_of_widths_hold_and_no_group_could_take_a_step_back(
    rated, places, mixed, constraints, share
):
    """MACs do not add up, so there is no promise of the optimum: on nets as small as these the
    score lost is at most the best one's and a tenth of all (of 916 nets drawn at random 907 came
    out at the optimum, and the worst 0.02 off)."""
    graph = chain([len(row) for row in rated], places, mixed=mixed)
    limit = share * graph.cost({}).macs
    best = min(
        (s for cuts, s in choices(rated, constraints) if graph.cost(cuts).macs <= limit),
        default=None,
    )
    asked = {"budgets": Budgets(max_macs=share), "constraints": constraints}
    if best is None:
        with pytest.raises(PlanError, match="MACs stay"):
            make_plan(scores_of(rated), graph, **asked)
        return
    plan = make_plan(scores_of(rated), graph, **asked)
    assert plan.cost(graph).macs <= limit
    assert plan.why["reached"]["costs"]["macs"]["after"] == plan.cost(graph).macs
    assert lost(plan, rated) <= best + 0.1 * sum(map(sum, rated))
    cuts = {cut.group: cut.drop for cut in plan.cuts}
    for name, drop in cuts.items():
        row = rated[int(name.removeprefix("layer"))]
        kept = np.arange(len(row) - drop.size + 1, len(row) + 1)
        assert constraints.fit(len(row), kept - 1)[0], "an allowed width"
        wider = kept[constraints.fit(len(row), kept)][0]
        ranked = sorted(drop.tolist(), key=lambda channel: (row[channel], channel))
        back = {**cuts, name: np.asarray(ranked[: len(row) - wider], np.int32)}
        assert graph.cost(back).macs > limit or not sum(row[c] for c in set(drop) - set(back[name]))


@settings(max_examples=100, deadline=None)
@given(RATED, PLACES, st.booleans(), st.randoms(use_true_random=False))
def test_prices_are_what_the_graph_says(rated, places, mixed, random):
    sizes = [len(row) for row in rated]
    graph = chain(sizes, places, mixed=mixed)
    prices = Prices(graph, [group.name for group in graph])
    kept = np.array([random.randint(1, size) for size in sizes])
    cuts = {
        f"layer{place}": np.asarray(random.sample(range(size), size - width), np.int32)
        for place, (size, width) in enumerate(zip(sizes, kept.tolist(), strict=True))
    }
    cost = graph.cost(cuts)
    assert prices.cost("macs", kept) == pytest.approx(cost.macs)
    assert prices.cost("parameters", kept) == pytest.approx(cost.parameters)
    nudge = 1e-6 * np.eye(len(sizes))
    slope = prices.slope("macs", kept)
    for place, step in enumerate(nudge):
        rise = prices.cost("macs", kept + step) - prices.cost("macs", kept - step)
        assert slope[place] == pytest.approx(rise / 2e-6, rel=1e-3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=0, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 10).map(lambda part: part / 10),
)
def test_the_knapsack_is_the_best_of_all_choices(steps, part):
    """Prices may rise or fall from step to step."""
    options = []
    for each in steps:
        saved, losses = np.asarray([(0.0, 0.0), *each], np.float64).T
        options.append(Options(np.cumsum(saved), np.cumsum(losses)))
    needed = part * sum(float(each.saved[-1]) for each in options)
    found = least_lost(options, needed)

    def sums(choice) -> tuple[float, float]:
        pairs = list(zip(options, choice, strict=True))
        return sum(o.saved[n] for o, n in pairs), sum(o.lost[n] for o, n in pairs)

    every = itertools.product(*(range(each.saved.size) for each in options))
    best = min(losses for saved, losses in map(sums, every) if saved >= needed - 1e-9)
    saved, losses = sums(found)
    assert saved >= needed - 1e-9
    assert losses <= best + 1e-9
    with pytest.raises(ValueError, match="save less"):
        least_lost(options, needed + 1 + sum(float(each.saved[-1]) for each in options))


def test_several_budgets_hold_together_and_bytes_are_four_a_parameter():
    graph = chain([16, 24, 16], [9, 4, 1], mixed=True)
    random = np.random.default_rng(0)
    rated = [random.integers(0, 99, size).tolist() for size in (16, 24, 16)]
    whole = graph.cost({})
    budgets = Budgets(max_macs=0.5, max_parameters=0.4, max_bytes=4 * (whole.parameters // 2))
    plan = make_plan(scores_of(rated), graph, budgets=budgets)
    left = plan.cost(graph)
    assert left.macs <= 0.5 * whole.macs and left.parameters <= 0.4 * whole.parameters
    assert plan.why["asked"] == budgets.asked()
    costs = plan.why["reached"]["costs"]
    assert costs["bytes"]["after"] == 4 * left.parameters
    # And one alone takes less: it is the parameters that decide.
    alone = make_plan(scores_of(rated), graph, budgets=Budgets(max_macs=0.5))
    assert lost(alone, rated) < lost(plan, rated)


def test_grouped_convolutions_stay_even_within_a_budget():
    runs = Member("grouped/kernel", 0, np.arange(8, dtype=np.int32).reshape(2, 4), "reads")
    group = Group("layer0", 8, (_lies("layer0/kernel", 1, 8, "makes"), runs))
    weights = {"layer0/kernel": Weight((3, 8)), "grouped/kernel": Weight((4, 6), runs=2)}
    works = (Work("layer0", "layer0/kernel", (), 4), Work("grouped", "grouped/kernel", (), 4))
    graph = Graph("m", (group,), weights, works)
    scores = scores_of([[1, 1, 1, 1, 9, 9, 9, 9]])  # all the low ones in one run
    plan = make_plan(scores, graph, budgets=Budgets(max_macs=0.6))
    (cut,) = plan.cuts
    assert [sum(channel // 4 == run for channel in cut.drop.tolist()) for run in (0, 1)] == [2, 2]
    assert plan.cost(graph).macs <= 0.6 * graph.cost({}).macs


def test_the_scores_are_taken_anew_on_the_way_down():
    """Two groups whose scores change places as soon as anything goes."""
    graph = chain([20, 20, 20], [4])
    plans = []

    def score(plan):
        plans.append(plan)
        turn = len(plans) % 2
        return scores_of([[1 + turn] * 20, [2 - turn] * 20, [9] * 20])

    stages = list(rescored(score, graph, budgets=Budgets(max_macs=0.5), step=0.1))
    assert len(stages) == len(plans) == 5 == stages[0].of
    assert plans[0] is None and plans[1:] == [stage.plan for stage in stages[:-1]]
    whole = graph.cost({}).macs
    left = [stage.plan.cost(graph).macs / whole for stage in stages]
    for share, limit in zip(left, (0.9, 0.8, 0.7, 0.6, 0.5), strict=True):
        assert limit - 0.05 < share <= limit
    for one, other in itertools.pairwise(stages):
        more = {cut.group: set(cut.drop.tolist()) for cut in other.plan.cuts}
        assert all(set(cut.drop.tolist()) <= more[cut.group] for cut in one.plan.cuts)
    assert stages[-1].plan.why["asked"] == {"max_macs": 0.5}
    assert len(stages[-1].plan.cuts) == 2, "each group was the lowest once"
    once = list(rescored(score, graph, budgets=Budgets(max_macs=0.5), step=1))
    assert len(once) == 1


def test_a_step_for_channels_and_a_hybrids_weights_last():
    graph = chain([20, 20], [1])
    weights = {name: np.ones(each.shape, np.float32) for name, each in graph.weights.items()}
    scores = Scores("taylor", "m", weights, kinds=dict.fromkeys(weights, "dense"))
    stages = list(rescored(lambda plan: scores, graph, channels=0.5, sparsity=0.9, step=0.1))
    reached = [stage.plan.why["reached"]["channels"] for stage in stages]
    assert reached == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert [bool(stage.plan.masks) for stage in stages] == [False] * 4 + [True]
    assert len(list(rescored(lambda plan: scores, graph, channels=0.5))) == 1
    assert len(list(rescored(lambda plan: scores, None, sparsity=0.5, step=0.1))) == 1


def test_points_lie_evenly_and_far_down_by_shares_with_steps_between_them():
    graph = chain([400, 400], [1])
    weights = {name: np.ones(each.shape, np.float32) for name, each in graph.weights.items()}
    scores = Scores("taylor", "m", weights, kinds=dict.fromkeys(weights, "dense"))

    def stages(budgets: Budgets, **how: Any) -> list[Stage]:
        return list(rescored(lambda plan: scores, graph, budgets=budgets, **how))

    found = stages(Budgets(max_macs=0.1), points=4, step=0.2)
    assert [stage.point for stage in found] == [None, 1, None, 2, None, 3, 4]
    whole = graph.cost({})
    costs = [stage.plan.cost(graph) for stage in found]
    shares = [cost.macs / whole.macs for cost in costs]
    # From 1 to a fifth in lengths of a fifth is 4 long, from there to a tenth ln 2.
    length = (4 + np.log(2)) / 4
    points = [1 - 0.2 * length, 1 - 0.4 * length, 1 - 0.6 * length, 0.1]
    starts = [1.0, *points[:2]]
    asked = [
        each
        for start, end in zip(starts, points[:3], strict=True)
        for each in ((start + end) / 2, end)
    ] + [0.1]
    assert shares == pytest.approx(asked, abs=0.01)
    assert all(share <= most for share, most in zip(shares, asked, strict=True))
    # Two kinds, each evenly; the one with the longer way says how many steps.
    both = stages(Budgets(max_macs=0.25, max_parameters=0.81), points=2, step=0.3)
    assert [stage.point for stage in both] == [None, 1, None, 2]
    half = both[1].plan.cost(graph)
    assert 0.6 * whole.macs < half.macs <= 0.625 * whole.macs
    assert half.parameters <= 0.905 * whole.parameters
    # Below a fifth each is at the same share of the one before.
    down = stages(Budgets(max_macs=0.02), points=12, step=1)
    low = [stage.plan.cost(graph).macs / whole.macs for stage in down][-4:]
    ratios = [after / before for before, after in itertools.pairwise(low)]
    assert max(low) < 0.2 and ratios == pytest.approx([ratios[0]] * 3, rel=0.1)


REFUSED = {
    "no share": ({"max_macs": 1.5}, "max_macs = 1.5: a share"),
    "nothing": ({"max_bytes": 0}, "max_bytes = 0: a share"),
    "nan": ({"max_parameters": float("nan")}, "max_parameters = nan: a share"),
    "truth": ({"max_macs": True}, "max_macs = True: a share"),
    "no table": ({"max_latency_ms": 1.0}, "max_latency_ms needs a latency table"),
    "no time": ({"max_latency_ms": 0.0, "latency": TABLE}, "milliseconds above 0"),
    "a table for nothing": ({"max_macs": 0.5, "latency": TABLE}, "latency without max_latency_ms"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_budgets_that_are_none(case):
    asked, words = REFUSED[case]
    with pytest.raises(PlanError, match=words):
        Budgets(**asked)


def test_what_cannot_be_met_is_said_with_the_least_that_can():
    graph = chain([16, 16], [4])
    scores = scores_of([list(range(16)), list(range(16))])
    with pytest.raises(PlanError, match=r"max_macs = 0.001: at least 18 MACs stay, 0.0144 of the"):
        make_plan(scores, graph, budgets=Budgets(max_macs=0.001))
    asked = {"budgets": Budgets(max_macs=0.3), "constraints": Constraints(minimum=9)}
    with pytest.raises(PlanError, match=r"as widths are held to minimum = 9; ask for no less"):
        make_plan(scores, graph, **asked)
    asked = {"budgets": Budgets(max_macs=0.05), "exclude": ["layer1"]}
    with pytest.raises(PlanError, match=r"1 of 2 groups keep their size \(layer1\)"):
        make_plan(scores, graph, **asked)
    with pytest.raises(PlanError, match=r"the model has 1,248 MACs already, .* ask for less"):
        make_plan(scores, graph, budgets=Budgets(max_macs=2000))
    with pytest.raises(PlanError, match=r"^max_macs = 2000000: the model has"):
        make_plan(scores, graph, budgets=Budgets(max_macs=2e6))
    assert Budgets(max_macs=2e6, max_bytes=0.5).said() == "max_macs = 2000000 and max_bytes = 0.5"
    with pytest.raises(PlanError, match="no group 'layr1' in this model; did you mean 'layer1'"):
        table = Latency.of({"layr1": 1.0})
        make_plan(scores, graph, budgets=Budgets(max_latency_ms=1.0, latency=table))
    with pytest.raises(PlanError, match="channels need the model's graph"):
        make_plan(scores, budgets=Budgets(max_macs=0.5))
    with pytest.raises(PlanError, match="give exactly one of"):
        make_plan(scores, graph, budgets=Budgets(max_macs=0.5), channels=0.5)
    broken = Scores("gate", "m", {}, {"layer0": np.full(16, np.nan, np.float32)})
    with pytest.raises(PlanError, match="hold NaN or Inf"):
        make_plan(broken, graph, budgets=Budgets(max_macs=0.5))
    # What the last step would be refused for is said before the first.
    stages = rescored(lambda plan: scores, graph, budgets=Budgets(max_macs=0.001))
    with pytest.raises(PlanError, match=r"max_macs = 0.001: at least"):
        next(stages)
    for step in (0.0, 1.5, float("nan"), True):
        with pytest.raises(PlanError, match="step ="):
            next(rescored(lambda plan: scores, graph, channels=0.5, step=step))


def test_a_latency_table_by_names_and_globs():
    table = Latency.of({"constant": 0.2, "groups": {"layer*": 1, "layer1": 3.0}})
    assert table.by_group(chain([2, 2], [1])) == {"layer0": 1.0, "layer1": 3.0}
    assert Latency.of(table) is table
    assert Latency.of({"layer0": 2}).facts() == {"constant": 0.0, "groups": {"layer0": 2.0}}
    for given_, words in (
        ({"layer0": -1}, "milliseconds from 0 up"),
        ({"layer0": "1"}, "milliseconds from 0 up"),
        ({}, "names no group"),
        ([1], "not as list"),
        ({"groups": {"a": 1}, "constnat": 1}, "no key 'constnat'"),
    ):
        with pytest.raises(PlanError, match=words):
            Latency.of(given_)


def test_many_wide_groups_take_no_time():
    """A hundred groups of 2,048 channels; the suite's own limit is the bound."""
    random = np.random.default_rng(0)
    graph = chain([2048] * 100, random.integers(1, 200, 100).tolist())
    rated = {f"layer{place}": random.random(2048).astype(np.float32) for place in range(100)}
    scores = Scores("gate", "m", {}, rated)
    for budgets in (
        Budgets(max_macs=0.3),
        Budgets(max_latency_ms=20_000.0, latency=Latency({"layer*": 0.25})),
    ):
        plan = make_plan(scores, graph, budgets=budgets, constraints=Constraints(8))
        for cost in plan.why["reached"]["costs"].values():
            assert 0.99 * cost["most"] < cost["after"] <= cost["most"]
