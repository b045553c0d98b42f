"""The recipes of the demo, as they are, with fewer examples and epochs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeprune.errors import InputError
from edgeprune.pipeline import run
from edgeprune.recipes import Recipe
from examples.mnist import boards
from examples.mnist.demo import ROADS, main_table, promises, rehearsal_table
from examples.mnist.train import train

MNIST = Path(__file__).resolve().parents[2] / "examples" / "mnist"
FEW = [
    "data.train.examples=3000", "data.evaluate.examples=500", "finetune.epochs=1",
    "prune.rounds=2",
    "gates.max_metric_drop=1.0", "gates.min_sparsity=0.0",
]  # fmt: skip


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    for name in ("mnist.npz", *(f"{road}.toml" for road in ROADS)):
        shutil.copy(MNIST / name, folder)
    train(folder / "mlp.keras", epochs=1)
    return folder


def test_every_road_runs_and_fills_the_tables(mnist: Path) -> None:
    results = {}
    for road in ROADS:
        results[road] = run(mnist / f"{road}.toml", sets=FEW)
        assert (mnist / "dist" / road / "host" / "model.tflite").exists()
        assert (mnist / ".edgeprune" / f"{road}-report.html").exists()
    assert results["gradient"].method == "gradient"
    assert results["size"].sparsity >= 0.95 and results["speed"].sparsity >= 0.93
    promised = {(promise.road, promise.text.split(",")[-1]) for promise in promises(results)}
    assert len(promised) == 8
    for table in (main_table(results), rehearsal_table(results)):
        assert table.row_count >= 3


def test_recipes_ask_what_the_demo_promises() -> None:
    recipes = {road: Recipe.load(MNIST / f"{road}.toml", ["model='mnist.npz'"]) for road in ROADS}
    assert recipes["size"].prune.sparsity == recipes["gradient"].prune.sparsity == 0.95
    assert recipes["speed"].prune.pattern == "1x4"
    assert recipes["size"].finetune == recipes["gradient"].finetune
    assert recipes["size"].prune.rounds == recipes["gradient"].prune.rounds
    assert all(r.prune.rehearsal_epochs <= 3 for r in recipes.values())
    for road in ("size", "speed", "channels"):
        assert recipes[road].gates.max_metric_drop == 0.003
        assert set(recipes[road].prune.score) == {"taylor", "magnitude", "gradient"}


def test_the_recipe_of_three_targets_is_the_speed_road() -> None:
    speed, three = (
        Recipe.load(MNIST / f"{name}.toml", ["model='mnist.npz'"]) for name in ("speed", "boards")
    )
    one, other = speed.digest_facts(), three.digest_facts()
    assert len(other.pop("targets")) == 3 and one.pop("targets")
    assert one == other


def test_the_table_in_the_readme_is_what_was_kept() -> None:
    facts = json.loads(boards.KEPT.read_bytes())
    text = boards.README.read_text()
    assert boards.page(text, boards.table(facts)) == text
    assert facts["released"] == ["host", "raspberry-pi-4", "raspberry-pi-5"]
    rows = {(row["target"], row["role"], row["variant"]): row for row in facts["rows"]}
    assert len(rows) == 3 * 4
    for target in facts["released"][1:]:
        dense, pruned = (
            rows[target, *which] for which in (("before", "fp32"), ("after", "fp32-sparse"))
        )
        assert pruned["instructions"] < 0.6 * dense["instructions"] and not dense["median_ms"]
    # Another result makes another page; a page without a place for it is refused.
    facts["rows"][0]["size_bytes"] += 1
    assert boards.page(text, boards.table(facts)) != text
    with pytest.raises(InputError, match="no place for the table"):
        boards.page("# edgeprune", "")


def test_the_digits_are_the_digits() -> None:
    with np.load(MNIST / "mnist.npz", allow_pickle=False) as file:
        assert file["x_train"].shape == (60000, 28, 28) and file["x_test"].shape == (10000, 28, 28)
        assert np.bincount(file["y_train"]).tolist() == [
            5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
        ]  # fmt: skip
        assert int(file["x_train"].astype(np.int64).sum()) == 1567298545
