"""Channels that leave at the price of other outputs: by the API, the command line and a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cli_process import Program

import edgeprune
from edgeprune import reporting
from edgeprune.errors import PlanError
from edgeprune.models import named_weights
from edgeprune.pipeline import dry_run, run
from edgeprune.pipeline.goals import Goal
from edgeprune.progress import SILENT
from edgeprune.recipes import Recipe
from edgeprune.results import Result

L = keras.layers
REASON = "norm_1 takes means over channels"
RECIPE = """\
schema = 1
model = "model.keras"

[data]
train = { path = "data.npz", x = "x", y = "y", examples = 640 }
evaluate = { path = "data.npz", x = "x_test", y = "y_test" }
calibration_examples = 64

[task]
loss = "sparse_categorical_crossentropy"
metric = "accuracy"

[prune]
channels = 0.5
scope = "layer"
inexact = true
multiple = 1

[finetune]
epochs = 1
learning_rate = 0.003
batch = 64

[export]
formats = ["fp32"]

[gates]
unmeasured = "allow"
"""


def _examples(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of four quarters the position points to whose first entry is the largest."""
    x = np.random.default_rng(seed).normal(size=(count, 5, 6)).astype(np.float32)
    lead = x[np.arange(count), x[:, :, 0].argmax(axis=1)]
    return x, (2 * (lead[:, 1] > 0) + (lead[:, 2] > 0)).astype(np.int32)


def _transformer() -> Any:
    i = keras.Input((5, 6), name="i")
    x = L.Dense(24, name="embed")(i)
    a = L.MultiHeadAttention(2, 8, name="attend")(x, x)
    x = L.LayerNormalization(name="norm_1")(L.Add()([x, a]))
    h = L.Dense(24, name="narrow")(L.Dense(32, activation="relu", name="wide")(x))
    x = L.LayerNormalization(name="norm_2")(L.Add()([x, h]))
    x = L.GlobalMaxPooling1D()(x)
    return keras.Model(i, L.Dense(4, activation="softmax", name="class")(x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained transformer, its data and a recipe."""
    folder = tmp_path_factory.mktemp("inexact")
    (x, y), (x_test, y_test) = _examples(1, 2000), _examples(2, 500)
    keras.utils.set_random_seed(0)
    model = _transformer()
    rate = keras.optimizers.schedules.CosineDecay(0.01, 8 * 32)
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x, y, epochs=8, batch_size=64, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "data.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    np.savez(folder / "few.npz", x=x[:200], y=y[:200])
    (folder / "edgeprune.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return edgeprune.load(folder / "model.keras")


def _data(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "data.npz") as file:
        return dict(file)


def _accuracy(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    return float((np.asarray(model(x)).argmax(axis=-1) == y).mean())


class _Said(type(SILENT)):  # type: ignore[misc]
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_prune_regains_what_an_inexact_cut_costs(folder: Path, model: Any) -> None:
    data, said = _data(folder), _Said()
    before = [np.array(value) for value in model.get_weights()]
    small, plan = edgeprune.prune(
        model,
        (data["x"], data["y"]),
        channels=0.5,
        scope="layer",
        inexact=True,
        method="magnitude",
        epochs=5,
        learning_rate=0.005,
        batch=64,
        progress=said,
    )
    assert small.get_layer("embed").units == 12
    assert small.get_layer("norm_1").gamma.shape == (12,)
    assert plan.why["inexact"] == {"embed": REASON}
    assert f"embed: inexact, the outputs change: {REASON}" in said.lines
    assert "after the inexact cut" in said.lines[-1] and "after 5 epochs" in said.lines[-1]
    tests = data["x_test"], data["y_test"]
    was, now = _accuracy(model, *tests), _accuracy(small, *tests)
    bare = _accuracy(edgeprune.cut(model, plan), *tests)
    assert was > 0.85 and bare < was - 0.2, "without recovery the cut has to cost something"
    assert now > was - 0.03
    for old, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, value)


def test_zeros_stay_while_the_rounds_train(folder: Path, model: Any) -> None:
    """Behind a mean over channels the biases of what is to leave have a gradient: they are held."""
    from edgeprune.feeding import as_dataset
    from edgeprune.models import make_task
    from edgeprune.pipeline.recovering import Settings
    from edgeprune.pipeline.rounds import Material, Rounds

    data = _data(folder)
    few = as_dataset((data["x"][:256], data["y"][:256]), model)
    task = make_task(None, None, None, None, model=model, base=None)
    goal = Goal(channels=0.5, scope="layer", inexact=True)
    loop = Rounds(model, "magnitude", goal, Settings(epochs=1), Material(few, few, few, task))
    turn = loop.turn(1, model, None)
    (drop,) = [cut.drop for cut in turn.plan.cuts if cut.group == "embed"]
    weights = {name: np.asarray(value) for name, value in named_weights(turn.model).items()}
    assert drop.size == 12
    for name in ("embed/bias", "narrow/bias", "norm_1/gamma", "norm_1/beta", "norm_2/beta"):
        assert not weights[name][drop].any(), name
        assert np.delete(weights[name], drop).any(), name


def test_inexact_without_channels_or_recovery_is_refused(folder: Path, model: Any) -> None:
    data = _data(folder)
    pair = data["x"], data["y"]
    with pytest.raises(PlanError, match=r"has inexact, .* and no channels"):
        edgeprune.prune(model, pair, sparsity=0.5, inexact=True)
    with pytest.raises(PlanError, match="only fine-tuning sets that right: put 'finetune'"):
        edgeprune.prune(model, pair, channels=0.5, inexact=True, recover=("batchnorm",))


# -- a recipe ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(folder: Path) -> Result:
    return run(folder / "edgeprune.toml")


def test_a_run_says_what_was_cut_inexactly_and_what_recovery_made_of_it(
    folder: Path, built: Result
) -> None:
    assert built.facts["inexact"] == {"embed": REASON}
    notes = "\n".join(built.notes)
    assert f"embed: inexact, {REASON}" in notes
    assert "after 1 epoch of fine-tuning more (finetune.epochs, as finetune.last_ep" in notes
    for page in (reporting.html(built), reporting.markdown(built)):
        assert "embed: inexact" in page and "after the inexact cut" in page
    manifest = json.loads((folder / "dist" / "host" / "manifest.json").read_text())
    assert manifest["inexact"] == {"embed": REASON}
    before, after = (next(row for row in built.rows if row.role == r) for r in ("before", "after"))
    assert after.macs < 0.6 * before.macs


def test_the_flag_redoes_what_it_decides(folder: Path, built: Result) -> None:
    recipe = folder / "edgeprune.toml"
    assert all(state.done for state in dry_run(recipe))
    states = {state.stage: state.done for state in dry_run(recipe, sets=["prune.inexact=false"])}
    assert states["check"] and states["export-before-fp32"]
    assert not states["round-1"] and not states["strip"] and not states["recover"]
    states = {state.stage: state.done for state in dry_run(recipe, sets=["finetune.last_epochs=1"])}
    assert states["strip"] and not states["recover"]


def test_a_recipe_foresees_what_keeps_its_size(folder: Path) -> None:
    """Without the flag the width keeps its size, and asking for nothing else is refused."""
    text = RECIPE.replace("inexact = true", 'exclude = ["attend*", "wide"]')
    with pytest.raises(PlanError, match="no group of this model is free to lose channels"):
        run(Recipe.parse(_parsed(text), base=folder))


def _parsed(text: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(text)


# -- the command line -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def test_the_command_line_marks_plans_and_refuses(program: Program, folder: Path) -> None:
    inspect = ("inspect", "model.keras", "--groups")
    exact, inexact = program.facts(folder, *inspect), program.facts(folder, *inspect, "--inexact")
    assert {g["name"]: g["fixed"] for g in exact["groups"]}["embed"] == REASON
    marks = {g["name"]: (g["fixed"], g["inexact"]) for g in inexact["groups"]}
    assert marks["embed"] == (None, REASON) and marks["wide"] == (None, None)
    assert inexact["free_groups"] == exact["free_groups"] + 1
    _, out, _ = program(folder, *inspect, "--inexact")
    assert "inexact" in out and "norm_1" in out

    program.facts(folder, "score", "model.keras", "--method", "magnitude", "-o", "s.npz")
    plan = ("plan", "s.npz", "--model", "model.keras", "--channels", 0.5, "--scope", "layer")
    facts = program.facts(folder, *plan, "-o", "exact.json")
    assert "embed" not in facts["channels"] and "inexact" not in facts["why"]
    facts = program.facts(folder, *plan, "--inexact", "-o", "p.json")
    assert facts["channels"]["embed"] == 12 and facts["why"]["inexact"] == {"embed": REASON}
    code, out, _ = program(folder, *plan, "--inexact", "-o", "p.json")
    assert code == 0 and f"embed: inexact, the outputs change: {REASON}" in out

    for verb in ("zero", "strip"):
        code, out, err = program(folder, verb, "model.keras", "--plan", "p.json", "-o", "x.keras")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert f"cuts group 'embed', which zeros do not silence: {REASON}" in err
        assert "'edgeprune prune MODEL --data FILE --channels X --inexact -o FILE'" in err
    assert not (folder / "x.keras").exists()
    code, out, _ = program(folder, "inspect", "model.keras", "--plan", "p.json")
    assert code == 0 and f"embed: inexact, the outputs change: {REASON}" in out

    for arguments, said in (
        (("plan", "s.npz", "--sparsity", 0.5, "--inexact", "-o", "x.json"), "add --channels"),
        (("inspect", "dist.tflite", "--inexact"), "no such file"),
    ):
        code, _, err = program(folder, *arguments)
        assert code == 2 and said in err


def test_prune_by_the_command_line(program: Program, folder: Path) -> None:
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "few.npz", "--channels", 0.5, "--inexact",
        "--method", "magnitude", "--scope", "layer", "--epochs", 1, "--save-plan", "kept.json",
        "-o", "small.keras",
    )  # fmt: skip
    assert facts["plan"]["why"]["inexact"] == {"embed": REASON}
    assert edgeprune.Plan.load(folder / "kept.json").why["inexact"] == {"embed": REASON}
    assert edgeprune.load(folder / "small.keras").get_layer("embed").units == 12
    code, _, err = program(
        folder, "prune", "model.keras", "--data", "few.npz", "--channels", 0.5, "--inexact",
        "--recover", "batchnorm", "-o", "x.keras",
    )  # fmt: skip
    assert code == 2 and "only fine-tuning sets that right" in err
