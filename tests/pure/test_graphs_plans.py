"""Graphs and plans are data: by hand, saved, read back, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.errors import OutputError, PlanError, VersionError
from edgeprune.graphs import Graph, Group, Member
from edgeprune.plans import Cut, Mask, Plan
from edgeprune.scores import Scores


def _graph() -> Graph:
    channel = np.arange(6, dtype=np.int32)
    members = (
        Member("a/kernel", 1, channel, "makes"),
        Member("along/kernel", 1, channel, "makes"),
        Member("b/kernel", 0, channel, "reads"),
    )
    return Graph(
        "d" * 64,
        (Group("a", 6, members, macs=7, parameters=8), Group("b", 2, (), fixed="model output")),
    )


def _plan() -> Plan:
    rng = np.random.default_rng(0)
    masks = (
        Mask("a/kernel", rng.random((5, 6)) < 0.5),
        Mask("b/kernel", rng.random((6, 2)) < 0.5, "1x4"),
    )
    return Plan("d" * 64, (Cut("a", np.array([1, 4], np.int32)),), masks, {"sparsity": 0.5})


def test_what_python_shows_of_them_is_one_short_line() -> None:
    graph, plan = _graph(), _plan()
    scores = Scores("taylor", "d" * 64, {"a/kernel": np.zeros((300, 400), np.float32)})
    nouns = (graph, *graph.groups, *graph.groups[0].members, plan, *plan.cuts, *plan.masks, scores)
    for noun in nouns:
        assert "\n" not in repr(noun) and len(repr(noun)) < 100 and "array" not in repr(noun)
    assert repr(scores) == "Scores('taylor', 120,000 weights of 1 kernels, model dddddddd)"
    gone = sum(int((~mask.keep).sum()) for mask in plan.masks)
    assert repr(plan) == (
        f"Plan(2 channels of 1 groups, {gone} weights of 2 kernels, model dddddddd)"
    )
    assert repr(graph["b"]) == "Group('b', size 2, 0 members, fixed: model output)"


def test_a_graph_answers_by_name() -> None:
    graph = _graph()
    assert "a" in graph and "c" not in graph and [group.name for group in graph.free] == ["a"]
    with pytest.raises(KeyError):
        graph["c"]
    facts = graph.facts()
    json.dumps(facts)
    assert facts["groups"][0]["members"][0]["positions"] == 6


def test_a_plan_by_hand() -> None:
    plan = Plan.cut(_graph(), {"a": [4, 1]})
    assert plan.cuts[0].drop.tolist() == [1, 4] and plan.model == "d" * 64
    assert Plan.cut(_graph(), {"a": []}).cuts == ()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"aa": [0]}, "did you mean 'a'"),
        ({"along": [0]}, "the channels of layer 'along' are those of group 'a'"),
        ({"b": [0]}, "model output"),
        ({"a": [6]}, "asked for 6"),
        ({"a": [-1]}, "asked for -1"),
        ({"a": [1, 1]}, "twice"),
        ({"a": [0, 1, 2, 3, 4, 5]}, "leave at least one"),
        ({"a": [0.7]}, "whole numbers"),
        ({"a": "01"}, "whole numbers"),
        ({"a": [True, False]}, "whole numbers"),
        ({"a": 3}, "whole numbers"),
        ({3: [1]}, "named by strings"),
        ([1, 2], "given by group"),
        ({"a": [2**40]}, f"asked for {2**40}"),
    ],
)
def test_a_plan_by_hand_that_does_not_fit(asked: Any, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        Plan.cut(_graph(), asked)
    assert "\n" not in str(caught.value)


def test_what_a_plan_names_it_names_once() -> None:
    one, other = (Cut("a", np.array(drop, np.int32)) for drop in ([0, 1, 2], [3, 4, 5]))
    with pytest.raises(PlanError, match="cuts group 'a' 2 times"):
        Plan("d" * 64, (one, other))
    mask = Mask("a/kernel", np.ones((2, 6), bool))
    with pytest.raises(PlanError, match="masks weight 'a/kernel' 2 times"):
        Plan("d" * 64, (), (mask, mask))


def test_plans_come_back_and_their_bytes_repeat(tmp_path: Path) -> None:
    plan = _plan()
    plan.save(tmp_path / "p.json")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {"p.json", "p.npz"}
    again = Plan.load(tmp_path / "p.json")
    assert again.digest() == plan.digest() and again.why == {"sparsity": 0.5}
    for mask, other in zip(plan.masks, again.masks, strict=True):
        assert mask.pattern == other.pattern and np.array_equal(mask.keep, other.keep)
    again.save(tmp_path / "p.json")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_a_plan_replaces_no_file_but_the_masks_of_a_plan(tmp_path: Path) -> None:
    """The name of the plan says nothing of the .npz beside it, which may be a user's data."""
    path, plan, rng = tmp_path / "img.json", _plan(), np.random.default_rng(1)
    for arrays in (
        {"x": rng.random((4, 3)), "y": np.arange(4)},
        {"x": np.arange(9, dtype=np.uint8)},
        {"a/kernel": rng.random(9).astype(np.float32)},
    ):
        np.savez(path.with_suffix(".npz"), **arrays)
        before = path.with_suffix(".npz").read_bytes()
        with pytest.raises(OutputError, match=r"img.npz, which holds no masks of a plan; name it"):
            plan.save(path)
        assert path.with_suffix(".npz").read_bytes() == before and not path.exists()
    Plan(plan.model, plan.cuts).save(path)  # which writes no .npz
    path.with_suffix(".npz").unlink()
    # Over a plan of its own, also one of a model whose weights lie in no layer, or half a one.
    for weight in ("a/kernel", "kernel"):
        one = Plan(plan.model, (), (Mask(weight, rng.random((5, 6)) < 0.5),))
        one.save(path)
        one.save(path)
    plan.save(path)
    path.unlink()
    plan.save(path)
    assert Plan.load(path).digest() == plan.digest()


def test_the_digest_is_of_what_leaves_not_of_why() -> None:
    plan = _plan()
    same = Plan(plan.model, plan.cuts, plan.masks[::-1], {"other": 1})
    assert same.digest() == plan.digest()
    keep = plan.masks[0].keep.copy()
    keep[0, 0] ^= True
    other = Plan(plan.model, plan.cuts, (Mask("a/kernel", keep), plan.masks[1]))
    assert other.digest() != plan.digest()
    assert Plan(plan.model, (), plan.masks).digest() != plan.digest()


def test_plans_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(PlanError, match="no such file"):
        Plan.load(path)
    for text in ("", "[]", "{}", '{"schema": 1, "model": "d"}'):
        path.write_text(text)
        with pytest.raises(PlanError, match="not a plan"):
            Plan.load(path)
    path.write_text('{"schema": 2}')
    with pytest.raises(VersionError, match="schema 2"):
        Plan.load(path)
    _plan().save(path)
    content = json.loads(path.read_text())
    content["cuts"]["a"] = [2]
    path.write_text(json.dumps(content))
    with pytest.raises(PlanError, match="changed"):
        Plan.load(path)
    _plan().save(path)
    (tmp_path / "p.npz").write_bytes(b"other")
    with pytest.raises(PlanError, match="another plan"):
        Plan.load(path)
    (tmp_path / "p.npz").unlink()
    with pytest.raises(PlanError, match="missing"):
        Plan.load(path)


@pytest.mark.parametrize(
    "damage",
    [
        {"cuts": {"a": ["x"]}},
        {"cuts": {"a": [[1]]}},
        {"cuts": {"a": 1}},
        {"cuts": {"a": [1 << 40]}},
        {"cuts": {"a": [4, 1]}},
        {"cuts": ["a"]},
        {"cuts": None},
        {"model": 3},
        {"why": 3},
        {"masks": {"a/kernel": {"pattern": "none", "shape": "56", "kept": 1}}},
        {"masks": {"a/kernel": {"pattern": "none", "shape": [-5, 6], "kept": 1}}},
        {"masks": {"a/kernel": {"pattern": "none", "shape": [500, 6], "kept": 1}}},
        {"masks": {"a/kernel": {"pattern": "2x2", "shape": [5, 6], "kept": 1}}},
        {"masks": {"a/kernel": 3}},
        {"masks": {"c/kernel": {"pattern": "none", "shape": [5, 6], "kept": 1}}},
        {"masks": ["a/kernel"]},
        {"bits": None},
        {"bits": {"file": "p.npz"}},
    ],
    ids=str,
)
def test_a_damaged_plan_is_one_line(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "p.json"
    _plan().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(PlanError, match="not a plan of edgeprune") as caught:
        Plan.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def _scores() -> Scores:
    weights = {"a/kernel": np.ones((5, 6), np.float32)}
    return Scores("taylor", "d" * 64, weights, kinds={"a/kernel": "dense"}, facts={"n": 1})


def test_scores_come_back(tmp_path: Path) -> None:
    _scores().save(tmp_path / "s.npz")
    found = Scores.load(tmp_path / "s.npz")
    assert (found.method, found.kinds, found.facts) == ("taylor", {"a/kernel": "dense"}, {"n": 1})
    assert (found.weights["a/kernel"] == 1).all()


@pytest.mark.parametrize(
    "header",
    ["{}", "[1]", "3", "{", '{"method": 3, "model": "d", "kinds": {}, "facts": {}}',
     '{"method": "taylor", "model": "d", "kinds": {"a/kernel": "dens"}, "facts": {}}',
     '{"method": "taylor", "model": "d", "kinds": 3, "facts": {}}'],
)  # fmt: skip
def test_damaged_scores_are_one_line(tmp_path: Path, header: str) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, header=np.frombuffer(header.encode(), np.uint8))
    with pytest.raises(PlanError, match="not a scores file") as caught:
        Scores.load(path)
    assert "\n" not in str(caught.value)


def test_scores_of_another_kind_of_number_or_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    _scores().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "weights/a/kernel": np.array(["x"])})
    with pytest.raises(PlanError, match="not a scores file"):
        Scores.load(path)
    np.save(path.with_suffix(".npy"), np.ones(3))
    with pytest.raises(PlanError, match="not a scores file"):
        Scores.load(path.with_suffix(".npy"))
    _scores().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(PlanError, match="not a scores file"):
            Scores.load(path)
