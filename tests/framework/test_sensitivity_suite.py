"""The suite that compares with peers: what it compares, and that its page is what was measured."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest

import edgeprune
from benchmarks.sensitivity import (
    __main__ as suite,
)
from benchmarks.sensitivity import (
    cells,
    channels,
    choices,
    fronts,
    judging,
    nets,
    sets,
    tasks,
    tfmot_peer,
    thresholds,
    weights,
)
from benchmarks.sensitivity.cells import RESULTS, Cell
from benchmarks.sensitivity.channels import l1
from benchmarks.sensitivity.fronts import area, best
from benchmarks.sensitivity.nets import NETS
from benchmarks.sensitivity.page import PAGE, page
from benchmarks.sensitivity.promises import Table, at_most, every_seed, of_peer
from benchmarks.sensitivity.tasks import TASKS
from edgeprune.models import forward, values_digest

L = keras.layers


def cell(method: str, lost: float, seed: int = 0, amount: float = 0.9) -> Cell:
    return Cell("t", "net", method, amount, seed, {"epochs": 1}, lambda cell: {"lost": lost})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cells, "RESULTS", tmp_path)
    return tmp_path


def measured(**lost: list[float]) -> Table:
    every = [
        cell(method, value, seed)
        for method, values in lost.items()
        for seed, value in enumerate(values)
    ]
    for each in every:
        each.run()
    return Table(every)


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", ["mlp-512-512", "cnn"])
def test_settings_are_chosen_on_images_that_neither_trained_a_net_nor_judge_the_suite(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = sets.Examples(np.zeros((60_000, 1), "f"), np.arange(60_000, dtype="i"))
    monkeypatch.setattr(choices, "training", lambda data: every)
    net, seen, held = choices.parted(name)
    assert len(seen.y) == net.recipe.examples and len(held.y) == 10_000
    assert not set(seen.y) & set(held.y)


def test_every_result_is_of_a_cell_and_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for task in TASKS for cell in task.cells()]
    tables = [[cell.name for cell in task.cells()] for task in TASKS]
    assert all(len(set(table)) == len(table) for table in tables)
    kept = {str(path.relative_to(RESULTS))[: -len(".json")] for path in RESULTS.rglob("*.json")}
    assert kept <= set(names)


def test_results_keep_what_they_were_made_from() -> None:
    for task in TASKS:
        for each in task.cells():
            if each.path.exists():
                kept = json.loads(each.path.read_text())
                assert kept["digest"] == cells.digest_of(each.inputs), each.name


def test_a_cell_is_measured_once_until_something_that_decides_it_changes(folder: Path) -> None:
    one = cell("a", 1.0)
    assert one.result() is None
    one.run()
    kept = one.result()
    assert kept is not None
    assert kept["figures"] == {"lost": 1.0}
    assert dataclasses.replace(one, settings={"epochs": 2}).result() is None
    assert one.path.parent == folder / "t" / "net"


def test_another_architecture_or_another_constant_of_a_task_is_another_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def digests() -> dict[str, str]:
        every = [cell for task in TASKS for cell in task.cells()]
        return {cell.name: cells.digest_of(cell.inputs) for cell in every}

    def changed() -> set[str]:
        now = digests()
        return {name.partition("/")[0] for name in before if now[name] != before[name]}

    before = digests()
    assert changed() == set()
    for module, name, touched in (
        (channels, "CALIBRATION", {"channels-at-once", "channels-tuned"}),
        (channels, "STEP", {"channels-at-once", "channels-tuned"}),
        (weights, "RAMP", {"lenet-300-100", "lenet-5-caffe", "blocks", "scattered"}),
        (weights, "VALIDATION", {"lenet-300-100", "lenet-5-caffe", "blocks", "scattered"}),
        (thresholds, "GRID", {"threshold"}),
        (thresholds, "BUDGET", {"threshold"}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, getattr(module, name) * 2)
            assert changed() == touched, name
    other = {"step": "finetune"}
    for kept, touched in (
        (fronts.CONSTANTS, {"front"}),
        (tasks.TAUGHT, {"lenet-300-100", "lenet-5-caffe"}),
    ):
        for name in kept:
            with monkeypatch.context() as patch:
                patch.setitem(kept, name, other.get(name, 1))
                assert changed() == touched, name
    for net in nets.NETS.values():  # whatever Keras counts by now
        assert nets._architecture.__wrapped__(net) == nets._architecture(net)
    wider = dataclasses.replace(nets.CNN, build=nets.LENET_5.build)
    assert wider.facts() != nets.CNN.facts()


def images(part: str, spoilt: bool) -> sets.Examples:
    rng = np.random.default_rng(7 if spoilt and part == "test" else len(part))
    x = rng.random((600 if part == "train" else 100, 28, 28, 1), np.float32)
    return sets.Examples(x, rng.integers(0, 10, len(x)).astype(np.int32))


def few(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)), layers.Conv2D(4, 5, strides=4, activation="relu", name="a"),
            layers.Flatten(name="b"), layers.Dense(8, "relu", name="c"),
            layers.Dense(10, "softmax", name="d"),
        ]
    )  # fmt: skip


def decided(patch: pytest.MonkeyPatch, spoilt: bool) -> dict[str, Any]:
    """By cell, what it decided before it judged: weights, shares of the MACs, kept weights."""
    tiny = nets.Net("tiny", few, nets.Recipe("digits", 400, 1))
    models: list[str] = []

    def predictor(model: Any) -> Any:
        models.append(values_digest(model))
        return forward.predictor(model)

    def dense(net: nets.Net, seed: int) -> Any:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed)
        return net.build(keras)

    patch.setattr(nets.Net, "dense", dense)
    patch.setattr(sets, "_opened", lambda name, part: images(part, spoilt))
    patch.setattr(judging, "_opened", sets.untouched)
    patch.setattr(judging, "predictor", predictor)
    patch.setattr(channels, "CALIBRATION", 64)
    patch.setattr(fronts, "VALIDATION", 64)
    patch.setattr(fronts, "POINTS", 2)
    patch.setattr(thresholds, "BUDGET", 0.5)
    patch.setattr(fronts, "LEAST", 0.5)
    plans = {name: fronts.methods("molchanov")[name] for name in ("one ratio", "edgeprune")}
    every = [
        *weights.cells("weights", tiny, weights.ours("taylor", "distill", 1), (0.5,), 1),
        *channels.cells("at-once", tiny, channels.at_once(), (0.3,), 1)[:2],
        *channels.cells("tuned", tiny, channels.tuned(1), (0.3,), 1)[:1],
        *fronts.cells("front", tiny, plans, 1),
        *thresholds.cells("threshold", tiny, 1)[:1],
    ]
    found: dict[str, Any] = {}
    for each in every:
        models.clear()
        figures = each.measure(each)
        if each.task == "threshold":  # its oracle looks, and is named so
            found[each.name] = figures["kept"]
        elif each.task == "front":
            found[each.name] = [share for share, _ in figures["front"]]
        else:
            found[each.name] = list(models)
    return found


def test_nothing_is_decided_by_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for spoilt in (False, True):
        with monkeypatch.context() as patch:
            seen.append(decided(patch, spoilt))
    assert len(seen[0]) == 7 and all(seen[0].values())
    assert seen[0] == seen[1]


def test_cells_that_began_differently_are_no_table(folder: Path) -> None:
    def one(method: str, begun: str) -> Cell:
        figures = {"lost": 1.0, "dense_weights": begun}
        return Cell("t", "net", method, 0.9, 0, {}, lambda cell: figures)

    every = [one("edgeprune", "a"), one("tfmot", "b")]
    for each in every:
        each.run()
    with pytest.raises(ValueError, match=r"began with different dense weights; measure one"):
        Table(every)
    assert Table(every[:1]).done() == 1


def test_two_runs_share_the_cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BUILD", folder)
    one = cell("a", 1.0)
    with one.claimed():
        assert suite.measured(one, "1/1") and one.result() is None  # another run has it
    assert suite.measured(one, "1/1") and one.result() is not None


def test_a_run_of_its_own_begins() -> None:
    words = ["-m", "benchmarks.sensitivity", "--jobs", "1", "--only", "none"]
    subprocess.run([sys.executable, *words], cwd=PAGE.parent.parent, check=True, timeout=300)


def test_less_than_a_peer_and_at_most_a_share_of_it(folder: Path) -> None:
    table = measured(edgeprune=[1.0, 2.0], tfmot=[3.0, 3.2], random=[1.2, 1.6])
    assert of_peer("lost", 0.5, ("tfmot",))(table).held
    assert not of_peer("lost", 0.4, ("tfmot",))(table).held
    assert not of_peer("lost", 1, ("tfmot", "random"))(table).held
    assert every_seed("lost", ("tfmot",), more=False)(table).held
    assert not every_seed("lost", ("random",), more=False)(table).held
    assert at_most("lost", 1.5, method="edgeprune")(table).held
    assert not at_most("lost", 1.4, method="edgeprune")(table).held


def test_a_peer_that_gains_is_beaten_only_by_a_larger_gain(folder: Path) -> None:
    table = measured(edgeprune=[-0.3], tfmot=[-0.2], random=[-0.4])
    assert of_peer("lost", 0.5, ("tfmot",))(table).held
    assert not of_peer("lost", 0.5, ("random",))(table).held


@pytest.mark.parametrize(
    ("mine", "other", "held"),
    [
        ([(1, 1.2), (1, 1.1), (1, 1.2)], [(1, 1.3), (1, 1.2), (1, 1.3)], True),
        ([(1, 1.2), (1, 1.2), (1, 1.2)], [(1, 1.2), (1, 1.2), (1, 1.2)], False),  # no better
        ([(1, 1.2), (1, 1.2), (1, 1.2)], [(1, 1.1), (1, 1.1), (0, 1.1)], False),  # at a price
        ([(1, 1.2), (1, 1.2), (0, 1.2)], [(1, 1.3), (0, 1.3), (0, 1.3)], False),  # too seldom
        ([(1, 1.4), (1, 1.4), (1, 1.4)], [(1, 1.5), (1, 1.5), (1, 1.5)], False),  # too many kept
    ],
)
def test_a_threshold_is_better_than_a_fixed_one_in_one_of_two_and_worse_in_none(
    folder: Path, mine: list[tuple[int, float]], other: list[tuple[int, float]], held: bool
) -> None:
    every = [
        Cell("t", "net", name, 0.0, seed, {}, lambda _, a=good, b=times: {"within": a, "times": b})
        for name, values in (("edgeprune", mine), ("fixed", other))
        for seed, (good, times) in enumerate(values)
    ]
    for each in every:
        each.run()
    assert thresholds.within(0.9, 1.3)(Table(every)).held is held


def test_what_is_not_measured_yet_is_neither_held_nor_broken(folder: Path) -> None:
    table = Table([cell("edgeprune", 1.0), cell("tfmot", 2.0)])
    assert of_peer("lost", 1, ("tfmot",))(table).held is None
    table.cells[0].run()
    assert of_peer("lost", 1, ("tfmot",))(Table(table.cells)).held is None


def test_the_area_is_that_of_a_staircase() -> None:
    assert area([(0.5, 0.8), (1.0, 0.9)]) == pytest.approx(0.5 * 0.8)
    assert area([(0.0, 1.0)]) == 1.0
    assert area([(0.25, 0.4), (0.5, 0.8)]) == pytest.approx(0.25 * 0.4 + 0.5 * 0.8)
    assert area([]) == 0.0


def test_of_plans_those_are_chosen_that_no_smaller_one_beats() -> None:
    class Known:
        points: ClassVar[dict[str, tuple[float, float]]] = {
            "a": (0.5, 0.7), "b": (0.3, 0.8), "c": (0.9, 0.9), "d": (0.3, 0.1),
        }  # fmt: skip

        def share(self, plan: str) -> float:
            return self.points[plan][0]

        def tried(self, plan: str) -> float:
            return self.points[plan][1]

    bench: Any = Known()
    plans: list[Any] = list("abcd")
    assert best(bench, plans) == ["b", "c"]


@pytest.mark.parametrize("name", NETS)
def test_tfmot_starts_from_the_same_net(name: str) -> None:
    """``carried`` compares the outputs itself; the values are shaken, so that none is missed."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    net = NETS[name]
    dense = net.build(keras)
    rng = np.random.default_rng(0)
    dense.set_weights([w + 0.1 * rng.random(w.shape, np.float32) for w in dense.get_weights()])
    import tf_keras

    tf_keras.backend.clear_session()
    tfmot_peer.carried(net, dense)


def test_l1_is_the_sum_over_what_makes_a_channel() -> None:
    net = keras.Sequential(
        [keras.Input((5, 5, 2)), L.Conv2D(3, 3, name="a"), L.Flatten(), L.Dense(2, name="b")]
    )
    scores = l1(net, edgeprune.trace(net))
    kernel = np.asarray(net.get_layer("a").kernel)
    np.testing.assert_allclose(scores.channels["a"], np.abs(kernel).sum(axis=(0, 1, 2)), rtol=1e-5)
