"""The build directory: what is finished stays, what is half leaves no trace, one run at a time."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edgeprune.errors import LockedError, OutputError
from edgeprune.workspace import KEPT, Workspace


def finish(workspace: Workspace, name: str, key: dict[str, object], text: str = "x") -> None:
    with workspace.stage(name, key).write() as folder:
        (folder / "out.txt").write_text(text)


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_finished_stage_is_found_by_its_inputs_alone(tmp_path: Path) -> None:
    finish(Workspace(tmp_path / "b"), "score", {"model": "m1", "rounds": (1, 2)})
    again = Workspace(tmp_path / "b").stage("score", {"rounds": [1, 2], "model": "m1"})
    assert again.done and again.why_not() is None
    assert (again.folder / "out.txt").read_text() == "x"
    assert json.loads((again.folder / "key.json").read_text()) == {"model": "m1", "rounds": [1, 2]}
    assert not Workspace(tmp_path / "b").stage("plan", {"rounds": [1, 2], "model": "m1"}).done
    assert (tmp_path / "b" / ".gitignore").read_text() == "*\n"


def test_asking_writes_nothing(tmp_path: Path) -> None:
    stage = Workspace(tmp_path / "b").stage("score", {})
    assert not stage.done
    assert stage.why_not() == "never run"
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"model": "b" * 64}, "model changed"),
        ({"versions": {"numpy": "2.4.6"}}, "numpy 2.4.5 → 2.4.6"),
        ({"prune": {"sparsity": 0.95, "exclude": []}}, "prune.sparsity 0.9 → 0.95"),
        ({"prune": {"sparsity": 0.9, "exclude": ["a/*"]}}, 'prune.exclude [] → ["a/*"]'),
        ({"seed": 3}, "seed is new"),
        ({"data": None}, "data d → None"),
    ],
)
def test_it_says_what_changed(tmp_path: Path, change: dict[str, object], line: str) -> None:
    key: dict[str, object] = {
        "model": "a" * 64,
        "data": "d",
        "versions": {"numpy": "2.4.5"},
        "prune": {"sparsity": 0.9, "exclude": []},
    }
    workspace = Workspace(tmp_path)
    finish(workspace, "score", key)
    assert workspace.stage("score", key | change).why_not() == line
    del key["data"]
    assert workspace.stage("score", key).why_not() == "data is gone"


def test_many_changes_stay_one_line(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "score", {f"k{n}": 0 for n in range(9)})
    why = workspace.stage("score", {f"k{n}": 1 for n in range(9)}).why_not()
    assert why is not None and "\n" not in why
    assert why.endswith("k3 0 → 1, 5 more")


def test_a_failure_inside_leaves_nothing(tmp_path: Path) -> None:
    stage = Workspace(tmp_path).stage("score", {})
    with pytest.raises(KeyboardInterrupt), stage.write() as folder:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt
    assert not stage.done
    assert list((tmp_path / "stages" / "score").iterdir()) == []


def test_kill_inside_write_leaves_no_finished_stage_and_the_next_run_sweeps(tmp_path: Path) -> None:
    code = """
        import os, sys
        from edgeprune.workspace import Workspace
        workspace = Workspace(sys.argv[1])
        with workspace.lock():
            stage = workspace.stage("train", {"a": 1})
            (stage.scratch / "epoch").write_text("3")
            with stage.write() as folder:
                (folder / "half").write_text("x")
                os._exit(9)
    """
    assert child(code, str(tmp_path)).wait() == 9
    workspace = Workspace(tmp_path)
    stage = workspace.stage("train", {"a": 1})
    assert not stage.done
    assert stage.why_not() == "never run; goes on at its checkpoint"
    with workspace.lock():
        assert list((tmp_path / "stages" / "train").iterdir()) == []
        assert (stage.scratch / "epoch").read_text() == "3"
        with stage.write() as folder:
            (folder / "whole").write_text("x")
    assert stage.done
    assert not list((tmp_path / "scratch").glob("train/*"))


def test_a_damaged_stage_is_done_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "score", {"a": 1})
    stage = workspace.stage("score", {"a": 1})
    (stage.folder / "key.json").write_text("{")
    assert not stage.done
    finish(workspace, "score", {"a": 1}, "again")
    assert stage.done
    assert (stage.folder / "out.txt").read_text() == "again"


def test_one_run_at_a_time_and_the_holder_is_named(tmp_path: Path) -> None:
    code = """
        import sys, time
        from edgeprune.workspace import Workspace
        with Workspace(sys.argv[1]).lock():
            print("held", flush=True)
            time.sleep(60)
    """
    holder = child(code, str(tmp_path), "my-recipe.toml")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LockedError) as caught, Workspace(tmp_path).lock():
        pass
    assert f"process {holder.pid}" in str(caught.value)
    assert "my-recipe.toml" in str(caught.value)
    assert "since 20" in str(caught.value)
    with pytest.raises(LockedError):
        Workspace(tmp_path).clean()
    holder.kill()
    holder.wait()
    assert (tmp_path / "lock.json").exists()
    with Workspace(tmp_path).lock():
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock.json").exists()


def test_a_run_can_wait_for_another(tmp_path: Path) -> None:
    code = """
        import sys, time
        from edgeprune.workspace import Workspace
        with Workspace(sys.argv[1]).lock():
            print("held", flush=True)
            time.sleep(0.5)
    """
    holder = child(code, str(tmp_path))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with Workspace(tmp_path).lock(wait=True):
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert holder.wait() == 0


def test_a_dead_run_is_never_named_as_the_holder(tmp_path: Path) -> None:
    dead = child("pass")
    dead.wait()
    workspace = Workspace(tmp_path)
    with workspace.lock():
        facts = json.loads((tmp_path / "lock.json").read_text())
        (tmp_path / "lock.json").write_text(json.dumps(facts | {"pid": dead.pid}))
        with pytest.raises(LockedError, match="another process"), Workspace(tmp_path).lock():
            pass


def test_old_runs_leave_but_never_one_of_this_process(tmp_path: Path) -> None:
    for number in range(KEPT + 3):
        finish(Workspace(tmp_path), "score", {"n": number})
    assert len(list((tmp_path / "stages" / "score").iterdir())) == KEPT
    assert Workspace(tmp_path).stage("score", {"n": KEPT + 2}).done
    assert not Workspace(tmp_path).stage("score", {"n": 0}).done
    one = Workspace(tmp_path)
    for number in range(KEPT + 3):
        finish(one, "plan", {"n": number})
    assert all(one.stage("plan", {"n": number}).done for number in range(KEPT + 3))


def test_clean_keeps_the_log_unless_told(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "b")
    assert workspace.clean() == 0
    assert not (tmp_path / "b").exists()
    finish(workspace, "score", {}, "12345")
    (workspace.log_folder / "a.txt").write_text("log")
    assert workspace.clean() >= 5
    assert not (tmp_path / "b" / "stages").exists()
    assert (tmp_path / "b" / "log" / "a.txt").exists()
    workspace.clean(everything=True)
    assert not (tmp_path / "b" / "log").exists()


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    stage = Workspace(tmp_path).stage("score", {})
    with pytest.raises(OutputError, match="no space left"), stage.write():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not stage.done
    with pytest.raises(FileNotFoundError), stage.write():
        Path(tmp_path / "absent").read_text()


def test_a_place_that_cannot_be_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"), Workspace(tmp_path / "file").lock():
        pass
    with pytest.raises(OutputError, match="cannot write"):
        finish(Workspace(tmp_path / "file" / "b"), "score", {})


def test_a_stage_name_is_no_path() -> None:
    with pytest.raises(ValueError, match="no name"):
        Workspace("b").stage("../x", {})
