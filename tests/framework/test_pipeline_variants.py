"""A recipe with several precisions: one run, each judged through its own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeprune.errors import ExportError
from edgeprune.pipeline import run, workspace_of
from edgeprune.pipeline.inputs import Inputs
from edgeprune.pipeline.steps import Table
from edgeprune.recipes import Recipe
from edgeprune.targets import Target

SHORT = ["prune.rounds=1", "finetune.epochs=1", 'prune.score="magnitude"']


def keys(recipe: Path, *sets: str) -> dict[str, dict]:
    read = Recipe.load(recipe, [*SHORT, *sets])
    workspace = workspace_of(recipe)
    table = Table(read, Inputs(read, workspace), workspace, (Target.load("host"),))
    return {step.name: dict(step.stage.key) for step in table.steps()}


def test_one_run_gives_every_precision_and_its_own_metric(project: Path) -> None:
    sets = [*SHORT, 'export.formats=["int8", "fp16-sparse"]', "export.tolerances={int8 = 0.2}"]
    result = run(project / "edgeprune.toml", sets=sets)
    manifest = json.loads((project / "dist" / "host" / "manifest.json").read_text())
    files = {name: facts["variant"] for name, facts in manifest["files"].items()}
    assert files == {"model.tflite": "int8", "model-fp16-sparse.tflite": "fp16-sparse"}
    checked = manifest["verification"]["model.tflite"]
    assert (checked["variant"], checked["measure"], checked["tolerance"]) == ("int8", "rms", 0.2)
    assert manifest["verification"]["model-fp16-sparse.tflite"]["tolerance"] == 0.01
    assert {row.variant for row in result.rows if row.role == "before"} == {"int8", "fp16"}
    metrics = manifest["metric"]["files"]
    assert set(metrics) == set(files) and min(metrics.values()) > 0.6
    (port,) = manifest["files"]["model.tflite"]["inputs"]
    assert port["dtype"] == "int8" and port["scale"] > 0


def test_a_form_that_no_runtime_takes_ends_the_run_before_anything_is_trained(
    project: Path,
) -> None:
    sets = [*SHORT, 'export.formats=["dynamic-sparse"]']
    wide = project / "wide.py"
    wide.write_text(
        "import keras\n\ndef net():\n    keras.utils.set_random_seed(1)\n"
        "    layers = [keras.layers.Dense(64, 'relu', name=n) for n in ('first', 'second')]\n"
        "    return keras.Sequential([keras.Input((12,)), *layers, keras.layers.Dense(3)])\n"
    )
    with pytest.raises(ExportError, match=r"as dynamic-sparse the file .*; dynamic works"):
        run(project / "edgeprune.toml", sets=[*sets, 'model="wide:net"', "prune.sparsity=0.9"])
    stages = {path.parent.name for path in (project / ".edgeprune").glob("stages/*/*")}
    assert not {name for name in stages if name.startswith("round")}
    assert not (project / "dist").exists()


def test_calibration_data_are_in_the_key_of_what_they_decide_alone(project: Path) -> None:
    recipe = project / "edgeprune.toml"
    formats = 'export.formats=["fp32", "int8", "dynamic-sparse"]'
    before = keys(recipe, formats)
    after = keys(recipe, formats, "export.calibration_examples=16")
    assert {name for name in after if before[name] != after[name]} >= {
        "export-before-int8", "export-after-int8", "verify-after-int8", "evaluate",
    }  # fmt: skip
    same = {"export-before-fp32", "export-after-fp32", "try-dynamic-sparse", "round-1", "recover"}
    assert all(before[name] == after[name] for name in same)
    told = keys(recipe, formats, "export.tolerances={fp32 = 0.001}")
    assert {name for name in told if before[name] != told[name]} == {
        "verify-before-fp32", "verify-after-fp32",
    }  # fmt: skip
