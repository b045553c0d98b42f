"""A Linux board over adb: the real adb, and a real adbd in a network and a home of its own."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adb_parts import MISSING, PARTS, TOOLS, libraries, ready

from edgeprune.benchmarking.boards import python_of
from edgeprune.cli import main
from edgeprune.contracts import BENCH
from edgeprune.errors import DeviceError, LostError
from edgeprune.transports import AdbTransport, FakeTransport, adb, remote
from edgeprune.transports.seam import Done

SERIAL = "127.0.0.1:5555"
QUICK = ("--seconds", "0.3", "--warmup", "1")
Capture = pytest.CaptureFixture[str]


class Board:
    """adbd, which serves this machine as a device, where nobody else sees it; what edgeprune writes
    there goes into ``home``."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        mine = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "edgeprune"
        mine.mkdir(parents=True, exist_ok=True)
        inside = (
            f"ip link set lo up && mount --bind {self.home} {mine} && cd / && "
            f"exec {PARTS / TOOLS}/adbd"
        )
        self.daemon = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", inside],
            env={**os.environ, "LD_LIBRARY_PATH": libraries()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        kept = f"HOME={folder}", f"LD_LIBRARY_PATH={libraries()}", f"{PARTS / TOOLS}/adb"
        enter = ["nsenter", "--net", "--target", str(self.daemon.pid), "env", *kept]
        self.client = shlex.join(enter)
        until = time.monotonic() + 60
        while "connected" not in self.adb("connect", SERIAL):
            assert time.monotonic() < until and self.daemon.poll() is None
            time.sleep(0.1)

    def adb(self, *arguments: str) -> str:
        command = [*shlex.split(self.client), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    def stop(self) -> None:
        if self.daemon.poll() is None:
            self.adb("kill-server")
        self.daemon.kill()
        self.daemon.wait()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    if not ready():
        pytest.skip(MISSING)
    made = Board(tmp_path)
    monkeypatch.setenv(adb.CLIENT, made.client)
    monkeypatch.setattr(remote, "PAUSES", (0.01, 0.01))
    yield made
    made.stop()


def bench(capfd: Capture, *arguments: object) -> tuple[int, str, list[str]]:
    code = main(["bench", *map(str, arguments), "--target", "my-board", "-q"])
    captured = capfd.readouterr()
    return code, captured.out, captured.err.splitlines()


def left(board: Board) -> list[Path]:
    return [path for path in board.home.rglob("*") if path.is_file()]


def test_commands_and_files(board: Board, tmp_path: Path) -> None:
    device = AdbTransport(SERIAL)
    done = device.run(["sh", "-c", "echo said; echo loud >&2; exit 7"])
    assert (done.code, done.stdout, done.last) == (7, b"said\n", "loud")
    assert device.run(["printf", "%s", "a b'\"$HOME"]).stdout == b"a b'\"$HOME"
    odd = tmp_path / "odd.bin"
    odd.write_bytes(bytes(range(256)) * 999)
    place = device.push(odd)
    assert device.push(odd) == place and "/.cache/edgeprune/files/" in place
    device.pull(place, tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == odd.read_bytes()
    with pytest.raises(DeviceError, match="cannot read /no/file"):
        device.pull("/no/file", tmp_path / "x")
    talk = device.talk(["cat"])
    talk.stdin.write(b"\0\r\n\xff")
    talk.stdin.flush()
    assert talk.stdout.read(4) == b"\0\r\n\xff"
    talk.close()
    assert left(board)
    device.clean()
    assert not left(board)
    with pytest.raises(DeviceError, match="no answer in 1 s"):
        device.run(["sleep", "60"], limit=1)


def test_figures_and_outputs(board: Board, models: Path, my_board: Path, capfd: Capture) -> None:
    code, out, err = bench(capfd, models / "a.tflite", "--adb", SERIAL, "--json", *QUICK)
    assert (code, err) == (0, [])
    facts = json.loads(out)
    assert BENCH.validate_json(out).via == "adb" and facts["outputs_match"] is True
    assert facts["latency_ns"] and SERIAL not in out
    until = time.monotonic() + 10
    while left(board):
        assert time.monotonic() < until
        time.sleep(0.05)
    # The list of boards may say it too.
    my_board.write_text(my_board.read_text() + f'adb = "{SERIAL}"\n')
    code, out, _ = bench(capfd, models / "c.onnx", *QUICK)
    assert code == 0 and "Measured on my-board" in out


def test_a_device_that_dies_in_the_middle_is_lost_whatever_adb_says(board: Board) -> None:
    """Its client ends with 0 then, as if the command had come to its end."""
    device = AdbTransport(SERIAL)
    talk = device.talk(["cat"])
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(device.run, ["sleep", "1000.5"])
        until = time.monotonic() + 30
        while not sleeping():
            assert time.monotonic() < until
            time.sleep(0.05)
        board.daemon.kill()
        board.daemon.wait()
        with pytest.raises(LostError, match=r"the connection to 127\.0\.0\.1:5555 broke"):
            going.result(60)
    assert talk.stdout.read(1) == b""
    talk.close()
    while sleeping():
        assert time.monotonic() < until + 30, "the command runs on"
        time.sleep(0.05)


def sleeping() -> bool:
    found = subprocess.run(["pgrep", "-f", "^sleep 1000.5"], capture_output=True, check=False)
    return bool(found.stdout)


def test_faults_are_one_line(
    board: Board, models: Path, my_board: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    code, _, (line,) = bench(capfd, models / "a.tflite", "--adb", "nobody")
    assert code == 1 and "nobody: no such device ('adb devices' lists them)" in line
    code, _, (line,) = bench(capfd, models / "a.tflite", "--via", "adb")
    assert code == 2 and "give --adb SERIAL" in line
    code, _, (line,) = bench(capfd, models / "a.tflite", "--adb", "x", "--ssh", "y")
    assert code == 2 and "two ways to one board" in line
    code, _, (line,) = bench(capfd, models / "a.tflite", "--adb", "x", "--via", "ssh")
    assert code == 2 and "two ways to one board" in line
    monkeypatch.setenv(adb.CLIENT, "no-such-adb")
    code, _, (line,) = bench(capfd, models / "a.tflite", "--adb", SERIAL)
    assert code == 1 and "no no-such-adb on this machine; install it" in line


@pytest.mark.parametrize("serial", ["", "-x", "a b"])
def test_what_is_no_serial_is_refused(serial: str) -> None:
    with pytest.raises(DeviceError, match="is no serial number"):
        AdbTransport(serial)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("error: device unauthorized.", "has not allowed this machine"),
        ("error: device offline", "is offline; reconnect it"),
        ("adb: device 'x' not found", "no such device"),
        ("error: no devices/emulators found", "no such device"),
        ("* failed to start daemon\nadb: cannot connect to daemon", "server does not start"),
        ("adb: something new", "the connection to x broke (adb: something new)"),
    ],
)
def test_what_adb_says_is_understood(said: str, line: str) -> None:
    assert line in str(adb.fault(said, "x"))


def test_an_android_without_python_is_told_what_there_is(tmp_path: Path) -> None:
    phone = FakeTransport(tmp_path, where="SERIAL", via="adb")
    phone.answer("command -v", Done(4, b"", ""))
    with pytest.raises(DeviceError, match="no python3 there, as on every Android; only Linux"):
        python_of(phone, None)
