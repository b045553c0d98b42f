"""``module:function`` as model and data: what they depend on, and when they are called again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_process import Program

MINE = """
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def net():
    import keras

    return keras.models.load_model(HERE / "weights" / "model.keras")


def _called(role):
    with (HERE / "calls.txt").open("a") as file:
        file.write(role + "\\n")


def train():
    _called("train")
    with np.load(HERE / "parts" / "train.npz") as file:
        x, y = file["x"], file["y"]
    hidden = HERE / "hidden.json"
    return (x + json.loads(hidden.read_text()) if hidden.exists() else x), y


def test():
    _called("test")
    with np.load(HERE / "parts" / "test.npz") as file:
        return file["x"], file["y"]
"""
RECIPE = """
schema = 1
model = { path = "mine:net", depends = ["weights/*.keras"] }
[data]
train = { path = "mine:train", depends = ["parts/train.npz"] }
evaluate = { path = "mine:test", depends = ["parts/test.npz"] }
calibration_examples = 64
[task]
loss = "sparse_categorical_crossentropy"
metric = "judge:right"
higher_is_better = true
[prune]
sparsity = 0.5
[finetune]
epochs = 1
[export]
formats = ["fp32"]
"""
JUDGE = """
def right(y, p):
    import keras

    return keras.metrics.sparse_categorical_accuracy(y, p)
"""


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    for name in ("weights", "parts"):
        (folder / name).mkdir(parents=True)
    shutil.copy(trained / "model.keras", folder / "weights")
    with np.load(trained / "data.npz") as file:
        for role in ("train", "test"):
            np.savez(folder / "parts" / f"{role}.npz", x=file[f"x_{role}"], y=file[f"y_{role}"])
    (folder / "mine.py").write_text(MINE)
    (folder / "judge.py").write_text(JUDGE)
    (folder / "edgeprune.toml").write_text(RECIPE)
    return folder


def calls(folder: Path) -> list[str]:
    """The data functions called since the last question."""
    file = folder / "calls.txt"
    found = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def waiting(program: Program, folder: Path) -> dict[str, str]:
    """The stages that would run, and why."""
    stages = program.facts(folder, "run", "--dry-run")
    return {stage["stage"]: stage["why"] for stage in stages if not stage["done"]}


def ran(program: Program, folder: Path) -> dict[str, int]:
    """Run; the time stamp of each finished stage."""
    code, _, err = program(folder, "run", "-q", "--depfile", "d.d")
    assert code == 0, err
    keys = (folder / ".edgeprune" / "stages").glob("*/*/key.json")
    return {str(path): path.stat().st_mtime_ns for path in keys}


def test_functions_and_what_they_depend_on(program: Program, own: Path) -> None:
    first = ran(program, own)
    assert set(calls(own)) == {"train", "test"}
    rule = (own / "d.d").read_text().split("\n\n")[0].replace("\\\n", " ").split()
    needed = {Path(name).as_posix() for name in rule[1:]}
    for name in (
        "edgeprune.toml", "mine.py", "judge.py", "weights/model.keras", "parts/train.npz",
        "parts/test.npz",
    ):  # fmt: skip
        assert name in needed
    manifest = json.loads((own / "dist" / "host" / "manifest.json").read_text())
    assert manifest["metric"]["name"] == "judge:right"

    # Unchanged: no stage, no call of a function of the data.
    assert waiting(program, own) == {}
    assert ran(program, own) == first
    assert calls(own) == []

    # What the evaluation depends on redoes the evaluation alone.
    test = own / "parts" / "test.npz"
    with np.load(test) as file:
        x, y = file["x"], file["y"]
    np.savez(test, x=x[:-20], y=y[:-20])
    assert set(waiting(program, own)) == {"check-evaluate", "evaluate"}
    ran(program, own)

    # A listed file of train: everything that trains, and the original's export stays.
    train = own / "parts" / "train.npz"
    with np.load(train) as file:
        x, y = file["x"], file["y"]
    np.savez(train, x=x * np.float32(1.01), y=y)
    redone = waiting(program, own)
    assert {"check", "round-1", "strip", "evaluate"} <= set(redone)
    assert "export-before-fp32" not in redone
    assert "data" in redone["round-1"]
    ran(program, own)
    assert waiting(program, own) == {}


def test_what_a_function_returns_counts_when_it_is_called(program: Program, own: Path) -> None:
    """A file that no ``depends`` lists changes what ``train`` returns: nothing can be known of it
    until the function is called again; then the keys are made anew, and all is redone."""
    ran(program, own)
    calls(own)
    hidden = own / "hidden.json"
    hidden.write_text("0.01")
    assert waiting(program, own) == {}
    code, _, err = program(own, "run", "-q", "--set", "prune.sparsity=0.6")
    assert code == 0, err
    assert "train" in calls(own)
    # The rounds of before were of other data; the check was made anew just now.
    again = waiting(program, own)
    assert {"round-1", "strip", "evaluate"} <= set(again)
    assert "check" not in again
    hidden.unlink()


def test_the_source_counts(program: Program, own: Path) -> None:
    """Of the module, and of the task's own functions."""
    ran(program, own)
    judge = own / "judge.py"
    judge.write_text(
        JUDGE.replace(
            "sparse_categorical_accuracy(y, p)", "sparse_top_k_categorical_accuracy(y, p, k=1)"
        )
    )
    redone = waiting(program, own)
    assert {"check", "evaluate"} <= set(redone) and "task" in redone["check"]
    judge.write_text(JUDGE)
    assert waiting(program, own) == {}
    (own / "mine.py").write_text(MINE + "\n\nOTHER = 1\n")
    code, _, err = program(own, "run", "-q")
    assert code == 0, err
    (own / "mine.py").unlink()
    code, _, err = program(own, "run", "-q")
    assert code == 2
    assert err.count("\n") == 1 and "mine" in err
