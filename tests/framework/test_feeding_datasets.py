"""Batches, splits, weights and roles: the same in every process, and never mixed."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeprune.errors import DataError
from edgeprune.feeding import (
    as_batches,
    as_dataset,
    check_fits,
    from_arrays,
    roles,
    split,
    weighted,
)
from edgeprune.feeding.elements import Reader
from edgeprune.feeding.streams import Stream, gathered
from edgeprune.recipes import Recipe


def arrays(examples: int = 20) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(examples * 4.0).reshape(examples, 4), np.arange(examples) % 3


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="out")])


def firsts(dataset, size: int = 8, shuffle: int | None = None) -> list[float]:
    return [float(v) for batch in dataset.batches(size, shuffle=shuffle) for v in batch[0][:, 0]]


def stream(examples: int = 20) -> Stream:
    x, y = arrays(examples)
    made = gathered(
        lambda: ((x[at : at + 3], y[at : at + 3]) for at in range(0, examples, 3)),
        Reader("stream"),
        in_memory=100,
    )
    assert isinstance(made, Stream)
    return made


@pytest.mark.parametrize("kind", ["indexed", "stream"])
def test_batches_repeat_and_shuffle_by_seed(kind: str) -> None:
    dataset = stream() if kind == "stream" else from_arrays(*arrays())
    batches = dataset.batches(8)
    assert [len(batch[0]) for batch in batches] == [8, 8, 4]
    assert len(batches) == 3
    assert [len(batch[0]) for batch in batches] == [8, 8, 4], "re-iterable"
    plain = firsts(dataset)
    assert plain == [4.0 * number for number in range(20)]
    mixed = firsts(dataset, shuffle=7)
    assert mixed != plain and sorted(mixed) == plain
    assert mixed == firsts(dataset, shuffle=7) != firsts(dataset, shuffle=8)


@pytest.mark.parametrize("kind", ["indexed", "stream"])
def test_split_is_disjoint_and_seeded(kind: str) -> None:
    dataset = stream() if kind == "stream" else from_arrays(*arrays())
    rest, part = split(dataset, 0.25, seed=3)
    assert (rest.examples, part.examples) == (15, 5)
    assert sorted(firsts(rest) + firsts(part)) == firsts(dataset)
    again = split(dataset, 0.25, seed=3)[1]
    assert firsts(again) == firsts(part) and again.digest == part.digest
    assert split(dataset, 0.25, seed=4)[1].digest != part.digest != rest.digest
    inner, _ = split(rest, 0.5, seed=0)
    assert set(firsts(inner)) <= set(firsts(rest))


def test_split_keeps_one_on_each_side() -> None:
    x, y = arrays(2)
    for share in (0.01, 0.99):
        rest, part = split(from_arrays(x, y), share, seed=0)
        assert (rest.examples, part.examples) == (1, 1)
    with pytest.raises(DataError, match="1 example cannot be split"):
        split(from_arrays(x[:1], y[:1]), 0.5, seed=0)


def test_a_stream_that_changes_is_refused() -> None:
    x, y = arrays(40)
    passes = iter(range(9))

    def make():
        order = np.random.default_rng(next(passes)).permutation(40)
        yield x[order], y[order]

    dataset = gathered(make, Reader("mine"), in_memory=100)
    with pytest.raises(DataError, match=r"mine: gives other examples, or another order"):
        list(dataset.batches(8))


def test_a_stream_is_checked_as_it_is_read(model: keras.Model) -> None:
    x, y = arrays(40)
    x[33, 2] = np.nan
    with pytest.raises(DataError, match=r"'x' is nan at \[33, 2\]"):
        gathered(lambda: [(x[:30], y[:30]), (x[30:], y[30:])], Reader("mine"), in_memory=100)
    labels = np.full(40, 5)
    dataset = gathered(lambda: [(arrays(40)[0], labels)], Reader("mine"), in_memory=100)
    with pytest.raises(DataError, match="classes 0 … 2"):
        check_fits(dataset, model, role="train")


def test_class_weights() -> None:
    x, _ = arrays(6)
    y = np.array([0, 0, 0, 0, 1, 1])
    named = from_arrays(x, y, classes=("good", "bad"))
    for dataset in (named, from_arrays(x, np.eye(2)[y])):
        ((_, _, weights),) = weighted(dataset, "balanced").batches(8)
        assert np.allclose(weights, [0.75] * 4 + [1.5] * 2) and weights.dtype == np.float32
    ((_, _, weights),) = weighted(named, {"bad": 3.0}).batches(8)
    assert weights.tolist() == [1, 1, 1, 1, 3, 3]
    ((_, _, weights),) = weighted(stream(), {"2": 5.0}).batches(20)
    assert weights.tolist() == [5.0 if number % 3 == 2 else 1.0 for number in range(20)]
    assert weighted(named, {"bad": 3.0}).digest != named.digest
    with pytest.raises(DataError, match="unknown class 'god'; did you mean 'good'"):
        weighted(named, {"god": 2.0})
    with pytest.raises(DataError, match="need classes as labels"):
        weighted(from_arrays(x, x[:, 0] - 1), "balanced")
    with pytest.raises(DataError, match="no labels"):
        weighted(from_arrays(x), "balanced")


# -- what the Python API takes ----------------------------------------------------------------


class Again:
    def __iter__(self):
        x, y = arrays()
        yield x[:5], y[:5]
        yield x[5:], y[5:]


def test_as_batches_takes_what_users_have() -> None:
    x, y = arrays()
    given = {
        "pair": (x, y),
        "dataset": from_arrays(x, y),
        "list": [(x[:5], y[:5]), (x[5:], y[5:])],
        "re-iterable": Again(),
        "tf.data": tf.data.Dataset.from_tensor_slices((x, y)).batch(5),
    }
    sizes = {"pair": [8, 8, 4], "dataset": [8, 8, 4], "tf.data": [5, 5, 5, 5]}
    for kind, data in given.items():
        batches = as_batches(data, 8)
        for _ in range(2):
            found = list(batches)
            assert [len(b[0]) for b in found] == sizes.get(kind, [5, 15]), kind
            assert found[0][0].dtype == np.float32
            assert np.allclose(np.concatenate([b[0] for b in found]), x)
            assert (np.concatenate([b[1] for b in found]) == y).all()


def test_as_batches_of_several_inputs() -> None:
    x, y = arrays()
    (batch,) = as_batches(((x, x), y), 32)
    assert isinstance(batch[0], tuple) and batch[0][1].shape == (20, 4)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_tuple_of_batches_is_as_good_as_a_list(model: keras.Model, count: int) -> None:
    x, y = arrays()
    batches = tuple((x[i::count], y[i::count]) for i in range(count))
    for found in (as_batches(batches, 8, model=model), as_batches(list(batches), 8)):
        assert [len(batch[0]) for batch in found] == [len(batch[0]) for batch in batches]
    assert as_dataset(batches, model).examples == 20


def test_tuples_and_a_model_of_several_inputs() -> None:
    x, y = arrays()
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    total = keras.layers.Add()([a, b])
    two = keras.Model([a, b], [keras.layers.Dense(3)(total), keras.layers.Dense(2)(total)])
    ((xs, ys),) = as_batches(((x, x), (y, y)), 32, model=two)
    assert (len(xs), len(ys), len(xs[0])) == (2, 2, 20)
    given = (((x[:5], x[:5]), (y[:5], y[:5])), ((x[5:], x[5:]), (y[5:], y[5:])))
    assert [len(batch[0][0]) for batch in as_batches(given, 32, model=two)] == [5, 15]
    named = (({"a": x[:5], "b": x[:5]}, y[:5]), ({"a": x[5:], "b": x[5:]}, y[5:]))
    assert as_dataset(named, two).examples == 20
    rows = tuple(map(tuple, x.tolist()))
    assert len(next(iter(as_batches((rows, y), 32)))[0]) == 20  # x as rows of numbers


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((batch for batch in ()), "a generator can be read only once"),
        ("data.npz", "is no data"),
        (np.ones(3), "one array; give a pair"),
        ([np.ones((3, 4)), np.ones(3)], "write the pair as a tuple"),
        (3, "int is no data"),
        ((np.ones((3, 4)), np.ones(2)), "has 2 examples"),
    ],
)
def test_as_batches_refuses(data: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_batches(data)


def test_empty_iterable_is_said_when_read() -> None:
    with pytest.raises(DataError, match="holds no batch"):
        list(as_batches([]))


def test_as_dataset_knows_single_examples_and_names() -> None:
    x, y = arrays()
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    two = keras.Model([a, b], keras.layers.Dense(3)(keras.layers.Add()([a, b])))
    data = tf.data.Dataset.from_tensor_slices(({"b": x + 1, "a": x}, y))
    dataset = as_dataset(data, two)
    ((first, second), _) = next(iter(dataset.batches(20)))
    assert dataset.examples == 20 and (second == first + 1).all()


# -- roles ------------------------------------------------------------------------------------


def recipe(base: Path, **data: object) -> Recipe:
    (base / "m.keras").touch()
    content = {"model": "m.keras", "data": data, "prune": {"sparsity": 0.5}}
    return Recipe.parse(content, base=base)


def test_what_decides_is_not_trained_on_and_what_calibrates_is(
    tmp_path: Path, model: keras.Model
) -> None:
    x, y = arrays(400)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.savez(tmp_path / "e.npz", x=x + 0.5, y=y)
    found = roles(recipe(tmp_path, train="t.npz", evaluate="e.npz"), model)
    parts = [set(firsts(part)) for part in (found.train, found.validation, found.calibrate)]
    train, validation, calibrate = parts
    assert [len(part) for part in parts] == [360, 40, 72]
    assert len(train | validation) == 400 and calibrate <= train
    assert found.evaluate().examples == 400 and found.evaluate() is found.evaluate()
    assert any("calibrate: 72 of the other 360" in note for note in found.notes)
    again = roles(recipe(tmp_path, train="t.npz", evaluate="e.npz"), model)
    assert again.train.digest == found.train.digest


def test_evaluation_is_not_read_before_the_end(tmp_path: Path, model: keras.Model) -> None:
    x, y = arrays(100)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.savez(tmp_path / "e.npz", x=np.full((5, 4), np.nan), y=y[:5])
    found = roles(recipe(tmp_path, train="t.npz", evaluate="e.npz"), model)
    with pytest.raises(DataError, match=r"e\.npz: array 'x' is nan"):
        found.evaluate()
    np.savez(tmp_path / "e.npz", x=np.ones((5, 3)), y=y[:5])
    with pytest.raises(DataError, match=r"e\.npz: array 'x' is \(n, 3\)"):
        roles(recipe(tmp_path, train="t.npz", evaluate="e.npz"), model)


def test_the_same_examples_for_two_roles_are_refused(tmp_path: Path, model: keras.Model) -> None:
    x, y = arrays(100)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.savez(tmp_path / "copy.npz", x=x, y=y, other=x)
    np.savez(tmp_path / "e.npz", x=x + 1, y=y)
    with pytest.raises(DataError, match=r"data\.train and data\.evaluate are the same"):
        roles(recipe(tmp_path, train="t.npz", evaluate="./t.npz"), model)
    with pytest.raises(DataError, match="leave calibrate out"):
        roles(recipe(tmp_path, train="t.npz", calibrate="t.npz", evaluate="e.npz"), model)
    found = roles(recipe(tmp_path, train="t.npz", evaluate="copy.npz"), model)
    with pytest.raises(DataError, match=r"data\.train and data\.evaluate are the same"):
        found.evaluate()
    other = {"path": "copy.npz", "x": "other"}
    with pytest.raises(DataError, match="same examples"):
        roles(recipe(tmp_path, train="t.npz", evaluate=other), model).evaluate()


def test_one_archive_may_serve_two_roles_by_its_arrays(tmp_path: Path, model: keras.Model) -> None:
    x, y = arrays(100)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x + 1, y_test=y)
    found = roles(recipe(tmp_path, train="d.npz", evaluate="d.npz"), model)
    assert found.evaluate().examples == 100


def test_class_weights_reach_training_and_scores_only(tmp_path: Path, model: keras.Model) -> None:
    x, y = arrays(400)
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.savez(tmp_path / "e.npz", x=x + 1, y=y)
    (tmp_path / "m.keras").touch()
    content = {
        "model": "m.keras",
        "data": {"train": "t.npz", "evaluate": "e.npz"},
        "task": {"class_weights": {"1": 2.0}},
        "prune": {"sparsity": 0.5},
    }
    found = roles(Recipe.parse(content, base=tmp_path), model)
    widths = [
        len(next(iter(part.batches(8))))
        for part in (found.train, found.calibrate, found.validation, found.evaluate())
    ]
    assert widths == [3, 3, 2, 2]
