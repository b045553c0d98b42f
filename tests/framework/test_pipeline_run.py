"""The road end to end, on a small net: what is made, what is kept, what is redone."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.errors import DataError, LockedError, PlanError, RecipeError, TrainingError
from edgeprune.models import load_model, values_digest
from edgeprune.pipeline import clean, dry_run, run, workspace_of
from edgeprune.pipeline.inputs import EVALUATING, Inputs
from edgeprune.pipeline.steps import Step
from edgeprune.pipeline.work import Work
from edgeprune.progress import SILENT
from edgeprune.recipes import Recipe
from edgeprune.results import Result

KINDS = {
    "check", "check-evaluate", "rehearse", "search", "round", "strip", "recover", "export",
    "try", "verify", "evaluate", "bench",
}  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name != "measurements.json"
    }


@pytest.fixture(scope="module")
def built(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(trained, folder)
    return folder, run(folder / "edgeprune.toml")


def test_releases_what_the_issue_names(built: tuple[Path, Result]) -> None:
    folder, result = built
    host = folder / "dist" / "host"
    assert {file.name for file in host.iterdir()} == {
        "model.tflite",
        "model.onnx",
        "manifest.json",
        "SHA256SUMS",
        "measurements.json",
    }
    assert result.exit_code == 0 and result.released == {"host": str(host)}
    sums = dict(
        reversed(line.split("  ")) for line in (host / "SHA256SUMS").read_text().split("\n") if line
    )
    assert sums == {n: d for n, d in digests(host).items() if n != "SHA256SUMS"}
    manifest = json.loads((host / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["sparsity"] == pytest.approx(0.6, abs=0.02)
    assert manifest["files"]["model.tflite"]["sha256"] == sums["model.tflite"]
    assert manifest["metric"]["files"].keys() == {"model.tflite", "model.onnx"}
    assert str(folder) not in json.dumps(manifest), "a manifest holds no absolute path"


def test_build_directory_ignores_itself_and_holds_the_reports(built: tuple[Path, Result]) -> None:
    folder, result = built
    build = folder / ".edgeprune"
    assert (build / ".gitignore").read_text().strip() == "*"
    assert "<svg" in (build / "report.html").read_text()
    assert "model.tflite" in (build / "report.md").read_text()
    again = Result.from_json(json.loads((build / "result.json").read_text()))
    assert again.rows == result.rows and again.gates == result.gates


def test_rows_are_before_and_after_by_artifact(built: tuple[Path, Result]) -> None:
    _, result = built
    seen = [(row.role, row.variant) for row in result.rows]
    assert seen == [
        ("before", "fp32"),
        ("before", "onnx-fp32"),
        ("after", "fp32-sparse"),
        ("after", "onnx-fp32"),
    ]
    for row in result.rows:
        assert row.metric is not None and row.median_ms is not None and row.p95_ms is not None
        assert row.size_bytes > 0 and row.gzip_bytes > 0 and row.macs > 0
    before, after = result.rows[0], result.rows[2]
    assert after.nonzero < before.nonzero and after.macs <= before.macs
    assert before.drop == pytest.approx(0.0)


def test_sparsity_counts_against_the_original(built: tuple[Path, Result]) -> None:
    folder, result = built
    original = keras.models.load_model(folder / "model.keras")
    elements = sum(
        int(np.prod(layer.kernel.shape)) for layer in original.layers if hasattr(layer, "kernel")
    )
    now = sum(layer.nonzero_after for layer in result.layers)
    assert result.sparsity == pytest.approx(1 - now / elements)
    assert sum(np.prod(layer.shape) for layer in result.layers) == elements


def test_second_run_redoes_nothing_and_gives_the_same(built: tuple[Path, Result]) -> None:
    folder, _ = built
    before = digests(folder / "dist" / "host")
    states = dry_run(folder / "edgeprune.toml")
    assert all(state.done for state in states), [s for s in states if not s.done]
    stages = {p: p.stat().st_mtime_ns for p in (folder / ".edgeprune" / "stages").rglob("key.json")}
    host = folder / "dist" / "host"
    files = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in host.iterdir()}
    run(folder / "edgeprune.toml")
    assert digests(host) == before
    # The manifest alone is new: make goes by its time.
    again = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in host.iterdir()}
    assert {file.name for file in files if files[file] != again[file]} == {"manifest.json"}
    date = json.loads((host / "measurements.json").read_text())["date"]
    measured = next((folder / ".edgeprune" / "stages" / "bench-host").glob("*/bench.json"))
    assert date == json.loads(measured.read_text())["date"]
    assert datetime.fromisoformat(date).utcoffset() == timedelta(0)
    assert measured.stat().st_mtime - datetime.fromisoformat(date).timestamp() < 60
    assert stages == {p: p.stat().st_mtime_ns for p in stages}


def test_same_inputs_give_the_same_bytes_elsewhere(
    built: tuple[Path, Result], project: Path
) -> None:
    run(project / "edgeprune.toml")
    assert digests(project / "dist" / "host") == digests(built[0] / "dist" / "host")


@pytest.mark.parametrize(
    ("change", "redone", "kept"),
    [
        (
            ("sparsity = 0.6", "sparsity = 0.5"),
            {"round-1", "strip", "evaluate"},
            {"check", "export-before-fp32"},
        ),
        (
            ('"fp32-sparse", "onnx-fp32"', '"fp32-sparse", "onnx-fp32", "fp32"'),
            {"export-after-fp32", "evaluate"},
            {"round-2", "strip", "export-after-fp32-sparse"},
        ),
        (
            ("max_metric_drop = 0.2", "max_metric_drop = 0.1"),
            set(),
            {"round-2", "evaluate", "bench-host"},
        ),
        (
            ("epochs = 2", "epochs = 2\nlast_epochs = 1"),
            {"recover", "export-after-onnx-fp32"},
            {"round-2", "strip"},
        ),
        (
            ("calibration_examples = 64", "calibration_examples = 70"),
            {"check", "round-1", "verify-after-fp32-sparse"},
            {"export-before-fp32"},
        ),
    ],
)
def test_a_changed_recipe_redoes_just_what_depends_on_it(
    built: tuple[Path, Result], change: tuple[str, str], redone: set[str], kept: set[str]
) -> None:
    folder, _ = built
    recipe = folder / "changed.toml"
    text = (folder / "edgeprune.toml").read_text()
    assert change[0] in text
    recipe.write_text(text.replace(*change))
    states = {state.stage: state for state in dry_run(recipe)}
    assert {name for name in redone if states[name].done} == set()
    assert {name for name in kept if not states[name].done} == set()
    assert all(states[name].why for name in redone)


def test_why_says_which_library_changed(
    built: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeprune.pipeline import steps

    true = steps.installed
    monkeypatch.setattr(
        steps, "installed", lambda name: "99.0" if name == "tf2onnx" else true(name)
    )
    states = {state.stage: state for state in dry_run(built[0] / "edgeprune.toml")}
    assert states["round-2"].done and states["export-after-fp32-sparse"].done
    why = states["export-after-onnx-fp32"].why
    assert why is not None and f"tf2onnx {true('tf2onnx')} → 99.0" in why


def test_a_resaved_model_is_the_same_model(built: tuple[Path, Result]) -> None:
    folder, _ = built
    model = keras.models.load_model(folder / "model.keras")
    model.save(folder / "model.keras")
    assert all(state.done for state in dry_run(folder / "edgeprune.toml"))


def test_a_changed_model_redoes_everything(project: Path) -> None:
    run(project / "edgeprune.toml", sets=["prune.rounds=1", "finetune.epochs=1"])
    model = keras.models.load_model(project / "model.keras")
    kernel = model.get_layer("first").kernel
    kernel.assign(np.asarray(kernel) * 1.01)
    model.save(project / "model.keras")
    states = dry_run(project / "edgeprune.toml", sets=["prune.rounds=1", "finetune.epochs=1"])
    assert not any(state.done for state in states)
    assert "model changed" in (states[0].why or "")


def test_broken_gate_holds_back_that_target_only(project: Path) -> None:
    recipe = project / "edgeprune.toml"
    text = (
        recipe.read_text()
        + '\n[[targets]]\nname = "raspberry-pi-4"\n[targets.gates]\nmax_bytes = 10\n'
    )
    recipe.write_text(text.replace("rounds = 2", "rounds = 1"))
    result = run(recipe)
    assert result.exit_code == 3
    assert set(result.released) == {"host"} and set(result.held) == {"raspberry-pi-4"}
    assert (project / "dist" / "host" / "model.tflite").exists()
    assert not (project / "dist" / "raspberry-pi-4").exists()
    assert (project / ".edgeprune" / "held" / "raspberry-pi-4" / "model.tflite").exists()
    broken = {(v.gate, v.target, v.file) for v in result.broken}
    assert broken == {
        ("max_bytes", "raspberry-pi-4", "model.tflite"),
        ("max_bytes", "raspberry-pi-4", "model.onnx"),
    }
    pi = [row for row in result.rows if row.target == "raspberry-pi-4"]
    assert all(row.median_ms is None and "not measured" in row.note for row in pi)


@pytest.mark.parametrize(("unmeasured", "code"), [("break", 3), ("allow", 0)])
def test_a_gate_that_cannot_be_evaluated_is_broken_unless_allowed(
    project: Path, unmeasured: str, code: int
) -> None:
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace('name = "host"', 'name = "raspberry-pi-4"')
    text = text.replace("rounds = 2", "rounds = 1").replace(
        "min_sparsity = 0.5", f'max_latency_ms = 5.0\nunmeasured = "{unmeasured}"'
    )
    recipe.write_text(text)
    result = run(recipe)
    assert result.exit_code == code
    verdict = next(v for v in result.gates if v.gate == "max_latency_ms")
    assert verdict.value is None and verdict.broken == (code == 3)
    assert "not measured" in verdict.note


def test_quick_runs_everything_and_releases_nothing(project: Path) -> None:
    result = run(project / "edgeprune.toml", quick=True)
    assert result.quick and not result.released
    assert not (project / "dist").exists()
    assert (project / ".edgeprune" / "quick" / "result.json").exists()
    assert not (project / ".edgeprune" / "stages").exists()
    estimates = {s.stage: s.estimate_s for s in dry_run(project / "edgeprune.toml")}
    assert estimates["round-1"] is not None and estimates["round-1"] > 0


def test_rehearsal_chooses_on_the_validation_split(project: Path) -> None:
    result = run(
        project / "edgeprune.toml",
        sets=['prune.score=["magnitude", "taylor"]', "prune.rounds=1", "prune.rehearsal_epochs=1"],
    )
    metrics = result.facts["rehearsal"]
    assert set(metrics) == {"magnitude", "taylor"}
    assert metrics[result.method] == max(metrics.values())


BUDGET = ["prune.max_drop=0.05", "prune.schedule='linear'", "gates.min_sparsity=0"]


def test_budget_spent_goes_back_a_round(project: Path) -> None:
    sets = ["prune.sparsity=0.996", "prune.rounds=3", "finetune.epochs=1"]
    result = run(project / "edgeprune.toml", sets=[*BUDGET, *sets])
    # A third and two thirds of this net can go; with next to all of it gone nothing is known.
    assert [bool(round.note) for round in result.rounds] == [False, False, True]
    assert result.sparsity == pytest.approx(result.rounds[1].sparsity, abs=0.02)
    assert "nothing was pruned" not in " ".join(result.notes)


def test_budget_spent_at_once_is_an_error_that_says_by_how_much(project: Path) -> None:
    sets = ["prune.sparsity=0.996", "prune.rounds=2", "prune.schedule='constant'"]
    said = r"the first round lost 0\.\d+ of accuracy .* max_drop allows 0\.05: nothing is pruned"
    for _ in range(2):  # and so does the next run, that finds the rounds done
        with pytest.raises(PlanError, match=said):
            run(project / "edgeprune.toml", sets=[*BUDGET, *sets])
    assert not (project / "dist").exists()
    states = dry_run(project / "edgeprune.toml", sets=[*BUDGET, *sets])
    assert {state.stage: state.done for state in states}.items() >= {
        ("round-1", True),
        ("round-2", True),
        ("strip", False),
    }
    # A quick run tries every stage; what its one epoch loses says nothing.
    assert run(project / "edgeprune.toml", sets=[*BUDGET, *sets], quick=True).sparsity > 0.9


def spoil(file: Path) -> None:
    """Other inputs and other labels to evaluate on, of the same shapes."""
    with np.load(file) as opened:
        arrays = dict(opened)
    arrays["x_test"] = (-3 * arrays["x_test"][::-1] + 7).astype(np.float32)
    arrays["y_test"] = np.zeros_like(arrays["y_test"])
    np.savez(file, **arrays)


def left_by_stages(project: Path) -> dict[str, str]:
    """Digests of whatever the stages left but for those that judge in the end: of a model its
    values', as Keras writes the time into the file."""
    found = {}
    for file in sorted((project / ".edgeprune" / "stages").rglob("*")):
        stage = file.relative_to(project / ".edgeprune" / "stages").parts[0]
        if not file.is_file() or file.name == "key.json" or stage.startswith(("evaluate", "bench")):
            continue
        kept = file.suffix == ".keras"
        digest = values_digest(load_model(file)) if kept else sha256(file.read_bytes()).hexdigest()
        assert f"{stage}/{file.name}" not in found, "a stage was carried out twice"
        found[f"{stage}/{file.name}"] = digest
    return found


@pytest.mark.parametrize(
    ("prune", "sets"),
    [
        pytest.param(
            'sparsity = 0.6\nscore = ["magnitude", "taylor", "fisher"]\nrehearsal_epochs = 1',
            ['recover=["reconstruct", "batchnorm", "distill"]', "finetune.last_epochs=1"],
            id="rehearsed",
        ),
        pytest.param(
            'search = "sparsity"\nmax_drop = 0.2\nscore = "taylor"',
            ['recover=["finetune"]', "prune.rounds=1", 'export.formats=["fp32"]'],
            id="searched",
        ),
    ],
)
def test_evaluation_data_decides_nothing(
    project: Path, tmp_path: Path, prune: str, sets: list[str]
) -> None:
    """Whatever the images and labels are that judge in the end, every stage before leaves the same
    plans, weights and files; and other ones redo nothing of that."""
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace('score = "taylor"\nsparsity = 0.6', prune)
    text = text.replace('evaluate = { path = "data.npz"', 'evaluate = { path = "test.npz"')
    recipe.write_text(text)
    with np.load(project / "data.npz") as file:
        np.savez(project / "test.npz", **{n: v for n, v in file.items() if n.endswith("_test")})
    other = tmp_path / "other"
    shutil.copytree(project, other)
    spoil(other / "test.npz")
    sets = ["finetune.epochs=1", "gates.max_metric_drop=1", *sets]
    first, second = (run(folder / "edgeprune.toml", sets=sets) for folder in (project, other))
    assert second.plan == first.plan
    assert [r.metric for r in second.rows] != [r.metric for r in first.rows]
    mine = left_by_stages(project)
    assert mine == left_by_stages(other)
    assert {"check/check.json", "round-1/plan.json", "recover/model.keras"} <= set(mine)
    assert sum(name.endswith((".tflite", ".onnx")) for name in mine) >= 2
    spoil(project / "test.npz")
    states = dry_run(recipe, sets=sets)
    assert {s.stage for s in states if not s.done} == {"check-evaluate", "evaluate"}


@pytest.mark.parametrize("kind", sorted(KINDS - EVALUATING))
def test_no_stage_but_those_that_evaluate_can_open_the_evaluation_data(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    recipe = Recipe.load(project / "edgeprune.toml")
    workspace = workspace_of(recipe.path)
    inputs = Inputs(recipe, workspace)
    work = Work(recipe, inputs, {}, {}, SILENT)
    step = Step(kind, workspace.stage(kind, {}), kind, {}, 1)
    peeks = [lambda: inputs.roles.evaluate(), lambda: inputs.opened("evaluate")]
    for peek in peeks:
        monkeypatch.setattr(Work, f"_{kind}", lambda *_, peek=peek: peek())
        with pytest.raises(RuntimeError, match=f"the evaluation data is asked for by {kind};"):
            work.do(step, tmp_path)
    with pytest.raises(RuntimeError, match="asked for by no stage"):
        inputs.roles.evaluate()
    with inputs.read_by("evaluate"):
        assert inputs.roles.evaluate().examples == 200


def test_one_run_at_a_time(project: Path) -> None:
    with (
        workspace_of(project / "edgeprune.toml").lock(),
        pytest.raises(LockedError, match="process"),
    ):
        run(project / "edgeprune.toml")


def test_clean_removes_stages_and_keeps_the_release(project: Path) -> None:
    run(project / "edgeprune.toml", sets=["prune.rounds=1"])
    assert clean(project / "edgeprune.toml") > 0
    assert not list((project / ".edgeprune").glob("stages/*"))
    assert (project / "dist" / "host" / "model.tflite").exists()


def test_unknown_target_is_named(project: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'host'"):
        run(project / "edgeprune.toml", targets=["hots"])


def test_chance_level_is_said_at_once(project: Path) -> None:
    with np.load(project / "data.npz") as file:
        arrays = dict(file)
    arrays["y_train"] = np.roll(arrays["y_train"], 1)
    np.savez(project / "data.npz", **arrays)
    lines: list[str] = []

    class Told:
        @contextmanager
        def task(self, name: str, total: int | None) -> Iterator[Any]:
            lines.append(f"stage {name}")
            yield self

        def say(self, line: str) -> None:
            lines.append(line)

        def advance(self, steps: int = 1, note: str = "") -> None:
            pass

    result = run(
        project / "edgeprune.toml",
        sets=["gates.max_metric_drop=1", "prune.rounds=1"],
        progress=Told(),
    )
    assert any("no better than chance" in note for note in result.notes)
    said = [number for number, line in enumerate(lines) if "no better than chance" in line]
    assert said and said[0] < lines.index("stage round-1")


def test_a_loss_that_is_nan_ends_the_run(project: Path) -> None:
    with pytest.raises(TrainingError):
        run(project / "edgeprune.toml", sets=["finetune.learning_rate=1e30"])
    assert not (project / "dist").exists()


def test_nan_in_the_data_is_named(project: Path) -> None:
    with np.load(project / "data.npz") as file:
        arrays = dict(file)
    arrays["x_train"][7, 3] = np.nan
    np.savez(project / "data.npz", **arrays)
    with pytest.raises(DataError, match="x_train"):
        run(project / "edgeprune.toml")


def test_python_api_runs_a_recipe(project: Path) -> None:
    result = edgeprune.run(project / "edgeprune.toml")
    assert isinstance(result, edgeprune.Result) and result.exit_code == 0
