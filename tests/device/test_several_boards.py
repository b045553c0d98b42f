"""bench on several boards at once: each its own results, whatever becomes of another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from board_servers import RealServer

from edgeprune.benchmarking import boards, places
from edgeprune.cli import main
from edgeprune.contracts import BENCH
from edgeprune.runtimes import Agent

Capture = pytest.CaptureFixture[str]
QUICK = ("--seconds", "0.3", "--warmup", "1")
LONG = ("--seconds", "60", "--runs", "10000000")


@pytest.fixture
def two(
    real: RealServer, my_board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealServer]:
    """The second of two boards, "other", of the target ``other-board``; the first is "board"."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = RealServer(folder)
    second.keys.authorized.write_text(real.keys.authorized.read_text())
    for name in ("known", "config"):
        mine = real.keys.folder / name
        theirs = (second.keys.folder / name).read_text()
        said = (
            theirs
            if name == "known"
            else f"Host other\n  HostName 127.0.0.1\n  Port {second.port}\n"
        )
        mine.write_text(mine.read_text() + said)
    profile = Path("targets/my-board.toml")
    (profile.parent / "other-board.toml").write_text(profile.read_text())
    my_board.write_text(
        my_board.read_text() + f'[devices.other-board]\npython = "{sys.executable}"\n'
    )

    def agent(talk: Any, where: str, *, lock: str | None = None) -> Agent:
        return Agent(talk, where, lock=lock or str(tmp_path / f"lock-{where}"))

    monkeypatch.setattr(boards, "Agent", agent)  # two boards have two locks
    second.start()
    yield second
    second.stop()


def bench(capfd: Capture, *arguments: object) -> tuple[int, str, list[str]]:
    targets = ("--target", "my-board", "--target", "other-board")
    code = main(["bench", *map(str, arguments), *targets, "-q"])
    captured = capfd.readouterr()
    return code, captured.out, captured.err.splitlines()


BOTH = ("--ssh", "my-board=board", "--ssh", "other-board=other")


def nothing_left(*homes: Path) -> None:
    until = time.monotonic() + 10
    while [path for home in homes for path in home.rglob("*") if path.is_file()]:
        assert time.monotonic() < until, "files stay"
        time.sleep(0.05)


def test_two_boards_at_the_same_time_and_this_machine_alone(
    real: RealServer,
    two: RealServer,
    models: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both, alone = threading.Barrier(2), []
    started, here = boards.Board.runner, places.Here.runner

    def runner(self: boards.Board, path: Path, *, threads: int) -> Any:
        if path.name == "a.tflite":
            both.wait(60)  # broken where one waits for the other to end
        return started(self, path, threads=threads)

    def runner_here(self: places.Here, path: Path, *, threads: int) -> Any:
        alone.append([each.name for each in threading.enumerate() if each.name.startswith("board")])
        return here(self, path, threads=threads)

    monkeypatch.setattr(boards.Board, "runner", runner)
    monkeypatch.setattr(places.Here, "runner", runner_here)
    files = [models / "a.tflite", models / "b.tflite"]
    code, out, err = bench(capfd, *files, *BOTH, "--target", "host", "--json", *QUICK)
    assert (code, err) == (0, []) and alone == [[], []]
    facts = json.loads(out)
    assert (facts["schema"], facts["failed"]) == (1, [])
    assert facts["targets"] == ["host", "my-board", "other-board"]
    found = [(each["target"], each["file"], each["via"]) for each in facts["measurements"]]
    assert sorted(found) == sorted(
        (target, file, via)
        for target, via in (("my-board", "ssh"), ("other-board", "ssh"), ("host", "local"))
        for file in ("a.tflite", "b.tflite")
    )
    assert all(each["latency_ns"] for each in facts["measurements"])
    pairs = [(each["before"], each["after"]) for each in facts["comparisons"]]
    assert len(pairs) == 3 and all(one["target"] == other["target"] for one, other in pairs)
    nothing_left(real.home, two.home)


def test_one_that_fails_leaves_the_others_results(
    real: RealServer, two: RealServer, models: Path, tmp_path: Path, capfd: Capture
) -> None:
    two.stop()
    files = [models / "a.tflite", models / "b.tflite"]
    kept = ("--save", tmp_path / "results", "--report", f"junit={tmp_path / 'j.xml'}")
    code, out, (line,) = bench(capfd, *files, *BOTH, "--json", *kept, *QUICK)
    assert code == 1
    assert line.startswith("edgeprune: other-board: other: cannot be reached (Connection refused)")
    assert BENCH.validate_json(out).failed
    facts = json.loads(out)
    assert {each["target"] for each in facts["measurements"]} == {"my-board"}
    (failed,) = facts["failed"]
    assert failed["target"] == "other-board" and failed["error"] in line
    (saved,) = (tmp_path / "results").glob("*.json")
    assert "other:" not in saved.read_text(), "errors name hosts, and results are shared"
    assert 'failures="1"' in (tmp_path / "j.xml").read_text()
    assert main(["bench", "history", str(tmp_path / "results"), "-q"]) == 0
    assert main(["bench", "--compare", str(saved), str(saved), "-q"]) == 0
    text = capfd.readouterr().out
    assert "a.tflite" in text and "my-board" in text
    code, out, _ = bench(capfd, *files, *BOTH, *QUICK)
    assert code == 1 and "Measured on my-board" in out and "other-board" not in out
    real.stop()
    code, out, lines = bench(capfd, *files, *BOTH, "--json", *QUICK)
    assert code == 1 and len(lines) == 2 and json.loads(out)["measurements"] == []


def test_two_targets_of_one_board_take_turns(
    real: RealServer, two: RealServer, models: Path, capfd: Capture
) -> None:
    same = ("--ssh", "my-board=board", "--ssh", "other-board=board")
    code, out, err = bench(capfd, models / "a.tflite", *same, "--json", *QUICK)
    assert (code, err) == (0, [])
    assert len(json.loads(out)["measurements"]) == 2


def test_an_address_must_say_whose_it_is(
    two: RealServer, models: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 2 and "of my-board, other-board; write --ssh TARGET=board" in line
    # What could be either is neither's.
    monkeypatch.setenv("EDGEPRUNE_SSH", "board")
    code, _, (line,) = bench(capfd, models / "a.tflite", "--via", "ssh")
    assert code == 2 and "EDGEPRUNE_SSH_MY_BOARD in the environment" in line
    monkeypatch.setenv("EDGEPRUNE_SSH_MY_BOARD", "board")
    code, out, (line,) = bench(capfd, models / "a.tflite", "--json", *QUICK)
    assert code == 1 and "other-board: not measured: " in line
    assert [each["target"] for each in json.loads(out)["measurements"]] == ["my-board"]


PROGRAM = """
import sys
from edgeprune.benchmarking import boards
from edgeprune.runtimes import Agent
boards.Agent = lambda talk, where, lock=None: Agent(talk, where, lock=sys.argv[1] + where)
from edgeprune.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_ctrl_c_ends_all_of_them(real: RealServer, two: RealServer, models: Path) -> None:
    targets = ("--target", "my-board", "--target", "other-board")
    asked = ["bench", str(models / "a.tflite"), *targets, *BOTH, *LONG]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(real.home.parent / "lock-"), *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    homes = (str(real.home), str(two.home))
    while not all(running(home) >= 2 for home in homes):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.splitlines()[-1].startswith("edgeprune: interrupted")
    until = time.monotonic() + 10
    while any(running(home) for home in homes):
        assert time.monotonic() < until, "an agent runs on"
        time.sleep(0.05)
    nothing_left(real.home, two.home)


def running(home: str) -> int:
    """Processes of an agent that was pushed there."""
    found = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found += f"{home}/.cache" in (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found
