"""The connection over ssh, against OpenSSH's own server, and against one that misbehaves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from board_servers import OddServer, RealServer

from edgeprune.errors import DeviceError, LostError
from edgeprune.transports import SshTransport, ssh

CACHE = Path(".cache/edgeprune")


@pytest.fixture
def board() -> Iterator[SshTransport]:
    """Made when the server is there."""
    transport = SshTransport("board")
    yield transport
    transport.clean()


def test_commands_end_with_their_own_code_and_words(real: RealServer, board: SshTransport) -> None:
    # A greeting of the login shell is none of what a command says.
    (real.home / ".bashrc").write_text("echo welcome\n")
    done = board.run(["sh", "-c", "echo 'a  b'; echo oh >&2; exit 255"])
    assert (done.code, done.stdout, done.last) == (255, b"a  b\n", "oh")
    assert board.run(["cat"]).stdout == b""
    assert board.run(["no-such-program"]).code == 127
    sockets = Path(board._sockets)
    assert list(sockets.iterdir()), "one connection for all commands"
    board.clean()
    assert not sockets.exists()


def test_a_file_goes_there_once_and_leaves_again(
    real: RealServer, board: SshTransport, tmp_path: Path
) -> None:
    file, again = tmp_path / "a.bin", tmp_path / "b.bin"
    content = os.urandom(300_000)
    file.write_bytes(content)
    again.write_bytes(content)
    place = board.push(file)
    assert Path(place).read_bytes() == content and Path(place).is_relative_to(real.home / CACHE)
    written = Path(place).stat().st_mtime_ns
    assert board.push(again) == place
    # Another session finds it by its digest.
    other = SshTransport("board")
    assert other.push(again) == place and Path(place).stat().st_mtime_ns == written
    back = tmp_path / "back"
    board.pull(place, back)
    assert back.read_bytes() == content
    with pytest.raises(DeviceError, match=r"board: cannot read /no/file \(.*No such file"):
        board.pull("/no/file", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (real.home / "mine").write_text("kept")
    other.clean()
    board.clean()
    assert sorted(p.name for p in real.home.rglob("*")) == [".cache", "mine"]


def test_a_command_beyond_its_time_limit_leaves_nothing_running(
    real: RealServer, board: SshTransport
) -> None:
    started = real.home / "pid"
    line = f"echo $$ > {started}; sleep 987 & sleep 987"
    with pytest.raises(DeviceError, match=r"board: no answer in 2 s to: .*it was given up"):
        board.run(["sh", "-c", line], limit=2)
    gone(int(started.read_text()))


def gone(pid: int) -> None:
    until = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < until, f"process {pid} is left"
        time.sleep(0.05)


def test_who_is_let_in_and_who_answers(real: RealServer) -> None:
    real.keys.use("stranger")
    refused("board: it takes none of your keys; put one there (ssh-copy-id board)")
    real.keys.use("user")
    real.keys.know("other_host")
    refused("board: its host key is not the one that is known (", "/known:1)", "ssh-keygen -R")
    real.keys.know(None)
    refused("board: its host key is not known yet; connect once by hand (ssh board)")
    real.keys.know("host")
    real.stop()
    refused("board: cannot be reached (Connection refused); is it on")
    refused("no.such.host.invalid: no host of that name", where="no.such.host.invalid")


def refused(*parts: str, where: str = "board") -> None:
    transport = SshTransport(where)
    try:
        with pytest.raises(DeviceError) as caught:
            transport.run(["true"])
        assert not isinstance(caught.value, LostError)
        assert "\n" not in str(caught.value)
        for part in parts:
            assert part in str(caught.value)
    finally:
        transport.clean()


def test_a_command_whose_connection_breaks_is_lost_and_not_run_again(
    real: RealServer, board: SshTransport
) -> None:
    import threading

    started = real.home / "pids"

    def soon() -> None:
        while not started.exists():
            time.sleep(0.02)
        real.drop()

    helper = threading.Thread(target=soon)
    helper.start()
    with pytest.raises(LostError, match="the connection to board broke"):
        board.run(["sh", "-c", f"echo $$ >> {started}; sleep 987"])
    helper.join()
    (pid,) = started.read_text().split()
    gone(int(pid))
    assert board.run(["echo", "there"]).stdout == b"there\n"


def test_a_push_is_tried_again_where_the_connection_breaks(odd: OddServer, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 1000)
    answers = ["drop", "drop", None]
    odd.answer = lambda command: answers.pop(0) if "wc -c" in command else None
    board = SshTransport("board")
    assert Path(board.push(file)).read_bytes() == b"x" * 1000 and not answers
    odd.answer = lambda command: "drop" if "wc -c" in command else None
    file.write_bytes(b"y")
    with pytest.raises(LostError):
        board.push(file)
    odd.answer = lambda command: None
    board.clean()
    assert not (odd.home / CACHE).exists()


def test_a_full_disk_is_said_with_what_to_do(odd: OddServer, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 1000)
    odd.answer = lambda command: (
        (71, "", "cat: write error: No space left on device") if "wc -c" in command else None
    )
    board = SshTransport("board")
    with pytest.raises(DeviceError, match=r"board: no space left for a.bin \(1,000 bytes\)"):
        board.push(file)
    odd.answer = lambda command: (
        (70, "", "mkdir: cannot create directory: Read-only file system")
        if "wc -c" in command
        else None
    )
    with pytest.raises(DeviceError, match=r"board: cannot write .*Read-only file system"):
        board.push(file)
    board.clean()


def test_a_server_that_says_nothing_is_given_up(odd: OddServer) -> None:
    odd.answer = lambda command: "hang"
    board = SshTransport("board")
    with pytest.raises(DeviceError, match=r"board: no answer in 1 s to: .*given up"):
        board.run(["true"], limit=1)
    odd.drop()
    board.clean()


@pytest.mark.parametrize("where", ["", "-oProxyCommand=x", "a b"])
def test_what_is_no_address_is_refused(where: str) -> None:
    with pytest.raises(DeviceError, match="is no address of a board; give user@host"):
        SshTransport(where)


def test_a_client_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ssh.CLIENT, "no-such-ssh -F x")
    with pytest.raises(DeviceError, match="no no-such-ssh on this machine; install OpenSSH's"):
        SshTransport("board")
