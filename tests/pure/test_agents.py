"""The agent that runs on a board, here on this machine, with an engine of the tests' own."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.errors import ArtifactError, DeviceError, LostError, MeasurementError
from edgeprune.runtimes import Agent, AgentLink, Runner, agent_bytes, agents
from edgeprune.runtimes.engines import ENGINES, Engine
from edgeprune.runtimes.frames import read_head
from edgeprune.runtimes.wire import receive, send
from edgeprune.transports import LocalTransport, Talk

ENGINE = """
import os, time
import numpy as np

class Session:
    def __init__(self, path, threads):
        text = open(path).read()
        if "refuse" in text:
            raise ValueError("not a model of ours")
        self.text, self.value = text, None
    def inputs(self):
        return [{"name": "x", "shape": [1, 3], "dtype": "float32"}]
    outputs = inputs
    def set(self, values):
        self.value = values[0]
    def invoke(self):
        if "die" in self.text:
            os.abort()
        if "hang" in self.text:
            time.sleep(600)
    def get(self):
        return [2 * self.value]
    def many(self, values):
        return [2 * values[0]]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "engine_of_tests.py").write_text(ENGINE)
    (tmp_path / "agent.pyz").write_bytes(agent_bytes())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = Engine("own", "Own", ".tflite", "numpy", "numpy", "engine_of_tests")
    monkeypatch.setattr("edgeprune.runtimes.children.engine_of", lambda path: own)
    return tmp_path


def talk(folder: Path) -> Talk:
    return LocalTransport().talk([sys.executable, str(folder / "agent.pyz")])


def agent(folder: Path) -> Agent:
    return Agent(talk(folder), "pi@board", lock=str(folder / "lock"), limit=20)


def runner(one: Agent, folder: Path, text: str) -> Runner:
    file = folder / f"{text or 'good'}.tflite"
    file.write_text(text)
    return Runner(file, link=AgentLink(one, str(file), "3.1"), timeout=60)


def test_files_in_turns_each_in_a_child_of_its_own(folder: Path) -> None:
    with (
        agent(folder) as one,
        runner(one, folder, "") as first,
        runner(one, folder, "b") as second,
    ):
        assert one.facts["versions"]["numpy"] == np.__version__
        assert one.facts["python"] == ".".join(map(str, sys.version_info[:3]))
        assert one.looked(["/proc/loada*", "/no/such"]).keys() == {"/proc/loadavg"}
        x = np.ones((5, 3), np.float32)
        for each in (first, second, first):
            assert np.array_equal(each.infer([x])[0], 2 * x)
            each.prepare([x[:1]])
            assert len(each.time(7, 1)) == 7
        assert first.version == "3.1" and first.facts["peak_memory_bytes"] > 0


def test_what_happens_there_is_said_with_the_board(folder: Path) -> None:
    x = np.ones((1, 3), np.float32)
    with agent(folder) as one:
        with pytest.raises(ArtifactError, match=r"refuse.tflite: Own 3.1 on pi@board fails load"):
            runner(one, folder, "refuse")
        with (
            runner(one, folder, "die") as dying,
            pytest.raises(ArtifactError, match=r"Own 3.1 on pi@board died while .*SIGABRT"),
        ):
            dying.prepare([x])
        # The others go on.
        with runner(one, folder, "") as good:
            assert np.array_equal(good.infer([x])[0], 2 * x)
        with (
            runner(one, folder, "hang") as hanging,
            pytest.raises(MeasurementError, match=r"gave no answer in 0.5 s while its first"),
        ):
            hanging._timeout = 0.5  # of this question alone: a busy machine loads for longer
            hanging.prepare([x])
        with runner(one, folder, "") as good:
            assert np.array_equal(good.infer([x])[0], 2 * x)


def test_a_board_is_held_by_one_and_free_when_that_one_ends(folder: Path) -> None:
    with agent(folder) as one:
        with pytest.raises(DeviceError, match=r"pi@board is in use \(by .+ on .+\)") as caught:
            agent(folder)
        assert not isinstance(caught.value, LostError)
        os.kill(one.facts["pid"], signal.SIGKILL)
    agent(folder).close()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> None:
    until = time.monotonic() + 10
    while left := [pid for pid in pids if running(pid)]:
        assert time.monotonic() < until, f"left: {left}"
        time.sleep(0.02)


def group(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in done.stdout.split()]


def test_a_connection_that_was_closed_still_says_what_it_heard() -> None:
    """One thread closes it while another asks why no answer came."""
    there = LocalTransport().talk(
        [sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.stdin.read()"]
    )
    there.close()
    assert there.said().strip() == "why"


@pytest.mark.parametrize("how", ["close", "cut", "killed"])
def test_nothing_runs_on_once_the_other_side_has_gone(folder: Path, how: str) -> None:
    """Also a child in the midst of an inference that never ends."""
    there = talk(folder)
    one = Agent(there, "pi@board", lock=str(folder / "lock"), limit=20)
    pid = one.facts["pid"]
    hanging = runner(one, folder, "hang")
    lost: list[str] = []

    def ask() -> None:
        with pytest.raises(LostError) as caught:
            hanging.prepare([X])
        lost.append(str(caught.value))

    asked = threading.Thread(target=ask)
    asked.start()
    time.sleep(0.3)
    pids = group(pid)
    assert len(pids) == 2 and pid in pids
    if how == "close":
        one.close()
    elif how == "cut":
        there.stdin.close()
    else:
        os.kill(pid, signal.SIGKILL)
    asked.join(10)
    assert lost
    gone(pids)
    one.close()


X = np.ones((1, 3), np.float32)


def test_a_silent_other_side_has_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(folder / "agent.pyz") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    name = "edgeprune/runtimes/supervisor.py"
    files[name] = files[name].replace("SILENCE = 60.0", "SILENCE = 1.0")
    with zipfile.ZipFile(folder / "agent.pyz", "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    monkeypatch.setattr(agents, "BEAT", 0.2)
    with agent(folder) as one:
        time.sleep(2.5)
        assert one.looked(["/proc/loadavg"]), "signs of life keep it"
    monkeypatch.setattr(agents, "BEAT", 3600)
    with agent(folder) as one:
        gone(group(one.facts["pid"]))
        with pytest.raises(LostError, match="the connection to pi@board broke"):
            one.ask({"verb": "start"})


def test_a_login_shell_may_greet_and_may_fail(folder: Path) -> None:
    here, line = LocalTransport(), f"exec {sys.executable} {folder / 'agent.pyz'}"
    greeting = here.talk(["sh", "-c", f"echo welcome; {line}"])
    Agent(greeting, "pi@board", lock=str(folder / "lock")).close()
    with pytest.raises(LostError, match=r"to pi@board broke \(sh: .*not found\)"):
        Agent(here.talk(["sh", "-c", "no-such-python"]), "pi@board")
    with pytest.raises(LostError, match="gives no answer any more"):
        Agent(here.talk(["sleep", "60"]), "pi@board", limit=0.3)
    noise = here.talk(["sh", "-c", "yes; sleep 60"])
    with pytest.raises(LostError):
        Agent(noise, "pi@board")


@given(st.binary(max_size=64))
def test_bytes_that_are_no_message_are_the_end(data: bytes) -> None:
    for read in (read_head, receive):
        with pytest.raises(EOFError):
            read(io.BytesIO(data + b"\xff" * 12))  # type: ignore[operator]


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.lists(st.sampled_from(["float32", "int8", "int64", "bool"]), max_size=3),
    st.integers(0, 3),
)
def test_a_message_comes_as_it_went(message: dict[str, int], kinds: list[str], size: int) -> None:
    message.pop("arrays", None)
    arrays = [np.arange(2 * size).reshape(2, size).astype(kind) for kind in kinds]
    stream = io.BytesIO()
    send(stream, message, arrays)
    stream.seek(0)
    found, back = receive(stream)
    assert found == message and len(back) == len(arrays)
    for one, other in zip(arrays, back, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert not stream.read()


def test_the_agent_is_python_3_9_without_edgeprune_and_always_the_same_bytes() -> None:
    content = agent_bytes()
    assert hashlib.sha256(content).digest() == hashlib.sha256(agent_bytes()).digest()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = set(archive.namelist())
        for name in names:
            tree = ast.parse(archive.read(name), name, feature_version=(3, 9))
            for module in imported(tree):
                if module.startswith("edgeprune"):
                    assert module.replace(".", "/") + ".py" in names, f"{name} imports {module}"
            strict = [n for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "strict"]
            assert not strict, f"{name}: zip(strict=) is Python 3.10"
    drivers = {engine.driver.replace(".", "/") + ".py" for engine in ENGINES.values()}
    assert drivers <= names


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{each.name}" for each in node.names}
            yield from whole & {"edgeprune.runtimes.worker"} or {node.module}
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
