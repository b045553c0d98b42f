"""``kill -9`` at every stage, and in the middle of a fine-tuning: the same bytes in the end."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from edgeprune.pipeline import dry_run

KILLED_RUN = """
import os, signal, sys
from edgeprune import workspace
from edgeprune.recovery import checkpoints

recipe, victim = sys.argv[1:]

def dies(function, fits):
    def instead(*args, **kwargs):
        if fits(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return instead

if victim.startswith("epoch-"):
    saves = [0]
    def fits(*args):
        saves[0] += 1
        return saves[0] == int(victim.removeprefix("epoch-"))
    checkpoints.Checkpoint.save = dies(checkpoints.Checkpoint.save, fits)
else:
    workspace.Stage._commit = dies(workspace.Stage._commit, lambda stage, *_: stage.name == victim)

from edgeprune.pipeline import run
run(recipe)
"""


def attempt(recipe: Path, victim: str) -> tuple[int, str]:
    """Exit code and, to say why it is not the expected one, what went to stderr."""
    command = [sys.executable, "-c", KILLED_RUN, str(recipe), victim]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stderr


def digests(folder: Path) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.name != "measurements.json"
    }


def test_a_run_killed_at_every_stage_ends_with_the_same_bytes(trained: Path, project: Path) -> None:
    recipe = project / "edgeprune.toml"
    stages = [state.stage for state in dry_run(recipe)]
    assert len(stages) > 10
    for number, victim in enumerate(stages):
        code, stderr = attempt(recipe, victim)
        assert code == -signal.SIGKILL, stderr
        done = [state.stage for state in dry_run(recipe) if state.done]
        assert done == stages[:number], f"killed in {victim}: what was finished before is kept"
        assert not (project / "dist").exists()
    code, stderr = attempt(recipe, "nobody")
    assert code == 0, stderr
    undisturbed = project.parent / "undisturbed"

    shutil.copytree(trained, undisturbed)
    code, stderr = attempt(undisturbed / "edgeprune.toml", "nobody")
    assert code == 0, stderr
    assert digests(project / "dist" / "host") == digests(undisturbed / "dist" / "host")


def test_a_fine_tuning_killed_in_the_middle_goes_on_at_its_last_epoch(
    trained: Path, project: Path
) -> None:
    recipe = project / "edgeprune.toml"
    code, stderr = attempt(recipe, "epoch-2")
    assert code == -signal.SIGKILL, stderr
    states = {state.stage: state for state in dry_run(recipe)}
    assert not states["round-1"].done and "checkpoint" in (states["round-1"].why or "")
    code, stderr = attempt(recipe, "nobody")
    assert code == 0, stderr
    undisturbed = project.parent / "undisturbed"

    shutil.copytree(trained, undisturbed)
    code, stderr = attempt(undisturbed / "edgeprune.toml", "nobody")
    assert code == 0, stderr
    assert digests(project / "dist" / "host") == digests(undisturbed / "dist" / "host")
