"""Bad input, case by case, as a user of the command line meets it: one clear line, the exit code,
and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli_process import Program, temporaries

from edgeprune.files import writing

L = keras.layers
Arrays = dict[str, Any]
SHORT = ("--set", "prune.rounds=1", "--set", "finetune.epochs=1")


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def listing(folder: Path) -> set[str]:
    """What lies there, the build directory and the program's own two files left out."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if not name.startswith((".edgeprune", ".out", ".err"))}


def half_written(folder: Path) -> list[str]:
    """Of the build directory: stages without a key, temporary files and folders."""
    stages = folder / ".edgeprune" / "stages"
    left = [str(path) for path in stages.glob("*/*") if not (path / "key.json").is_file()]
    return left + temporaries(folder)


@pytest.mark.parametrize("name", ["model.keras", "plan.json", "SHA256SUMS", "strip"])
def test_what_a_broken_write_would_leave_is_seen(tmp_path: Path, name: str) -> None:
    with writing(tmp_path / "dist" / name) as temporary:
        assert half_written(tmp_path) == [str(temporary)]
    assert half_written(tmp_path) == []
    (tmp_path / "dist" / ".gitignore").touch()
    assert half_written(tmp_path) == []


def refused(
    program: Program, folder: Path, arguments: tuple[object, ...], code: int, *words: str
) -> str:
    """The one line that a command fails with."""
    before = listing(folder)
    got, out, err = program(folder, *arguments)
    said = [line for line in err.splitlines() if line.startswith("edgeprune: ")]
    assert got == code, err
    assert out == ""
    assert len(said) == 1, err
    assert err.endswith(said[0] + "\n"), err
    assert "Traceback" not in err and "fault of edgeprune" not in err
    for word in words:
        assert word in said[0]
    assert listing(folder) == before
    assert half_written(folder) == []
    return said[0]


# -- models --------------------------------------------------------------------------------------


def cut(folder: Path) -> None:
    file = folder / "model.keras"
    file.write_bytes(file.read_bytes()[:-4000])


def text(folder: Path) -> None:
    (folder / "model.keras").write_text("no model at all")


def other_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("hello.txt", "hello")


def value(number: float) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        model = keras.models.load_model(folder / "model.keras")
        kernel = np.array(model.get_layer("second").kernel)
        kernel[2, 5] = number
        model.get_layer("second").kernel.assign(kernel)
        model.save(folder / "model.keras")

    return spoil


class Unregistered(L.Layer):
    def call(self, x: Any) -> Any:
        return x * 2


def small(middle: L.Layer) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((12,)), L.Dense(8, activation="relu"), middle, L.Dense(3, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def custom(folder: Path) -> None:
    small(Unregistered()).save(folder / "model.keras")


MODELS = {
    "truncated": (cut, ("model.keras", "truncated")),
    "text": (text, ("model.keras", "truncated or no")),
    "another archive": (other_zip, ("model.keras", "config.json")),
    "NaN weights": (value(np.nan), ("model.keras", "second/kernel", "NaN")),
    "Inf weights": (value(-np.inf), ("model.keras", "second/kernel", "infinite")),
    "custom layer": (custom, ("Unregistered", "register_keras_serializable")),
}


@pytest.mark.parametrize("verb", ["run", "strip"])
@pytest.mark.parametrize("case", MODELS)
def test_models(program: Program, project: Path, case: str, verb: str) -> None:
    spoil, words = MODELS[case]
    spoil(project)
    arguments = {"run": ("run", "edgeprune.toml"), "strip": ("strip", "model.keras", "-o", "s.h5")}
    refused(program, project, arguments[verb], 2, *words)


def test_lambdas_need_trust(program: Program, project: Path) -> None:
    """Unsafe deserialisation is refused; the flag and the recipe's ``trust`` allow it."""
    small(L.Lambda(lambda x: x * 2)).save(project / "model.keras")
    line = refused(program, project, ("run", "edgeprune.toml", *SHORT), 2, "Lambda")
    assert "--trust-model" in line
    refused(program, project, ("init", "model.keras", "--data", "data.npz", "-o", "i.toml"), 2)
    code, _, err = program(project, "inspect", "model.keras", "--trust-model")
    assert code == 0, err
    code, _, err = program(project, "run", *SHORT, "--set", "model.trust=true", "-q")
    assert code == 0, err
    assert (project / "dist" / "host" / "model.tflite").exists()
    refused(program, project, ("strip", "model.keras", "-o", "s.keras"), 2, "--trust-model")


# -- data ----------------------------------------------------------------------------------------


def wide(data: Arrays) -> None:
    data["x_train"] = np.zeros((480, 13), np.float32)


def flat(data: Arrays) -> None:
    data["x_train"] = data["x_train"][:, 0]


def words(data: Arrays) -> None:
    data["x_train"] = data["x_train"].astype("U")


def complex_numbers(data: Arrays) -> None:
    data["x_train"] = data["x_train"].astype(np.complex64)


def none(data: Arrays) -> None:
    data["x_train"], data["y_train"] = data["x_train"][:0], data["y_train"][:0]


def none_to_evaluate(data: Arrays) -> None:
    data["x_test"], data["y_test"] = data["x_test"][:0], data["y_test"][:0]


def unequal(data: Arrays) -> None:
    data["y_train"] = data["y_train"][:-7]


def beyond(data: Arrays) -> None:
    data["y_train"][11] = 3


def negative(data: Arrays) -> None:
    data["y_train"][11] = -1


def nan(data: Arrays) -> None:
    data["x_train"][7, 3] = np.nan


def infinite(data: Arrays) -> None:
    data["x_train"][7, 3] = np.inf


def nan_labels(data: Arrays) -> None:
    data["y_train"] = data["y_train"].astype(np.float32)
    data["y_train"][3] = np.nan


def infinite_to_evaluate(data: Arrays) -> None:
    data["x_test"][7, 3] = np.inf


def beyond_to_evaluate(data: Arrays) -> None:
    data["y_test"][11] = 10


DATA = {
    wide: ("x_train", "13", "12"),
    flat: ("x_train", "(n, 12)"),
    words: ("x_train", "text"),
    complex_numbers: ("x_train", "complex"),
    none: ("no example",),
    none_to_evaluate: ("no example",),
    unequal: ("480", "473"),
    beyond: ("y_train", "3"),
    negative: ("y_train", "-1"),
    nan: ("x_train", "nan"),
    infinite: ("x_train", "inf"),
    nan_labels: ("y_train",),
    infinite_to_evaluate: ("x_test", "inf"),
    beyond_to_evaluate: ("y_test", "10", "0 … 2"),
}


@pytest.mark.parametrize("spoil", DATA, ids=lambda each: each.__name__)
def test_data(program: Program, project: Path, spoil: Callable[[Arrays], None]) -> None:
    with np.load(project / "data.npz") as file:
        data = dict(file)
    spoil(data)
    np.savez(project / "data.npz", **data)
    refused(program, project, ("run", "edgeprune.toml", *SHORT), 2, "data.npz", *DATA[spoil])
    assert not list(project.glob(".edgeprune/stages/export-*")), "before any work"


class Marker:
    """Unpickling one is seen."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("verb", ["run", "score", "init", "verify"])
def test_pickled_objects_are_never_loaded(program: Program, project: Path, verb: str) -> None:
    marker = project.parent / "unpickled"
    (project / "empty.tflite").touch()
    with np.load(project / "data.npz") as file:
        arrays = dict(file)
    arrays["x_train"] = np.array([Marker(str(marker))] * 480, dtype=object)
    np.savez(project / "data.npz", **arrays)
    arguments = {
        "run": ("run", "edgeprune.toml"),
        "score": ("score", "model.keras", "--data", "data.npz", "-o", "s.npz"),
        "init": ("init", "model.keras", "--data", "data.npz", "-o", "new.toml"),
        "verify": ("verify", "empty.tflite", "--model", "model.keras", "--data", "data.npz"),
    }
    refused(program, project, arguments[verb], 2, "data.npz", "x_train", "pickled")
    assert not marker.exists()


def test_a_truncated_archive(program: Program, project: Path) -> None:
    file = project / "data.npz"
    file.write_bytes(file.read_bytes()[:-3000])
    refused(program, project, ("run", "edgeprune.toml"), 2, "data.npz", "truncated")


# -- what a dry run knows ------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_what_is_known_without_training_is_said_before_anything_runs(
    program: Program, project: Path, more: tuple[str, ...]
) -> None:
    """By a dry run too, whether the stages before are done or not."""
    assert program(project, "run", *SHORT, "--set", 'export.formats=["fp32"]')[0] == 0
    done = set(project.glob(".edgeprune/stages/*/*"))
    shutil.rmtree(project / "dist")
    for key, value, words in (
        ("task.metric", "acuracy", ("no metric 'acuracy'", "'accuracy'")),
        ("task.loss", "sparse_categorical_crosentropy", ("sparse_categorical_crossentropy",)),
        ("data.train.x", "x_trian", ("x_trian", "x_train")),
        ("data.evaluate.y", "y_tset", ("y_tset", "y_test")),
        ("prune.exclude", '["*"]', ("most 0.0000", "exclude less")),
        ("prune.exclude", '["frist"]', ("'frist' matches no", "'first'")),
    ):
        asked = ("run", "edgeprune.toml", "--set", f"{key}={value}", *more)
        refused(program, project, asked, 2, *words)
    by = ("--set", "prune={threshold=0.1, exclude=['*']}")
    refused(program, project, ("run", *by, *more), 2, "nothing of this model would go")
    by = ("--set", "prune={channels=0.5, exclude=['first', 'second']}")
    refused(program, project, ("run", *by, *more), 2, "free to lose channels")
    by = ("--set", "prune={channels=0.5, multiple=32}")
    refused(program, project, ("run", *by, *more), 2, "nothing of this", "multiple = 32")
    by = ("--set", "prune={channels=0.5, multiple=1, minimum=15}")
    refused(program, project, ("run", *by, *more), 2, "minimum = 15, 18 of 48", "0.3750")
    assert set(project.glob(".edgeprune/stages/*/*")) == done


# -- training ------------------------------------------------------------------------------------


def test_a_loss_that_is_nan(program: Program, project: Path) -> None:
    asked = ("run", "edgeprune.toml", "--set", "finetune.learning_rate=1e30")
    refused(program, project, asked, 1, "loss", "epoch")
    asked = ("recover", "model.keras", "--data", "data.npz", "--learning-rate", 1e30)
    refused(program, project, (*asked, "-o", "r.keras"), 1, "loss", "epoch")


def test_a_score_of_a_loss_that_is_nan(program: Program, project: Path) -> None:
    (project / "mine.py").write_text(
        "def loss(y, p):\n    import keras\n    return keras.ops.log(keras.ops.sum(p, -1) - 9)\n"
    )
    asked = ("score", "model.keras", "--data", "data.npz", "--loss", "mine:loss", "-o", "s.npz")
    refused(program, project, asked, 1, "loss")


def test_a_metric_that_is_nan_is_said_before_training(program: Program, project: Path) -> None:
    (project / "judges.py").write_text(
        "def nan(y, p):\n    import keras\n    return keras.ops.log(keras.ops.sum(p, -1) - 9)\n"
    )
    sets = ("--set", "task.metric=judges:nan", "--set", "task.higher_is_better=true")
    line = refused(program, project, ("run", "edgeprune.toml", *sets), 1, "nan", "scaling")
    assert "from_logits" in line
    assert not (project / ".edgeprune" / "stages" / "round-1").exists()


ODD = """
import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mine")
class Odd(keras.layers.Layer):
    def call(self, x):
        y = tf.numpy_function(lambda a: a, [x], tf.float32)
        return tf.ensure_shape(y, (None, 8))

    def compute_output_shape(self, shape):
        return shape


def net():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(8), Odd(), layers.Dense(3, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def test_what_cannot_be_exported_fails_before_training(program: Program, project: Path) -> None:
    (project / "odd.py").write_text(ODD)
    asked = ("run", "edgeprune.toml", "--set", "model=odd:net")
    refused(program, project, asked, 1, "PyFunc")
    assert not (project / ".edgeprune" / "stages" / "round-1").exists()


# -- recipes -------------------------------------------------------------------------------------


def test_every_fault_of_a_recipe_is_a_line_unknown_keys_first(
    program: Program, project: Path
) -> None:
    recipe = project / "edgeprune.toml"
    content = recipe.read_text()
    for old, new in (
        ("sparsity = 0.6", "sparsty = 0.6"),
        ("epochs = 2", 'epochs = "two"'),
        ('model = "model.keras"', 'model = "absent.keras"'),
    ):
        content = content.replace(old, new)
    recipe.write_text(content)
    before = listing(project)
    code, out, err = program(project, "run", "edgeprune.toml")
    lines = err.splitlines()
    assert (code, out) == (2, "")
    assert all(line.startswith("edgeprune: edgeprune.toml: ") for line in lines), err
    assert "'prune.sparsty'" in lines[0] and "'sparsity'" in lines[0]
    assert any("finetune.epochs" in line for line in lines[1:])
    assert any("absent.keras" in line for line in lines[1:])
    assert listing(project) == before
    assert not (project / ".edgeprune").exists()


@pytest.mark.parametrize("noun", ["recipe", "plan", "scores", "profile"])
def test_a_newer_schema_is_refused_by_name(program: Program, project: Path, noun: str) -> None:
    from edgeprune.plans import Plan
    from edgeprune.scores import Scores

    if noun == "recipe":
        file = project / "edgeprune.toml"
        file.write_text(file.read_text().replace("schema = 1", "schema = 2"))
        asked: tuple[object, ...] = ("run", "edgeprune.toml")
    elif noun == "profile":
        file = project / "board.toml"
        file.write_text('schema = 2\narch = "aarch64"\n')
        asked = ("targets", "check", "board.toml")
    elif noun == "plan":
        file = project / "plan.json"
        Plan("0" * 64).save(file)
        file.write_text(json.dumps({**json.loads(file.read_text()), "schema": 2}))
        asked = ("zero", "model.keras", "--plan", "plan.json", "-o", "z.keras")
    else:
        file = project / "s.npz"
        asked = ("score", "model.keras", "--data", "data.npz", "--method", "magnitude")
        assert program(project, *asked, "-o", "s.npz")[0] == 0
        assert Scores.load(file).method == "magnitude"
        with np.load(file) as archive:
            arrays = dict(archive)
        header = {**json.loads(arrays["header"].tobytes()), "schema": 2}
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(file, **arrays)
        asked = ("plan", "s.npz", "--sparsity", 0.5, "-o", "p.json")
    refused(program, project, asked, 2, file.name, "schema 2")


# -- places --------------------------------------------------------------------------------------


def mounted(where: Path, *options: str) -> Callable[[], None]:
    """Mount something on ``where``; skip where that is not allowed."""
    where.mkdir()
    done = subprocess.run(["mount", *options, str(where)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may not mount: " + done.stderr.decode().strip())
    return lambda: subprocess.run(["umount", "--lazy", str(where)], check=True) and None


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    where = tmp_path / "tiny"
    done = mounted(where, "-t", "tmpfs", "-o", "size=64k", "none")
    yield where
    done()


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[Path]:
    """A disk that nobody may write, root neither."""
    where = tmp_path / "frozen"
    done = mounted(where, "-t", "tmpfs", "-o", "size=64k,ro", "none")
    yield where
    done()


def test_an_output_directory_that_cannot_be_written(
    program: Program, project: Path, frozen: Path
) -> None:
    """Below a file, where the system lets nobody make a folder, on a disk that is read-only."""
    (project / "plain").touch()
    asked = ("run", "edgeprune.toml", "--set", "output=plain", *SHORT)
    refused(program, project, asked, 1, "cannot write", "plain is a file")
    for output in ("data.npz/dist", "/proc/edgeprune-dist", f"{frozen}/dist"):
        asked = ("run", "edgeprune.toml", "--set", f"output={output}", *SHORT)
        refused(program, project, asked, 1, "cannot write", output)
        for name in ("s.keras", "s.h5"):
            asked = ("strip", "model.keras", "-o", f"{output}/{name}")
            refused(program, project, asked, 1, "cannot write", f"{output}/{name}")
    asked = ("run", "edgeprune.toml", *SHORT, "--depfile", f"{frozen}/make.d")
    refused(program, project, asked, 1, "cannot write", f"{frozen}/make.d")
    assert not (project / ".edgeprune" / "stages").exists()


def test_a_build_directory_that_cannot_be_written(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    where = tmp_path / "frozen"
    done = mounted(where, "-t", "tmpfs", "-o", "size=1m", "none")
    try:
        for file in trained.iterdir():
            shutil.copy(file, where)
        subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)
        for more in ((), ("--quick",)):
            asked = ("run", where / "edgeprune.toml", *more)
            refused(program, tmp_path, asked, 1, "cannot write", ".edgeprune")
    finally:
        done()


def test_a_disk_full_at_the_release(program: Program, project: Path, tiny: Path) -> None:
    _fill(tiny)
    asked = ("run", "edgeprune.toml", "--set", f"output={tiny}/dist", *SHORT)
    refused(program, project, asked, 1, "no space left", f"{tiny}/dist")
    assert {path.name for path in tiny.rglob("*")} <= {"filler", "dist"}
    subprocess.run(["mount", "-o", "remount,size=8m", str(tiny)], check=True)
    code, _, err = program(project, *asked, "-q")
    assert code == 0, err
    assert {path.name for path in (tiny / "dist").iterdir()} == {"host"}


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        (("strip", "model.keras"), "small.keras"),
        (("strip", "model.keras"), "small.h5"),
        (("export", "model.keras", "--format", "fp32"), "model.tflite"),
        (("export", "model.keras", "--format", "onnx-fp32"), "model.onnx"),
        (("score", "model.keras", "--data", "data.npz", "--method", "magnitude"), "s.npz"),
        (("plan", "s.npz", "--sparsity", 0.5), "plan.json"),
        (("init", "model.keras", "--data", "data.npz"), "new.toml"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_full_disk(
    program: Program, project: Path, tiny: Path, verb: tuple[object, ...], name: str
) -> None:
    if verb[0] == "plan":
        asked = ("score", "model.keras", "--data", "data.npz", "--method", "magnitude")
        assert program(project, *asked, "-o", "s.npz")[0] == 0
    (tiny / name).write_bytes(b"as it was")
    _fill(tiny)
    before = listing(tiny)
    more = ("--force",) if verb[0] == "init" else ()
    refused(program, project, (*verb, "-o", tiny / name, *more), 1, "no space left", str(tiny))
    assert (tiny / name).read_bytes() == b"as it was"
    assert listing(tiny) == before


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


def test_a_disk_full_in_the_middle_of_a_run(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    """The build directory's disk fills up; with room again the next run finishes."""
    where = tmp_path / "disk"
    done = mounted(where, "-t", "tmpfs", "-o", "size=400k", "none")
    try:
        project = where / "project"
        shutil.copytree(trained, project)
        (where / "filler").write_bytes(b"x" * 150_000)
        asked = ("run", "edgeprune.toml", *SHORT, "--set", 'export.formats=["fp32"]')
        refused(program, project, asked, 1, "no space left", ".edgeprune")
        finished = {path.parent.name for path in project.glob(".edgeprune/stages/*/*")}
        assert "check" in finished and "evaluate" not in finished
        assert not (project / "dist").exists()
        (where / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(where)], check=True)
        code, _, err = program(project, *asked)
        assert code == 0, err
    finally:
        done()


def test_what_is_no_file_is_not_replaced_by_one(program: Program, project: Path) -> None:
    """``-o /dev/null`` as root must not put a model where the device was."""
    os.mkfifo(project / "pipe.keras")
    refused(program, project, ("strip", "model.keras", "-o", "pipe.keras"), 1, "pipe.keras")
    assert (project / "pipe.keras").is_fifo()


def test_nothing_that_is_read_is_written_over(program: Program, project: Path) -> None:
    folder = project
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for arguments in (
        ("score", "model.keras", "--data", "d.npz", "-o", "d.npz"),
        ("strip", "model.keras", "-o", "model.keras"),
        ("prune", "model.keras", "--data", "d.npz", "--sparsity", 0.5, "-o", "./model.keras"),
    ):
        code, _, err = program(folder, *arguments)
        assert code == 2 and "is what this reads; name the result otherwise" in err
        assert err.count("\n") == 1
    # A plan is two files; of the second, its name is not said.
    shutil.copy(folder / "data.npz", folder / "other.npz")
    before[folder / "other.npz"] = before[folder / "data.npz"]
    asked = ("--model", "model.keras", "--data", "data.npz", "--sparsity", 0.5)
    code, _, err = program(folder, "score", "model.keras", "--method", "magnitude", "-o", "s.npz")
    assert code == 0, err
    search = ("plan", "s.npz", *asked[:4], "--max-drop", 0.1)
    prune = ("prune", "model.keras", *asked[2:], "-o", "x.keras", "--save-plan")
    for arguments, words in (
        (("plan", *asked, "-o", "data.json"), "replace data.npz, which this reads"),
        (("plan", *asked, "-o", "other.json"), "replace other.npz, which holds no masks of a plan"),
        (("plan", "s.npz", "--sparsity", 0.5, "-o", "s.json"), "replace s.npz, which this reads"),
        (("plan", "s.npz", "--sparsity", 0.5, "-o", "data.json"), "which holds no masks of a plan"),
        ((*search, "-o", "data.json"), "replace data.npz, which this reads"),
        ((*search, "-o", "other.json"), "which holds no masks of a plan"),
        ((*prune, "data.json"), "replace data.npz, which this reads"),
        ((*prune, "other.json"), "which holds no masks of a plan"),
    ):
        code, _, err = program(folder, *arguments)
        assert code == 2 and words in err and err.count("\n") == 1, err
    assert all(path.read_bytes() == content for path, content in before.items())
    assert not [*folder.glob("*.json")]
