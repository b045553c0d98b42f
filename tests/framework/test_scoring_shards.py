"""Scores are the same bits, whoever gathered them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from shard_work import Doubled, dies_once, own_loss

import edgeprune
from edgeprune.errors import InputError, TrainingError
from edgeprune.executors import Here, Pool
from edgeprune.files import sha256_file
from edgeprune.models import save_model
from edgeprune.scoring import score_all
from edgeprune.scoring.gathering import SHARD
from edgeprune.surgery import trace
from edgeprune.verbs.method import score_files
from edgeprune.verbs.sources import Source

L = keras.layers
MICRO = 3
EXAMPLES = 2 * SHARD * MICRO + 4


@pytest.fixture(scope="module")
def net() -> Any:
    keras.utils.set_random_seed(4)
    layers = [
        keras.Input((6, 6, 1)), L.Conv2D(4, 3, name="conv"), L.BatchNormalization(),
        Doubled(), L.ReLU(), L.Flatten(), L.Dense(3, "softmax", name="out"),
    ]  # fmt: skip
    return keras.Sequential(layers)


def batches(size: int = 7, labels: bool = True) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, 6, 6, 1)).astype("float32")
    y = rng.integers(0, 3, EXAMPLES)
    cut = range(0, EXAMPLES, size)
    return [(x[n : n + size], y[n : n + size]) if labels else (x[n : n + size],) for n in cut]


def digests(scores: dict[str, Any], folder: Path) -> dict[str, str]:
    found = {}
    for name, one in scores.items():
        one.save(folder / f"{name}.npz")
        found[name] = sha256_file(folder / f"{name}.npz")
    return found


@pytest.mark.parametrize(
    ("loss", "methods"),
    [
        ("sparse_categorical_crossentropy", ["taylor", "gate", "molchanov", "wanda", "obd"]),
        ("own-kl", ["fisher"]),
    ],
)
def test_one_process_a_pool_and_a_pool_of_which_one_was_killed_give_the_same_bits(
    net: Any, loss: str, methods: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, mark = trace(net), tmp_path / "died"
    monkeypatch.setenv("SHARD_DIED", str(mark))

    def scored(apart: Any) -> dict[str, str]:
        given = batches(labels=loss != "own-kl")
        scores = score_all(
            net, given, methods, loss=loss, graph=graph, microbatch=MICRO, seed=1,
            apart=apart,
        )  # fmt: skip
        return digests(scores, tmp_path)

    alone = scored(None)
    assert scored(Here().map) == alone
    assert scored(Pool(2).map) == alone
    assert not mark.exists()
    assert scored(lambda _, jobs: Pool(2).map(dies_once, jobs)) == alone
    assert mark.exists()


def test_the_order_in_which_shards_come_back_does_not_matter(net: Any, tmp_path: Path) -> None:
    def backwards(fn: Any, jobs: Any) -> Iterator[tuple[int, Any]]:
        yield from reversed(list(Here().map(fn, jobs)))

    def scored(apart: Any) -> dict[str, str]:
        loss = "sparse_categorical_crossentropy"
        scores = score_all(net, batches(), ["taylor"], loss=loss, microbatch=MICRO, apart=apart)
        return digests(scores, tmp_path)

    assert scored(backwards) == scored(None)


def test_workers_is_a_number_of_the_api(net: Any) -> None:
    given: dict[str, Any] = {"loss": own_loss, "microbatch": MICRO}
    onehot = [(x, np.eye(3, dtype="float32")[y]) for x, y in batches()]
    alone = edgeprune.score(net, onehot, "gradient", **given)
    shared = edgeprune.score(net, onehot, "gradient", workers=2, **given)
    for name, value in alone.weights.items():
        np.testing.assert_array_equal(shared.weights[name], value)
    assert shared.facts == alone.facts
    with pytest.raises(InputError, match="workers = 0"):
        edgeprune.score(net, onehot, "gradient", workers=0, **given)


def test_a_loss_that_cannot_travel_is_one_line(net: Any) -> None:
    onehot = [(x, np.eye(3, dtype="float32")[y]) for x, y in batches()]
    with pytest.raises(InputError, match="cannot be sent to other processes; define it at the top"):
        edgeprune.score(net, onehot, loss=lambda true, given: (true - given) ** 2, workers=2)


def test_what_goes_wrong_in_a_worker_is_said_as_here(net: Any) -> None:
    given = batches()
    x, y = given[-1]
    given[-1] = (np.full_like(x, np.nan), y)
    said = []
    for workers in (1, 2):
        with pytest.raises(TrainingError) as error:
            edgeprune.score(
                net, given, loss="sparse_categorical_crossentropy", microbatch=MICRO,
                workers=workers,
            )  # fmt: skip
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "is nan in batch" in said[0]


def test_the_command_line_shares_it_too(net: Any, tmp_path: Path) -> None:
    x, y = (np.concatenate(part) for part in zip(*batches(), strict=True))
    np.savez(tmp_path / "d.npz", x=x, y=y)
    save_model(net, tmp_path / "m.keras")
    source = Source(
        tmp_path / "m.keras", str(tmp_path / "d.npz"), "sparse_categorical_crossentropy"
    )
    for workers in (1, 2):
        (facts,) = score_files(
            source, tmp_path / f"{workers}.npz", microbatch=MICRO, workers=workers
        )
        assert facts["facts"]["examples"] == EXAMPLES
    assert sha256_file(tmp_path / "1.npz") == sha256_file(tmp_path / "2.npz")
