"""A board of this machine's architecture, and files to run there."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from board_servers import MISSING, SSHD, OddServer, RealServer

from edgeprune.benchmarking import boards
from edgeprune.runtimes import agents
from edgeprune.transports import remote, ssh

MAKE = """
import sys
import keras
from edgeprune.exporting import export_model
keras.utils.set_random_seed(1)
dense = keras.layers.Dense
model = keras.Sequential([keras.Input((16,)), dense(64, "relu"), dense(4)])
for name in ("a.tflite", "b.tflite", "c.onnx"):
    export_model(model, f"{sys.argv[1]}/{name}")
"""


@pytest.fixture(scope="session")
def models(made_in_a_child: Callable[[str, str], Path]) -> Path:
    """``a.tflite``, ``b.tflite``, ``c.onnx``: one small model."""
    return made_in_a_child("models", MAKE)


@pytest.fixture
def my_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The profile ``my-board`` in the working directory, and a lock and a configuration of its
    own; the file that says which Python is used there."""
    monkeypatch.setattr(agents, "LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr(boards, "PAUSES", (0.01, 0.01))
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "my-board.toml").write_text(
        f'schema = 1\ndescription = "A board"\narch = "{platform.machine()}"\n'
        'runtime = ["litert", "onnxruntime"]\n'
    )
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    for name in ("EDGEPRUNE_SSH", "EDGEPRUNE_SSH_MY_BOARD"):
        monkeypatch.delenv(name, raising=False)
    listed = tmp_path / "settings" / "edgeprune" / "devices.toml"
    listed.parent.mkdir(parents=True)
    listed.write_text(f'[devices.my-board]\npython = "{sys.executable}"\n')
    return listed


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealServer]:
    """OpenSSH's server; tests may set its ``environment`` and start it anew."""
    if SSHD is None:
        pytest.skip(MISSING)
    server = RealServer(tmp_path)
    monkeypatch.setenv(ssh.CLIENT, server.keys.client)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    """The server that misbehaves when it is told to."""
    pytest.importorskip("asyncssh")
    server = OddServer(tmp_path)
    monkeypatch.setenv(ssh.CLIENT, server.keys.client)
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.01))
    server.start()
    yield server
    server.stop()


WRONG = """
import importlib.util, os
real = [p for p in __import__("ai_edge_litert").__path__ if p != os.path.dirname(__file__)][0]
spec = importlib.util.spec_from_file_location("ai_edge_litert._real", real + "/interpreter.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
class Interpreter(module.Interpreter):
    def __init__(self, **told):
        if os.environ.get("REFUSE"):
            raise ValueError("Didn't find op for builtin opcode 'FULLY_CONNECTED' version '99'")
        super().__init__(**told)
    def tensor(self, index):
        view = super().tensor(index)
        outputs = [about["index"] for about in self.get_output_details()]
        return (lambda: view() + 0.01) if index in outputs else view
"""


@pytest.fixture
def other_engine(real: RealServer, tmp_path: Path) -> RealServer:
    """A board whose LiteRT answers a little off."""
    package = tmp_path / "other" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)\n"
    )
    (package / "interpreter.py").write_text(WRONG)
    real.stop()
    real.environment = {"PYTHONPATH": str(package.parent)}
    real.start()
    return real
