"""The road with the installed wheel, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    pip = ["pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    for command in (build, [*pip, "--target", str(folder / "site"), "--find-links", str(folder)]):
        wheels = [] if command is build else [str(next(folder.glob("*.whl")))]
        done = subprocess.run(
            [sys.executable, "-m", *command, *wheels],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def installed(site: Path, project: Path, *arguments: str) -> str:
    """Standard output of the installed program, run beside a user's model."""
    code = (
        "import sys, edgeprune; from edgeprune.cli import main;"
        f"assert edgeprune.__file__.startswith({str(site)!r}), edgeprune.__file__;"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_prune_export_verify(site: Path, project: Path) -> None:
    data = ("--data", "data.npz")
    installed(
        site, project, "prune", "model.keras", *data, "--sparsity", "0.6", "--epochs", "1",
        "-o", "small.keras",
    )  # fmt: skip
    for variant, name in (("fp32-sparse", "small.tflite"), ("onnx-fp32", "small.onnx")):
        installed(site, project, "export", "small.keras", "--format", variant, "-o", name)
        said = installed(site, project, "verify", name, "--model", "small.keras", *data, "--json")
        assert json.loads(said)["samples"] >= 32


def test_run(site: Path, project: Path) -> None:
    sets = ("--set", "prune.rounds=1", "--set", "finetune.epochs=1", "--set", "gates={}")
    result = json.loads(installed(site, project, "run", *sets, "--json"))
    assert result["released"]
    assert {"model.tflite", "model.onnx", "manifest.json"} <= {
        path.name for path in (project / "dist" / "host").iterdir()
    }
