"""``edgeprune run`` on every kind of task and data that a recipe can name, as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli_process import Program
from PIL import Image

L = keras.layers
RANDOM = np.random.default_rng(5)
COMMON = """
schema = 1
model = "model.keras"
{top}
[data]
train = {train}
evaluate = {evaluate}
calibration_examples = 48
{task}
[prune]
{prune}
[finetune]
epochs = 1
[export]
formats = {formats}
[gates]
max_metric_drop = {drop}
"""


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def recipe(
    folder: Path,
    *,
    train: str = '"train.npz"',
    evaluate: str = '"test.npz"',
    task: str = "",
    top: str = "",
    prune: str = "sparsity = 0.5",
    formats: str = '["fp32"]',
    drop: float = 10,
) -> None:
    values = locals() | {}
    values.pop("folder")
    (folder / "edgeprune.toml").write_text(COMMON.format(**values))


def released(program: Program, folder: Path, *more: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The result and the manifest of a run that went through."""
    result = program.facts(folder, "run", "edgeprune.toml", "-q", *more)
    manifest = json.loads((folder / "dist" / "host" / "manifest.json").read_text())
    assert manifest["sparsity"] >= 0.45
    for numbers in manifest["verification"].values():
        assert numbers["outputs"]
    return result, manifest


def test_several_inputs_and_outputs(program: Program, tmp_path: Path) -> None:
    """Arrays are named after them; losses and metrics are the compiled ones."""
    keras.utils.set_random_seed(4)
    left, right = keras.Input((6,), name="left"), keras.Input((4, 4, 1), name="right")
    x = L.Concatenate()([L.Dense(16, "relu")(left), L.Flatten()(L.Conv2D(4, 3)(right))])
    x = L.Dense(24, "relu", name="trunk")(x)
    outputs = {
        "kind": L.Dense(3, "softmax", name="kind")(x),
        "amount": L.Dense(1, name="amount")(x),
    }
    model = keras.Model({"left": left, "right": right}, outputs)
    model.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "amount": "mse"},
        metrics={"kind": ["accuracy"], "amount": ["mae"]},
    )

    def arrays(count: int) -> dict[str, np.ndarray]:
        found = {
            "left": RANDOM.normal(size=(count, 6)).astype(np.float32),
            "right": RANDOM.normal(size=(count, 4, 4, 1)).astype(np.float32),
        }
        found["kind"] = found["left"][:, :3].argmax(1).astype(np.int32)
        found["amount"] = found["right"].sum((1, 2)).astype(np.float32)
        return found

    train = arrays(300)
    model.fit(
        {name: train[name] for name in ("left", "right")},
        {name: train[name] for name in ("kind", "amount")},
        epochs=10,
        verbose=0,
    )
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "train.npz", **train)
    np.savez(tmp_path / "test.npz", **arrays(120))
    recipe(tmp_path, formats='["fp32-sparse", "onnx-fp32"]')
    result, manifest = released(program, tmp_path)
    assert set(manifest["files"]) == {"model.tflite", "model.onnx"}
    for name, file in manifest["files"].items():
        assert {each["name"] for each in file["inputs"]} == {"left", "right"}, name
        assert {each["name"] for each in file["outputs"]} == {"kind", "amount"}, name
        outputs = manifest["verification"][name]["outputs"]
        assert {each["output"] for each in outputs} == {"kind", "amount"}
    assert result["gates"]
    # The metric judges one output of the two, and that is said; so do the verbs.
    said = "judged by mae of 'amount'; 'kind' is not judged"
    (check,) = (tmp_path / ".edgeprune" / "stages").glob("check/*/check.json")
    assert any(note.startswith(said) for note in json.loads(check.read_text())["notes"])
    asked = ("model.keras", "--data", "train.npz")
    for verb, *more in (
        ("recover", "--epochs", 1, "-o", "r.keras"),
        ("prune", "--sparsity", 0.5, "--epochs", 1, "-o", "p.keras"),
        ("scan", "--ratios", 0.5, "--of", "weights", "-o", "scan"),
    ):
        code, _, err = program(tmp_path, verb, *asked, *more)
        assert code == 0 and err.count(f"note: {said}") == 1, err


def test_n_of_m_is_kept_to_the_end(program: Program, tmp_path: Path) -> None:
    """Units that are dead, here by their weights, leave only where no group of M is broken."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((12,)), L.Dense(24, "relu"), L.Dense(16, "relu"), L.Dense(3, "softmax")]
    )
    kernel, bias = model.layers[1].get_weights()
    kernel[[1, 4, 5, 6, 7, 10, 19]] = 0
    model.layers[1].set_weights([kernel, bias])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    for name, count in (("train", 200), ("test", 80)):
        x = RANDOM.normal(size=(count, 12)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=x[:, :3].argmax(1))
    recipe(tmp_path, prune='pattern = "2:4"')
    released(program, tmp_path)
    stages = tmp_path / ".edgeprune" / "stages"
    (last,) = stages.glob("recover/*/model.keras")
    small = keras.models.load_model(last)
    assert small.layers[0].units == 20
    for layer in small.layers:
        led = np.asarray(layer.kernel) != 0
        assert all(led[at : at + 4].sum(axis=0).max() <= 2 for at in range(0, len(led), 4))
    (told,) = stages.glob("strip/*/strip.json")
    assert any("groups of 2:4 stay whole" in line for line in json.loads(told.read_text())["lines"])


def regressor() -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential([keras.Input((8,)), L.Dense(24, "relu"), L.Dense(1, name="value")])


def test_regression(program: Program, tmp_path: Path) -> None:
    """Less is better, and the drop is counted so."""
    model = regressor()
    x = RANDOM.normal(size=(300, 8)).astype(np.float32)
    y = (x @ np.arange(8.0)[:, None]).astype(np.float32)
    model.compile("adam", "mse")
    model.fit(x, y, epochs=10, verbose=0)
    model.save(tmp_path / "model.keras")
    y = y[:, 0]
    np.savez(tmp_path / "train.npz", x=x[:240], y=y[:240])
    np.savez(tmp_path / "test.npz", x=x[240:], y=y[240:])
    task = '[task]\nloss = "mean_squared_error"\nmetric = "mean_absolute_error"'
    recipe(tmp_path, task=task, drop=100)
    result, manifest = released(program, tmp_path)
    assert manifest["metric"]["higher_is_better"] is False
    after = next(row for row in result["rows"] if row["role"] == "after")
    original = manifest["metric"]["original"]
    assert after["drop"] == pytest.approx(after["metric"] - original)
    truth = np.abs(model.predict(x[240:], verbose=0).ravel() - y[240:]).mean()
    assert original == pytest.approx(truth, rel=1e-4)
    assert manifest["classes"] == []


def test_reconstruction(program: Program, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(6, "relu"), L.Dense(8, name="again")])
    x = RANDOM.normal(size=(300, 8)).astype(np.float32)
    model.compile("adam", "mse", metrics=["mse"])
    model.fit(x, x, epochs=5, verbose=0)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "all.npz", x_train=x[:200], x_test=x[200:])
    recipe(
        tmp_path,
        train='{ path = "all.npz", x = "x_train", y = "x" }',
        evaluate='{ path = "all.npz", x = "x_test", y = "x" }',
    )
    _, manifest = released(program, tmp_path)
    truth = ((model.predict(x[200:], verbose=0) - x[200:]) ** 2).mean()
    assert manifest["metric"]["original"] == pytest.approx(truth, rel=1e-4)


def classifier(folder: Path, loss: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), L.Dense(24, "relu"), L.Dense(3, "softmax")])
    model.compile("adam", loss, metrics=["accuracy"])
    x = RANDOM.normal(size=(360, 6)).astype(np.float32)
    y = x[:, :3].argmax(1)
    model.fit(x, y if loss.startswith("sparse") else np.eye(3)[y], epochs=8, verbose=0)
    model.save(folder / "model.keras")
    return model, x, y


@pytest.mark.parametrize("labels", ["one-hot", "whole numbers"])
def test_one_hot_labels(program: Program, tmp_path: Path, labels: str) -> None:
    model, x, y = classifier(tmp_path, "categorical_crossentropy")
    given = {"one-hot": np.eye(3, dtype=np.uint8)[y], "whole numbers": y}
    np.savez(tmp_path / "train.npz", x=x[:240], y=given[labels][:240])
    np.savez(tmp_path / "test.npz", x=x[240:], y=given[labels][240:])
    recipe(tmp_path, top='classes = ["red", "green", "blue"]')
    _, manifest = released(program, tmp_path)
    truth = (model.predict(x[240:], verbose=0).argmax(1) == y[240:]).mean()
    assert manifest["metric"]["original"] == pytest.approx(truth)
    labels_file = tmp_path / "dist" / "host" / "labels.txt"
    assert labels_file.read_text() == "red\ngreen\nblue\n"
    assert manifest["classes"] == ["red", "green", "blue"]


def test_class_weights(program: Program, tmp_path: Path) -> None:
    """By name, by number, or balanced: they change what is trained and nothing that is judged."""
    _, x, y = classifier(tmp_path, "sparse_categorical_crossentropy")
    np.savez(tmp_path / "train.npz", x=x[:240], y=y[:240])
    np.savez(tmp_path / "test.npz", x=x[240:], y=y[240:])
    top = 'classes = ["red", "green", "blue"]'
    weights = {
        "none": "",
        "by name": "[task.class_weights]\nred = 5.0\ngreen = 1.0\nblue = 1.0",
        "by number": "[task.class_weights]\n0 = 5.0\n1 = 1.0\n2 = 1.0",
        "balanced": '[task]\nclass_weights = "balanced"',
    }
    found = {}
    for name, task in weights.items():
        recipe(tmp_path, top=top, task=task)
        found[name] = released(program, tmp_path)[1]
    assert len({each["metric"]["original"] for each in found.values()}) == 1
    assert found["by name"]["pruned_model"] == found["by number"]["pruned_model"]
    assert len({found[name]["pruned_model"] for name in ("none", "by name", "balanced")}) == 3
    recipe(tmp_path, top=top, task="[task.class_weights]\nrad = 5.0")
    code, _, err = program(tmp_path, "run", "-q")
    assert code == 2 and err.count("\n") == 1
    assert "rad" in err and "red" in err


def test_folders_of_images(program: Program, tmp_path: Path) -> None:
    """Classes come sorted by folder and reach manifest and labels.txt."""
    for part, count in (("train", 30), ("test", 10)):
        for shade, name in enumerate(("bright", "dark", "grey")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                level = (200, 20, 110)[shade]
                pixels = RANDOM.integers(level - 20, level + 20, (9, 7)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1), name="image"),
            L.Conv2D(8, 3, activation="relu"),
            L.BatchNormalization(),
            L.GlobalAveragePooling2D(),
            L.Dense(3, "softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    levels = np.repeat([200, 20, 110], 30).astype(np.float32) / 255
    x = np.broadcast_to(levels[:, None, None, None], (90, 6, 6, 1))
    model.fit(x, np.repeat([0, 1, 2], 30), epochs=30, verbose=0)
    model.save(tmp_path / "model.keras")
    how = 'size = [6, 6], color = "grey", scale = 0.00392156862745098'
    recipe(
        tmp_path,
        train=f'{{ path = "train", {how} }}',
        evaluate=f'{{ path = "test", {how} }}',
        prune="channels = 0.5\nmultiple = 2",
        top='recover = ["finetune", "batchnorm"]',
    )
    result, manifest = released(program, tmp_path)
    assert manifest["classes"] == ["bright", "dark", "grey"]
    assert (tmp_path / "dist/host/labels.txt").read_text() == "bright\ndark\ngrey\n"
    assert manifest["after"]["macs"] < 0.75 * manifest["before"]["macs"]
    # One more picture is other data: what was trained on the old ones is done again.
    before = program.facts(tmp_path, "run", "--dry-run")
    assert all(stage["done"] for stage in before)
    Image.new("L", (7, 9), 30).save(tmp_path / "train" / "dark" / "more.png")
    after = {stage["stage"]: stage for stage in program.facts(tmp_path, "run", "--dry-run")}
    assert not after["round-1"]["done"] and "data" in after["round-1"]["why"]
    assert result["released"]
