"""Preparing a board over ssh, by its own pip from an index of the tests' own."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import platform
import zipfile
from pathlib import Path

import pytest
from board_servers import OddServer, RealServer

from edgeprune.benchmarking import boards
from edgeprune.cli import main

VENV = ".cache/edgeprune/venv"


def wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> None:
    """A package that says its version and does nothing."""
    module = name.replace("-", "_")
    about = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    lines = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        lines.append(f"{path},sha256={digest.rstrip('=')},{len(text)}")
    files[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / f"{module}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "numpy", "2.0")
    for version, tag in (("2.1.0", "py3-none-any"), ("2.3.0", "py3-none-any"), ("9.0", "cp38-x-y")):
        wheel(folder, "ai-edge-litert", version, tag)
    return folder


@pytest.fixture
def real(real: RealServer, index: Path, my_board: Path) -> RealServer:
    real.stop()
    real.environment = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    real.start()
    my_board.unlink()
    return real


def told(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, list[str]]:
    code = main(["targets", "prepare", *arguments, "-q"])
    captured = capfd.readouterr()
    return code, captured.out, captured.err.splitlines()


def test_the_newest_that_fits_and_away_again(
    real: RealServer, index: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (real.home / "mine").write_text("kept")
    wheel(index, "onnxruntime", "1.30")
    code, out, err = told(capfd, "my-board", "--ssh", "board", "--json")
    assert (code, err) == (0, [])
    facts = json.loads(out)
    assert facts["runtimes"] == {"litert": "2.3.0", "onnxruntime": "1.30"}
    assert facts["arch"] == platform.machine() and facts["folder"] == f"~/{VENV}"
    assert (real.home / VENV / boards.PREPARED).is_file()
    assert {p.name for p in (real.home / ".cache/edgeprune").iterdir()} == {"venv"}
    # Again: what is newer by then.
    wheel(index, "onnxruntime", "1.31")
    code, out, err = told(capfd, "my-board", "--ssh", "board")
    assert code == 0 and "litert 2.3.0, onnxruntime 1.31" in out
    code, out, err = told(capfd, "my-board", "--ssh", "board", "--remove")
    assert code == 0 and "removed" in out
    assert sorted(p.name for p in real.home.rglob("*")) == [".cache", "mine"]
    code, out, err = told(capfd, "my-board", "--ssh", "board", "--remove")
    assert code == 0 and "nothing was there to remove" in out


def test_nothing_is_removed_from_under_a_measurement(
    real: RealServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (real.home / VENV).mkdir(parents=True)
    with (tmp_path / "lock").open("w") as lock:
        lock.write("ann on laptop")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, (line,) = told(capfd, "my-board", "--ssh", "board", "--remove")
    assert code == 1 and "board is in use (by ann on laptop)" in line
    assert (real.home / VENV).is_dir()


def test_one_that_cannot_be_had_is_said_and_the_other_is_there(
    real: RealServer, capfd: pytest.CaptureFixture[str]
) -> None:
    # What broke off once is made anew.
    (real.home / VENV / "bin").mkdir(parents=True)
    (real.home / VENV / "bin" / "python").write_text("half made")
    code, out, err = told(capfd, "my-board", "--ssh", "board", "--json")
    facts = json.loads(out)
    assert code == 1 and facts["runtimes"]["litert"] == "2.3.0"
    assert facts["runtimes"]["onnxruntime"]["availability"] == "unavailable"
    (line,) = err
    assert "board: cannot install ONNX Runtime: nothing fits its Python and architecture" in line
    assert (real.home / VENV / "bin" / "python").is_symlink()


def test_where_the_board_is_must_be_said(my_board: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _, (line,) = told(capfd, "my-board")
    assert code == 2 and "nothing says where the board of target 'my-board' is; give --ssh" in line
    code, _, (line,) = told(capfd, "host", "--ssh", "board")
    assert code == 2 and "target 'host' is this machine" in line
    code, _, (line,) = told(capfd, "cortex-m7", "--ssh", "board")
    assert code == 2 and "is a microcontroller" in line


def test_another_architecture_is_refused_before_anything_is_made(
    real: RealServer, capfd: pytest.CaptureFixture[str]
) -> None:
    other = "riscv64" if platform.machine() != "riscv64" else "aarch64"
    Path("targets/other.toml").write_text(
        f'schema = 1\ndescription = "Another"\narch = "{other}"\n'
    )
    code, _, (line,) = told(capfd, "other", "--ssh", "board")
    assert code == 1 and f"is {platform.machine()}, and target 'other' is {other}" in line
    assert not (real.home / VENV).exists()


@pytest.mark.parametrize(
    ("step", "said", "line"),
    [
        ("-m venv", "Error: ensurepip is not available", "sudo apt-get install python3-venv"),
        ("-m venv", "OSError: [Errno 28] No space left on device", "no space left to make an env"),
        ("ai-edge-litert", "ERROR: [Errno 28] No space left on device", "no space left to install"),
        ("cd \"$HOME\" && mkdir", "mkdir: Read-only file system", "make an environment (mkdir: R"),
    ],
)  # fmt: skip
def test_faults_of_the_board_are_one_line(
    odd: OddServer,
    my_board: Path,
    capfd: pytest.CaptureFixture[str],
    step: str,
    said: str,
    line: str,
) -> None:
    plain = step.replace('"', "").replace("$", "")

    def answer(command: str) -> tuple[int, str, str] | None:
        bare = command.replace('"', "").replace("'", "").replace("\\", "").replace("$", "")
        if plain in bare:
            return (1, "", said)
        if "pip" in bare or ("venv" in bare and "PIP" not in bare and "json" not in bare):
            return (0, "", "")
        return None

    odd.answer = answer
    my_board.unlink()
    profile = Path("targets/my-board.toml")
    profile.write_text(profile.read_text().replace(', "onnxruntime"', ""))
    code, _, found = told(capfd, "my-board", "--ssh", "board")
    assert code == 1 and len(found) == 1 and line in found[0], found
