"""What is in the key of a stage: a change that can change what is made is never missed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import keras
import pytest

from edgeprune.errors import DataError, ModelError, PlanError
from edgeprune.models import load_model, settings_digest, values_digest
from edgeprune.pipeline import dry_run, run, workspace_of
from edgeprune.pipeline.inputs import Inputs
from edgeprune.pipeline.steps import Table, deciding
from edgeprune.progress import SILENT
from edgeprune.recipes import Recipe
from edgeprune.targets import Target

FUNCTIONS = """
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SEEN = []


def net():
    import keras

    model = keras.models.load_model(HERE / "model.keras")
    if (HERE / "factor.json").exists():
        kernel = model.get_layer("first").kernel
        kernel.assign(kernel * json.loads((HERE / "factor.json").read_text()))
    return model


def restless_net():
    model = net()
    kernel = model.get_layer("first").kernel
    SEEN.append(1)
    kernel.assign(kernel * (1 + len(SEEN) / 100))
    return model


def train():
    with np.load(HERE / "data.npz") as file:
        x, y = file["x_train"], file["y_train"]
    if (HERE / "shift.json").exists():
        x = x + np.float32(json.loads((HERE / "shift.json").read_text()))
    return x, y


def restless():
    x, y = train()
    SEEN.append(1)
    return x + np.float32(len(SEEN)), y


def test():
    with np.load(HERE / "data.npz") as file:
        x, y = file["x_test"], file["y_test"]
    if (HERE / "shift.json").exists():
        x = x + np.float32(json.loads((HERE / "shift.json").read_text()))
    return x, y
"""
SHORT = ["prune.rounds=1", "finetune.epochs=1", 'export.formats=["fp32"]']


def keys(recipe: Path, *sets: str) -> dict[str, dict]:
    """The whole key of every stage."""
    read = Recipe.load(recipe, sets)
    workspace = workspace_of(recipe)
    table = Table(read, Inputs(read, workspace), workspace, (Target.load("host"),))
    return {step.name: dict(step.stage.key) for step in table.steps()}


def changed(before: dict[str, dict], after: dict[str, dict]) -> set[str]:
    return {name for name in after if before[name] != after[name]}


def saved(model: keras.Model, file: Path) -> None:
    model.save(file)
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))


def with_functions(folder: Path, **functions: str) -> Path:
    (folder / "given.py").write_text(FUNCTIONS)
    recipe = folder / "edgeprune.toml"
    text = recipe.read_text()
    old = {
        "model": '"model.keras"',
        "train": '{ path = "data.npz", x = "x_train", y = "y_train" }',
        "evaluate": '{ path = "data.npz", x = "x_test", y = "y_test" }',
    }
    for role, name in functions.items():
        assert old[role] in text
        text = text.replace(old[role], f'"given:{name}"')
    recipe.write_text(text)
    return recipe


# -- the model's settings ---------------------------------------------------------------------


def test_the_compile_state_counts_where_the_recipe_leaves_it_to_that(project: Path) -> None:
    recipe, file = project / "edgeprune.toml", project / "model.keras"
    text = recipe.read_text()
    for line in ('loss = "sparse_categorical_crossentropy"\n', 'metric = "accuracy"\n'):
        assert line in text
        text = text.replace(line, "")
    recipe.write_text(text)
    model = keras.models.load_model(file)
    model.compile("adam", "mse", metrics=["mae"])
    saved(model, file)
    before = keys(recipe)
    model.compile("adam", "mae", metrics=["mse"])
    saved(model, file)
    after = keys(recipe)
    assert changed(before, after) == set(after)
    assert (before["round-1"]["task"]["loss"], after["round-1"]["task"]["loss"]) == ("mse", "mae")
    assert after["evaluate"]["task"]["metric"] == "mse"


@pytest.mark.parametrize("change", ["frozen", "l2", "constraint", "policy"])
def test_how_the_model_trains_counts(project: Path, change: str) -> None:
    file = project / "model.keras"
    before = keys(project / "edgeprune.toml")
    model = keras.models.load_model(file)
    digest = values_digest(model)
    if change == "frozen":
        model.get_layer("second").trainable = False
    else:
        settings = {
            "l2": {"kernel_regularizer": keras.regularizers.L2(0.01)},
            "constraint": {"kernel_constraint": keras.constraints.MaxNorm(1.0)},
            "policy": {"dtype": "mixed_float16"},
        }[change]

        def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
            config = layer.get_config()
            if layer.name == "second":
                config |= settings
            return type(layer).from_config(config)

        new = keras.models.clone_model(model, clone_function=copied)
        new.set_weights(model.get_weights())
        new.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model = new
    saved(model, file)
    assert values_digest(load_model(file)) == digest, "the same weights"
    after = keys(project / "edgeprune.toml")
    assert changed(before, after) == set(after)


def test_settings_are_the_same_after_save_and_load_and_tell_of_no_process(tmp_path: Path) -> None:
    layers = keras.layers

    def made() -> keras.Model:
        keras.backend.clear_session()
        entry = layers.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, kernel_regularizer="l2")(entry)
        x = layers.RandomFlip()(layers.BatchNormalization()(x))
        x = layers.Lambda(lambda t: t * 2.0)(layers.Dropout(0.2)(x))
        model = keras.Model(entry, layers.Dense(3)(layers.Flatten()(x)))
        model.compile(
            keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)),
            keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy", keras.metrics.AUC(from_logits=True)],
        )
        model.layers[1].trainable = False
        return model

    first = settings_digest(made())
    assert settings_digest(made()) == first
    made().save(tmp_path / "m.keras")
    for _ in range(2):
        other = keras.Sequential([layers.Input((4,)), layers.Dense(2)])  # takes automatic names
        other.compile("sgd", "mse", metrics=[keras.metrics.AUC()])
        model = load_model(tmp_path / "m.keras", trust=True)
        assert settings_digest(model) == first
        model.save(tmp_path / "m.keras")
    model.layers[1].trainable = True
    assert settings_digest(model) != first


# -- functions --------------------------------------------------------------------------------


def test_a_function_that_gives_another_model_makes_the_keys_anew(project: Path) -> None:
    recipe = with_functions(project, model="net")
    run(recipe, sets=SHORT)
    first = json.loads((project / "dist" / "host" / "manifest.json").read_text())
    (project / "factor.json").write_text("1.5")
    # No file that the recipe names has changed: it is noticed when the function is called.
    assert all(state.done for state in dry_run(recipe, sets=SHORT))
    more = [*SHORT, "prune.sparsity=0.55"]
    run(recipe, sets=more)
    second = json.loads((project / "dist" / "host" / "manifest.json").read_text())
    assert second["model"] != first["model"]
    states = dry_run(recipe, sets=more)
    assert all(state.done for state in states), "and every stage is of the new model"
    assert not {s.stage: s.done for s in dry_run(recipe, sets=SHORT)}["round-1"]


@pytest.mark.parametrize(
    ("functions", "error", "words"),
    [
        ({"train": "restless"}, DataError, "given:restless: gives other examples at each call"),
        ({"model": "restless_net"}, ModelError, "given:restless_net: gives another model at each"),
    ],
)
def test_a_function_that_never_gives_the_same_is_the_users_fault(
    project: Path, functions: dict[str, str], error: type[Exception], words: str
) -> None:
    recipe = with_functions(project, **functions)
    with pytest.raises(error, match=words) as caught:
        for sparsity in (0.6, 0.5):  # a model is called once a run, so the second run sees it
            run(recipe, sets=[*SHORT, f"prune.sparsity={sparsity}"])
    assert "seed" in str(caught.value)


def test_two_functions_may_change_at_once(project: Path) -> None:
    recipe = with_functions(project, train="train", evaluate="test")
    run(recipe, sets=SHORT)
    (project / "shift.json").write_text("0.125")
    more = [*SHORT, "prune.sparsity=0.55", "gates.max_metric_drop=1"]
    assert run(recipe, sets=more).exit_code == 0
    assert all(state.done for state in dry_run(recipe, sets=more))


# -- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["absolute", "elsewhere", "inside"])
def test_an_image_moved_to_another_class_counts_wherever_the_folder_lies(
    trained: Path, tmp_path: Path, form: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(trained, home)
    images = (home if form == "inside" else tmp_path) / "images"
    for name in ("cats", "dogs"):
        (images / name).mkdir(parents=True)
        for number in range(2):
            (images / name / f"{name}{number}.png").write_bytes(f"{name}{number}".encode())
    path = {"absolute": images, "elsewhere": "../images", "inside": "images"}[form]
    sets = [f'data.train={{path="{path}", scale=1.0}}']
    before = keys(home / "edgeprune.toml", *sets)
    (images / "cats" / "cats1.png").rename(images / "dogs" / "cats1.png")
    after = keys(home / "edgeprune.toml", *sets)
    assert {"check", "round-1", "verify-after-fp32-sparse"} <= changed(before, after)


def test_where_a_folder_lies_does_not_count(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "home")
    found = []
    for place in ("one", "other"):
        (tmp_path / place / "cats").mkdir(parents=True)
        (tmp_path / place / "cats" / "a.png").write_bytes(b"a")
        sets = [f'data.train={{path="{tmp_path / place}", scale=1.0}}']
        found.append(keys(tmp_path / "home" / "edgeprune.toml", *sets))
    assert changed(*found) == set()


def test_a_glob_outside_tells_which_file_is_which(project: Path) -> None:
    recipe = with_functions(project, train="train")
    outside = project.parent / "outside"
    for name, content in (("a", "1"), ("b", "2")):
        (outside / name).mkdir(parents=True)
        (outside / name / "part.json").write_text(content)
    sets = [f'data.train={{path="given:train", depends=["{outside}/*/part.json"]}}']
    before = keys(recipe, *sets)
    (outside / "a" / "part.json").write_text("2")
    (outside / "b" / "part.json").write_text("1")
    assert "round-1" in changed(before, keys(recipe, *sets))


# -- versions ---------------------------------------------------------------------------------


def test_versions_of_all_that_decides(project: Path, tmp_path: Path) -> None:
    found = {name: set(key["versions"]) for name, key in keys(project / "edgeprune.toml").items()}
    assert all({"edgeprune", "python"} <= names for names in found.values())
    assert {"flatbuffers", "ai-edge-litert", "numpy", "zlib"} <= found["export-after-fp32-sparse"]
    assert {"onnx", "onnxruntime", "numpy", "zlib"} <= found["verify-after-onnx-fp32"]
    assert {"h5py", "numpy"} <= found["round-1"] & found["check"]
    assert "numpy" in found["evaluate"] & found["bench-host"]
    assert not any("pillow" in names for names in found.values())

    (tmp_path / "images" / "cats").mkdir(parents=True)
    sets = [f'data.evaluate={{path="{tmp_path / "images"}", scale=1.0}}']
    found = {
        name: set(key["versions"]) for name, key in keys(project / "edgeprune.toml", *sets).items()
    }
    readers = {name for name, names in found.items() if "pillow" in names}
    assert readers == {"check-evaluate", "evaluate"}
    recipe = Recipe.load(project / "edgeprune.toml", sets)
    manifest = deciding(Inputs(recipe, workspace_of(recipe.path)), recipe.export.formats)
    assert set.union(*found.values()) == set(manifest), "the manifest names the same"


# -- a dry run --------------------------------------------------------------------------------


def test_a_dry_run_writes_nothing(project: Path) -> None:
    recipe = with_functions(project, train="train")
    states = dry_run(recipe)
    assert not (project / ".edgeprune").exists()
    assert {state.estimate_s for state in states} == {None}, "unknown is no nought"

    workspace = workspace_of(recipe)
    with workspace.lock():  # as while a run goes on, which alone may write
        before = {file: file.read_bytes() for file in workspace.root.rglob("*") if file.is_file()}
        dry_run(recipe)
        after = {file: file.read_bytes() for file in workspace.root.rglob("*") if file.is_file()}
    assert before == after


def test_a_dry_run_sees_what_a_function_returns_now(project: Path) -> None:
    recipe = with_functions(project, train="train", model="net")
    run(recipe, sets=SHORT)
    (project / "shift.json").write_text("0.125")
    (project / "factor.json").write_text("1.5")
    # The timings ask for the number of examples of data under other settings: it is called.
    sets = [*SHORT, "data.train.examples=300"]
    assert "data" in str(next(s.why for s in dry_run(recipe, sets=sets) if s.stage == "round-1"))


# -- what a device asks of widths --------------------------------------------------------------


def test_the_targets_multiple_decides_where_the_recipe_leaves_it_open(project: Path) -> None:
    """Of all targets, also where a run releases for one of them; a benchmark is not redone."""
    recipe = project / "edgeprune.toml"
    recipe.write_text(
        recipe.read_text().replace("sparsity = 0.6", "channels = 0.4").replace("min_sp", "# min_sp")
        + '\n[[targets]]\nname = "board"\n'
    )
    (project / "targets").mkdir()
    profile = project / "targets" / "kind.toml"
    (project / "targets" / "board.toml").write_text('extends = "kind"\n')
    said: list[str] = []

    class Said(type(SILENT)):
        def say(self, line: str) -> None:
            said.append(line)

    def states(multiple: int, *sets: str) -> dict[str, bool]:
        profile.write_text(f'description = "d"\narch = "riscv64"\nchannel_multiple = {multiple}\n')
        sets = (*SHORT, "gates.unmeasured='allow'", *sets)
        return {state.stage: state.done for state in dry_run(recipe, targets=["host"], sets=sets)}

    assert not any(states(8).values())
    depfile = project / "made.d"
    sets = (*SHORT, "gates.unmeasured='allow'")
    run(recipe, targets=["host"], sets=sets, depfile=depfile, progress=Said())
    assert [line for line in said if "multiples of 16" in line and "host, board" in line]
    prerequisites = depfile.read_text()
    assert str(profile) in prerequisites, "what a profile extends decides as well"
    assert str(profile.with_name("board.toml")) in prerequisites
    plan = json.loads(next((project / ".edgeprune/stages/round-1").glob("*/plan.json")).read_text())
    assert plan["why"]["widths"] == {"first": {"kept": 16, "size": 32}}
    # The same common multiple, or the same said in the recipe: nothing is to be done.
    assert all(states(4).values()) and all(states(8, "prune.multiple=16").values())
    # Another one redoes what is pruned, and not the original's files.
    other = states(8, "prune.multiple=4")
    assert not other["round-1"] and other["export-before-fp32"] and other["check"]
    with pytest.raises(PlanError, match=r"nothing of this model would go.*multiple = 48"):
        states(3)
    for set_ in ("prune.minimum=4", "prune.most=0.5"):
        assert not states(8, set_)["round-1"], set_
