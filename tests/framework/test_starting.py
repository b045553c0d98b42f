"""The first recipe: it is read back, its data opens, and what was guessed is said."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from edgeprune.errors import DataError, InputError, OutputError
from edgeprune.feeding import roles
from edgeprune.models import make_task, save_model
from edgeprune.pipeline.starting import starting_recipe
from edgeprune.recipes import Recipe

EXAMPLES = 300


def net(activation: str | None = "softmax", width: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(width, activation=activation)])


def data(seed: int = 0, examples: int = EXAMPLES) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(examples, 4)).astype(np.float32), random.integers(0, 3, examples)


def archive(path: Path, y_of: object = None) -> Path:
    (x, y), (v, w) = data(0), data(1, 80)
    make = y_of if callable(y_of) else (lambda labels: labels)
    np.savez(path, x_train=x, y_train=make(y), x_test=v, y_test=make(w))
    return path


def started(folder: Path, model: keras.Model, data: Path | str, **given: object) -> tuple:
    """Write the recipe into a folder of its own, read it back, open its data and its task."""
    save_model(model, folder / "m.keras")
    out = folder / "deep" / "edgeprune.toml"
    start = starting_recipe(str(folder / "m.keras"), str(data), out, **given)
    start.write(out)
    recipe = Recipe.load(out)
    assert not Path(recipe.model.path).is_absolute() and recipe.base == out.parent
    section = recipe.task
    task = make_task(
        section.loss, section.metric, section.higher_is_better, None, model=model, base=recipe.base
    )
    found = roles(recipe, model)
    value = task.evaluate(task.model_predict(model), found.evaluate().batches(64))
    assert np.isfinite(value)
    batch = next(iter(found.train.batches(8)))
    loss = task.loss((batch[1],), (model(batch[0]),))
    assert np.isfinite(float(loss))
    return recipe, start, task, found


def test_customary_arrays_and_a_compiled_model(tmp_path: Path) -> None:
    model = net()
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    recipe, start, task, found = started(tmp_path, model, archive(tmp_path / "d.npz"))
    assert recipe.data.train.x == ("x_train",) and recipe.data.evaluate.y == ("y_test",)
    assert recipe.data.train.path == recipe.data.evaluate.path == "../d.npz"
    assert recipe.task.loss is None and task.metric_name == "accuracy"
    assert found.evaluate().examples == 80
    assert any("compiled sparse_categorical_crossentropy" in note for note in start.notes)
    assert any("calibrate: drawn by seed from train" in note for note in start.notes)
    assert "# calibrate: drawn by seed from train (never from evaluate)" in start.text


@pytest.mark.parametrize(
    ("activation", "width", "y_of", "loss", "metric"),
    [
        ("softmax", 3, None, "sparse_categorical_crossentropy", "accuracy"),
        ("softmax", 3, lambda y: np.eye(3)[y], "categorical_crossentropy", "accuracy"),
        ("sigmoid", 1, lambda y: y % 2, "binary_crossentropy", "accuracy"),
        (None, 1, lambda y: y + 0.5, "mean_squared_error", "mean_absolute_error"),
        (None, 3, None, "edgeprune_task:loss", "edgeprune_task:metric"),
        (None, 3, lambda y: np.eye(3)[y], "edgeprune_task:loss", "edgeprune_task:metric"),
        (None, 1, lambda y: y % 2, "edgeprune_task:loss", "edgeprune_task:metric"),
    ],
)
def test_the_task_is_guessed_and_said(
    tmp_path: Path, activation: str | None, width: int, y_of: object, loss: str, metric: str
) -> None:
    recipe, start, task, _ = started(
        tmp_path, net(activation, width), archive(tmp_path / "d.npz", y_of)
    )
    assert (recipe.task.loss, recipe.task.metric) == (loss, metric)
    assert any(f"loss: {loss}, guessed" in note for note in start.notes)
    assert task.higher_is_better is (metric != "mean_absolute_error")
    assert bool(start.modules) == (":" in loss)


def test_named_loss_and_metric_are_kept(tmp_path: Path) -> None:
    recipe, *_ = started(
        tmp_path,
        net(),
        archive(tmp_path / "d.npz"),
        loss="sparse_categorical_crossentropy",
        metric="sparse_top_k_categorical_accuracy",
    )
    assert recipe.task.metric == "sparse_top_k_categorical_accuracy"
    with pytest.raises(InputError, match="no loss"):
        starting_recipe(
            str(tmp_path / "m.keras"), str(tmp_path / "d.npz"), tmp_path / "e.toml", loss="nonsense"
        )


def test_one_pair_is_cut_in_two_and_said(tmp_path: Path) -> None:
    x, y = data()
    np.savez(tmp_path / "d.npz", x=x, y=y)
    recipe, start, _, found = started(tmp_path, net(), tmp_path / "d.npz")
    assert recipe.data.train.path == "d-split.npz"
    assert found.evaluate().examples == 60
    everything = [
        batch[0]
        for part in (found.train, found.validation, found.evaluate())
        for batch in part.batches(64)
    ]
    assert (np.sort(np.concatenate(everything)[:, 0]) == np.sort(x[:, 0])).all()
    assert any("better give a test set of its own" in note for note in start.notes)
    again = starting_recipe(
        str(tmp_path / "m.keras"), str(tmp_path / "d.npz"), tmp_path / "deep" / "edgeprune.toml"
    )
    first, second = start.arrays["d-split.npz"], again.arrays["d-split.npz"]
    assert all((first[name] == second[name]).all() for name in first)


def test_bytes_are_scaled_as_the_model_likes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    x = (random.integers(0, 100, (400, 4)) + 150 * y[:, None]).astype(np.uint8)
    np.savez(tmp_path / "d.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    for factor, scale in ((255.0, 1.0), (1.0, 1 / 255)):
        model = net("sigmoid", 1)
        kernel, bias = np.full((4, 1), 10 / factor), np.array([-20.0])
        model.layers[-1].set_weights([kernel, bias])
        folder = tmp_path / str(factor)
        folder.mkdir()
        recipe, start, *_ = started(folder, model, tmp_path / "d.npz")
        assert recipe.data.train.scale == pytest.approx(scale)
        assert any("tried on examples of train" in note for note in start.notes)


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(24 if part == "train" else 12):
                pixels = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    recipe, start, _, found = started(tmp_path, model, tmp_path / "set")
    assert recipe.data.train.path == "../set/train" and recipe.data.train.scale == 1.0
    assert found.train.classes == ("cat", "dog") and found.evaluate().examples == 24
    assert any("rescales by itself" in note for note in start.notes)
    with pytest.raises(DataError, match="one set cannot serve"):
        starting_recipe(
            str(tmp_path / "m.keras"), str(tmp_path / "set" / "train"), tmp_path / "e.toml"
        )


def test_functions(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    deep.mkdir()
    (deep / "own.py").write_text(
        "import numpy as np\n"
        "def train(): return np.random.default_rng(0).normal(size=(90, 4)), np.arange(90) % 3\n"
        "def test(): return np.random.default_rng(1).normal(size=(30, 4)), np.arange(30) % 3\n"
    )
    recipe, *_ = started(tmp_path, net(), "own:train")
    assert recipe.data.evaluate.path == "own:test"
    (deep / "alone.py").write_text("def train(): return None\n")
    with pytest.raises(DataError, match="add a function 'test'"):
        starting_recipe(str(tmp_path / "m.keras"), "alone:train", deep / "e.toml")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    _, start, *_ = started(tmp_path, net(), archive(tmp_path / "d.npz"))
    out = tmp_path / "deep" / "edgeprune.toml"
    with pytest.raises(OutputError, match="is there already"):
        start.write(out)
    start.write(out, force=True)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    save_model(net(), tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", x_train=np.ones((9, 4)), y_train=np.zeros(9, int))
    with pytest.raises(DataError, match="no x_test and y_test"):
        starting_recipe(str(tmp_path / "m.keras"), str(tmp_path / "d.npz"), tmp_path / "e.toml")
    np.savez(tmp_path / "d.npz", x=np.ones((9, 5)), y=np.zeros(9, int))
    with pytest.raises(DataError, match=r"'x' is \(n, 5\)"):
        starting_recipe(str(tmp_path / "m.keras"), str(tmp_path / "d.npz"), tmp_path / "e.toml")
    with pytest.raises(DataError, match="no such file"):
        starting_recipe(str(tmp_path / "m.keras"), str(tmp_path / "no.npz"), tmp_path / "e.toml")


CASES = {
    "x of one axis": (
        {"x": lambda x: x.reshape(len(x), 16)},
        r"is \(n, 16\).*reshape\(-1, 4, 4, 1",
    ),
    "no channels": ({"x": lambda x: x[..., 0]}, r"add a last axis"),
    "NaN": ({"x": lambda x: np.where(x > 2, np.nan, x)}, "is nan at"),
    "text": ({"y": lambda y: y.astype(str)}, "holds text"),
    "a class below": ({"y": lambda y: y - 1}, "is -1 at"),
    "a class above": ({"y": lambda y: y + 1}, "is 3 at"),
    "half a class": ({"y": lambda y: y + 0.5}, "classes 0 … 2"),
    "fewer labels": ({"y": lambda y: y[:-1]}, "they must agree"),
    "nothing": ({"x": lambda x: x[:0], "y": lambda y: y[:0]}, "no example|too few"),
    "twenty": ({"x": lambda x: x[:20], "y": lambda y: y[:20]}, "calibrate has .* 32 at least"),
    "one-hot": ({"y": lambda y: np.eye(3)[y]}, "labels are one-hot; .*argmax"),
}


@pytest.mark.parametrize("parts", [("", ""), ("_train", "_test")], ids=["one set", "two sets"])
@pytest.mark.parametrize("case", CASES)
def test_data_that_a_run_would_refuse_is_refused(
    tmp_path: Path, case: str, parts: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    save_model(model, "m.keras")
    changes, said = CASES[case]
    arrays = {}
    for seed, part in enumerate(parts):
        random = np.random.default_rng(seed)
        x, y = random.normal(size=(300, 4, 4, 1)), np.arange(300) % 3
        arrays[f"x{part}"] = changes.get("x", lambda x: x)(x)
        arrays[f"y{part}"] = changes.get("y", lambda y: y)(y)
    np.savez("d.npz", **arrays)
    with pytest.raises(DataError, match=said) as caught:
        starting_recipe("m.keras", "d.npz", Path("e.toml"))
    text = str(caught.value)
    assert "\n" not in text and str(tmp_path) not in text
    assert case == "one-hot" or text.startswith("d.npz: ")


def test_train_and_test_that_are_the_same_are_refused(tmp_path: Path) -> None:
    save_model(net(), tmp_path / "m.keras")
    x, y = data()
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match="the same examples; evaluate needs examples of its own"):
        starting_recipe(str(tmp_path / "m.keras"), str(tmp_path / "d.npz"), tmp_path / "e.toml")


def test_bytes_are_tried_on_a_model_that_gives_logits_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    x = (random.integers(0, 100, (400, 4)) + 150 * y[:, None]).astype(np.uint8)
    np.savez(tmp_path / "d.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    model = net(None, 1)
    model.layers[-1].set_weights([np.full((4, 1), 10 / 255), np.array([-20.0])])
    recipe, start, *_ = started(tmp_path, model, tmp_path / "d.npz")
    assert start.modules and recipe.data.train.scale == 1.0
    assert any("tried on examples of train" in note for note in start.notes)
