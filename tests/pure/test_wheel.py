"""The wheel, built as users get it and installed away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("away") / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command = [*pip, "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def away(site: Path, *arguments: str) -> str:
    """What the installed program prints, called from a folder that is no checkout."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_in_it_and_what_is_not(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        said = archive.read(metadata).decode()
    for path in (ROOT / "targets").glob("*.toml"):
        assert f"edgeprune/profiles/{path.name}" in names
    for path in (ROOT / "edgeprune").rglob("*"):
        inside = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in inside:
            assert inside in names
    assert {"edgeprune/py.typed", "edgeprune/edgeprune.mk"} <= names
    assert any(name.endswith((".html", ".j2", ".html.j2")) for name in names), "the report's page"
    tops = {name.split("/")[0] for name in names}
    assert tops == {"edgeprune", Path(metadata).parent.name}
    assert "Requires-Python: <3.14,>=3.11" in said


def test_the_installed_program_finds_what_it_carries(site: Path) -> None:
    where = away(site, "-c", "import edgeprune; print(edgeprune.__file__)").strip()
    assert where == str(site / "edgeprune" / "__init__.py")
    listed = json.loads(away(site, "-m", "edgeprune", "targets", "list", "--json"))
    ours = {path.stem for path in (ROOT / "targets").glob("*.toml")}
    assert {each["name"] for each in listed} == ours
    makefile = away(site, "-m", "edgeprune", "makefile").strip()
    assert makefile == str(site / "edgeprune" / "edgeprune.mk")
    assert Path(makefile).read_text() == (ROOT / "edgeprune.mk").read_text()
    schema = json.loads(away(site, "-m", "edgeprune", "schema", "recipe"))
    assert "prune" in schema["properties"]
    assert away(site, "-m", "edgeprune", "--version").startswith("edgeprune ")


def test_the_installed_report_page(site: Path) -> None:
    """The page's template is a file, so it can be forgotten."""
    fixture = ROOT / "tests" / "pure" / "reporting_fixture.py"
    code = (
        f"import json, runpy; made = runpy.run_path({str(fixture)!r})['realistic']();"
        "json.dump(made.to_json(), open('result.json', 'w'))"
    )
    away(site, "-c", code)
    away(site, "-m", "edgeprune", "report", "result.json", "-o", "r.html")
    assert "<svg" in (site.parent / "r.html").read_text()
