"""Ctrl-C in the middle of a real run: one line, 130, and the next run goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_process import temporaries

from edgeprune.pipeline import dry_run

COMMAND = [sys.executable, "-m", "edgeprune", "run", "edgeprune.toml"]
ENDLESS = ["--set", "finetune.epochs=2000", "--set", "prune.rounds=1"]
SOON = ["--set", "finetune.epochs=1", "--set", "prune.rounds=1"]


def interrupted(project: Path, ready: Path, *more: str) -> tuple[int, str, str]:
    """Start a run, send SIGINT once ``ready`` has something in it."""
    child = subprocess.Popen(
        [*COMMAND, *more],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 240
        while not (ready.is_dir() and any(ready.rglob("*"))):
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < until, "the run never came that far"
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: the children get it too
        out, err = child.communicate(timeout=60)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return child.returncode, out, err


@pytest.mark.parametrize("stage", ["round-1", "bench-host"])
def test_ctrl_c_keeps_what_is_finished(project: Path, stage: str) -> None:
    build = project / ".edgeprune"
    if stage == "round-1":
        more, ready = ENDLESS, build / "scratch" / "round-1"
    else:
        more, ready = SOON, build / "stages" / "bench-host"
    before = {path.name for path in project.iterdir()}
    code, out, err = interrupted(project, ready, *more)
    assert code == 130, err
    assert out == ""
    last = err.splitlines()[-1]
    assert last == "edgeprune: interrupted; finished stages are kept"
    assert "Traceback" not in err and "KeyboardInterrupt" not in err
    assert {path.name for path in project.iterdir()} == before | {".edgeprune"}
    for place in (build / "stages").glob("*/*"):
        assert (place / "key.json").is_file(), place
    assert not (build / "lock.json").exists()
    assert temporaries(project) == []
    sets = more[1::2]
    states = {state.stage: state for state in dry_run(project / "edgeprune.toml", sets=sets)}
    assert states["check"].done and states["export-before-fp32"].done
    assert not states[stage].done

    done = subprocess.run(
        [*COMMAND, *SOON, "-q"], cwd=project, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (project / "dist" / "host" / "model.tflite").is_file()
