"""The suite that compares with peers: what it compares, and that its page is what was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from benchmarks.sensitivity import cells, tfmot_peer
from benchmarks.sensitivity.cells import RESULTS, Cell
from benchmarks.sensitivity.channels import l1
from benchmarks.sensitivity.fronts import area, best
from benchmarks.sensitivity.nets import NETS
from benchmarks.sensitivity.page import PAGE, page
from benchmarks.sensitivity.promises import Table, at_most, every_seed, of_peer
from benchmarks.sensitivity.tasks import TASKS

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


def test_every_result_is_of_a_cell_and_every_cell_has_a_name_of_its_own() -> None:
    names = [cell.name for task in TASKS for cell in task.cells()]
    assert len(set(names)) == len(names)
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
    points: list[Any] = [(0.5, 0.7, "a"), (0.3, 0.8, "b"), (0.9, 0.9, "c"), (0.3, 0.1, "d")]
    assert best(points) == [(0.3, "b"), (0.9, "c")]


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
