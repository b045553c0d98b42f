"""``edgeprune.mk`` in a user's own Makefile: what rebuilds, what does not, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from edgeprune.errors import InputError
from edgeprune.pipeline import clean, run
from edgeprune.pipeline.depfiles import depfile_text, folders
from edgeprune.verbs import makefile_path

MAKEFILE = """\
EDGEPRUNE_RECIPE := edgeprune.toml
EDGEPRUNE_TARGETS := host board
EDGEPRUNE_FLAGS := -q
include $(shell edgeprune makefile)
"""
BOARD = 'schema = 1\ndescription = "ours"\narch = "aarch64"\nruntime = "litert"\n'


def made(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``make`` with the program of this environment on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**inherited, "PATH": path},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )


def would_run(folder: Path) -> set[str]:
    """The targets that ``make release`` would make again."""
    done = made(folder, "release", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("edgeprune run ")]
    return {line.split("--target ")[1].split()[0] for line in lines}


def touch(file: Path) -> None:
    """Newer than all that was made, whatever the clock's grain."""
    later = time.time_ns() + 10**9
    os.utime(file, ns=(later, later))


@pytest.fixture
def releasing(project: Path) -> Path:
    """Two targets, one a profile beside the recipe; the data file's name has a space."""
    (project / "data.npz").rename(project / "the data.npz")
    (project / "targets").mkdir()
    (project / "targets" / "board.toml").write_text(BOARD)
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace("data.npz", "the data.npz")
    text = text.replace("rounds = 2", "rounds = 1").replace("epochs = 2", "epochs = 1")
    text = text.replace('"fp32-sparse", "onnx-fp32"', '"fp32-sparse"')
    recipe.write_text(text.replace("[gates]", '[[targets]]\nname = "board"\n\n[gates]'))
    (project / "Makefile").write_text(MAKEFILE)
    return project


def test_release_rebuilds_what_changed_and_nothing_else(releasing: Path) -> None:
    done = made(releasing, "-j2", "release")
    assert done.returncode == 0, done.stderr
    for target in ("host", "board"):
        assert (releasing / "dist" / target / "manifest.json").is_file()
        rules = (releasing / ".edgeprune" / "make" / f"{target}.d").read_text()
        assert rules.startswith(f"dist/{target}/manifest.json: ")
        assert "the\\ data.npz" in rules
        assert str(releasing) not in rules
    assert would_run(releasing) == set()
    done = made(releasing, "release")
    assert done.returncode == 0 and "edgeprune run" not in done.stdout

    for name, again in (
        ("edgeprune.toml", {"host", "board"}),
        ("model.keras", {"host", "board"}),
        ("the data.npz", {"host", "board"}),
        ("targets/board.toml", {"board"}),
    ):
        stamps = (releasing / name).stat()
        touch(releasing / name)
        assert would_run(releasing) == again, name
        os.utime(releasing / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        assert would_run(releasing) == set()

    # Changed for true: released anew, and settled again.
    before = (releasing / "dist" / "board" / "manifest.json").read_bytes()
    model = keras.models.load_model(releasing / "model.keras")
    kernel = model.get_layer("first").kernel
    kernel.assign(np.asarray(kernel) * 1.001)
    model.save(releasing / "model.keras")
    assert would_run(releasing) == {"host", "board"}
    done = made(releasing, "release-board")
    assert done.returncode == 0, done.stderr
    assert (releasing / "dist" / "board" / "manifest.json").read_bytes() != before
    assert would_run(releasing) == {"host"}

    # A deleted prerequisite is edgeprune's to name, not a rule that make misses.
    (releasing / "the data.npz").unlink()
    done = made(releasing, "release-board")
    assert done.returncode == 2
    assert "No rule to make target" not in done.stderr
    assert "the data.npz" in done.stderr and "Error 2" in done.stderr


@pytest.mark.parametrize("spelled", ["beside", "absolute", "above"])
def test_rules_hold_however_the_recipe_is_spelled_and_after_clean(
    releasing: Path, spelled: str
) -> None:
    recipe = releasing / "edgeprune.toml"
    (releasing / "parts").mkdir()
    (releasing / "parts" / "one.txt").write_text("1")
    text = recipe.read_text()
    assert 'model = "model.keras"' in text
    text = text.replace(
        'model = "model.keras"', 'model = { path = "model.keras", depends = ["parts/*.txt"] }'
    )
    recipe.write_text(text)
    here = releasing
    if spelled == "above":
        here = releasing / "firmware"
        here.mkdir()
    name = {"beside": "edgeprune.toml", "absolute": str(recipe), "above": "../edgeprune.toml"}
    lines = MAKEFILE.replace("host board", "host").replace("edgeprune.toml", name[spelled])
    (here / "Makefile").write_text(lines)
    done = made(here, "release")
    assert done.returncode == 0, done.stderr
    assert (releasing / "dist" / "host" / "manifest.json").is_file()
    assert would_run(here) == set()

    def rebuilds_when(change: Path) -> bool:
        stamps = change.stat()
        touch(change)
        found = would_run(here)
        os.utime(change, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        assert would_run(here) == set()
        return found == {"host"}

    assert rebuilds_when(releasing / "model.keras")
    assert rebuilds_when(releasing / "parts" / "one.txt")
    # A file that comes, or goes, changes the time of its folder.
    later = time.time_ns() + 10**9
    stamps = (releasing / "parts").stat()
    (releasing / "parts" / "two.txt").write_text("2")
    os.utime(releasing / "parts", ns=(later, later))
    assert would_run(here) == {"host"}
    (releasing / "parts" / "two.txt").unlink()
    os.utime(releasing / "parts", ns=(stamps.st_atime_ns, stamps.st_mtime_ns))

    # What is released outlives clean, and so does what it depends on.
    assert clean(recipe) > 0
    assert would_run(here) == set()
    assert rebuilds_when(releasing / "model.keras")
    # With all forgotten nobody knows what it depends on.
    clean(recipe, everything=True)
    assert would_run(here) == {"host"}


def test_a_quick_run_claims_to_make_nothing(releasing: Path) -> None:
    with pytest.raises(InputError, match="quick"):
        run(releasing / "edgeprune.toml", quick=True, depfile=releasing / "host.d")
    assert not (releasing / "host.d").exists()


def test_folders_are_those_in_which_a_new_file_would_count(tmp_path: Path) -> None:
    for place in ("images/cats", "images/dogs", "lib/deep/er"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "data.npz").touch()

    def named(pattern: str) -> set[str]:
        return {place.relative_to(tmp_path).as_posix() for place in folders(pattern, tmp_path)}

    assert named("images") == {"images", "images/cats", "images/dogs"}
    assert named("images/*/*.png") == {"images", "images/cats", "images/dogs"}
    assert named("lib/**/*.py") == {"lib", "lib/deep", "lib/deep/er"}
    assert named("*.npz") == {"."}
    assert named("data.npz") == set() and named("missing.npz") == set()
    text = depfile_text(["../a b/$m"], [Path("data.npz")]).decode()
    assert text.startswith("../a\\ b/$$m: data.npz\n")


def test_a_broken_gate_is_make_s_error_3_and_the_others_are_released(releasing: Path) -> None:
    recipe = releasing / "edgeprune.toml"
    text = recipe.read_text()
    broken = '[[targets]]\nname = "board"\n[targets.gates]\nmax_bytes = 10\n'
    recipe.write_text(text.replace('[[targets]]\nname = "board"\n', broken))
    done = made(releasing, "-j2", "--keep-going", "release")
    assert done.returncode == 2
    assert "board/manifest.json] Error 3" in done.stderr
    assert (releasing / "dist" / "host" / "manifest.json").is_file()
    assert not (releasing / "dist" / "board").exists()
    assert would_run(releasing) == {"board"}


def test_the_included_file_is_where_the_program_says() -> None:
    assert makefile_path().name == "edgeprune.mk"
    text = makefile_path().read_text()
    assert "--depfile" in text and "--wait" in text
