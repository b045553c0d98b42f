"""This repository's Makefile and locks: what a fresh machine meets first."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATER = {"packaging"}
"""Of the lower ring, what another library in it asks for in a later version."""


def made(folder: Path, *arguments: str, path: str | None = None) -> tuple[int, str]:
    """Exit code and what ``make`` says."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=folder,
        env={**inherited, "PATH": path or os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs, with no environment yet."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def python(folder: Path, name: str, body: str) -> None:
    """Something on the path that calls itself Python."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def tools(folder: Path) -> Path:
    """A path without any Python."""
    folder.mkdir(exist_ok=True)
    for name in ("sh", "echo", "test", "awk", "touch"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def test_help_lists_what_people_do(clone: Path) -> None:
    code, said = made(clone, "help")
    assert code == 0
    for name in ("demo", "test", "lint", "release", "wheel", "clean"):
        assert re.search(rf"^ +make {name} +\S", said, re.M), name
    assert made(clone)[1] == said


def test_no_fitting_python_is_one_line(clone: Path, tmp_path: Path) -> None:
    place = tools(tmp_path / "bin")
    python(place, "python3", "exit 1")  # 3.10, say
    code, said = made(clone, "setup", path=str(place))
    assert code == 2
    (line,) = (each for each in said.splitlines() if not each.startswith("make"))
    assert "3.11, 3.12 or 3.13" in line and "install" in line
    assert not (clone / ".venv").exists()


def test_no_venv_is_one_line(clone: Path, tmp_path: Path) -> None:
    place = tools(tmp_path / "bin")
    python(place, "python3.12", 'case "$2" in *ensurepip*) exit 1;; esac')
    code, said = made(clone, "setup", path=str(place))
    assert code == 2
    (line,) = (each for each in said.splitlines() if not each.startswith("make"))
    assert "python3.12 has no venv" in line and "python3.12-venv" in line


def test_the_newest_fitting_python_is_taken(clone: Path, tmp_path: Path) -> None:
    place = tools(tmp_path / "bin")
    for name in ("python3.11", "python3.12", "python3"):
        python(place, name, 'case "$2" in *ensurepip*) exit 1;; esac')
    assert "python3.12 has no venv" in made(clone, "setup", path=str(place))[1]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-lowest.lock"])
def test_locks_pin_versions_and_hashes_and_no_index(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) > 30
    for line in lines:
        assert re.match(r"[a-z0-9._-]+==[^ ]+ ", line), line
        assert "--hash=sha256:" in line, line
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_the_lowest_lock_is_at_the_declared_bounds() -> None:
    """What ``pyproject.toml`` promises is what the lower ring installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = dict(re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", _lowest(), re.M))
    for requirement in project["dependencies"]:
        name, bound = re.match(r"([a-z0-9-]+)>=([^,]+)", requirement).groups()  # type: ignore[union-attr]
        if name in LATER:
            continue
        # A release that was withdrawn has its first patch in its place.
        assert f"{lock[name]}.0.0.".startswith(f"{bound}."), requirement
    assert project["requires-python"] == ">=3.11,<3.14"
    assert sys.version_info[:2] >= (3, 11)


def _lowest() -> str:
    return (ROOT / "requirements-lowest.lock").read_text()
