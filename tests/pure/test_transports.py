"""Connections without one: where a board stands, what a shell answered, what ssh says, the fake."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.benchmarking.reaching import way_of
from edgeprune.errors import DeviceError, InputError, Interrupted, LostError, RecipeError
from edgeprune.targets import Target
from edgeprune.transports import (
    Board,
    Breakable,
    FakeTransport,
    LocalTransport,
    addressed,
    board_of,
    boards_file,
)
from edgeprune.transports.seam import Done
from edgeprune.transports.shells import read, script, watched
from edgeprune.transports.ssh_faults import fault


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("EDGEPRUNE_SSH", "EDGEPRUNE_SSH_RASPBERRY_PI_4"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    boards_file().parent.mkdir()
    return boards_file()


def test_the_command_line_comes_before_the_environment_and_that_before_the_list(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board_of("raspberry-pi-4").ssh is None
    config.write_text('[devices.raspberry-pi-4]\nssh = "pi@listed"\npython = "/opt/python"\n')
    assert board_of("raspberry-pi-4").ssh == "pi@listed"
    assert board_of("raspberry-pi-5").ssh is None
    monkeypatch.setenv("EDGEPRUNE_SSH", "pi@any")
    assert board_of("raspberry-pi-4").ssh == board_of("raspberry-pi-5").ssh == "pi@any"
    # Beside another board it could be either.
    assert board_of("raspberry-pi-5", alone=False).ssh is None
    monkeypatch.setenv("EDGEPRUNE_SSH_RASPBERRY_PI_4", "pi@own")
    assert board_of("raspberry-pi-4").ssh == "pi@own"
    found = board_of("raspberry-pi-4", "pi@said")
    assert (found.ssh, found.python) == ("pi@said", "/opt/python")


def test_an_address_is_of_one_board() -> None:
    boards = ["raspberry-pi-4", "pixel-8"]
    assert addressed([], boards) == {}
    assert addressed(["pi@kitchen"], boards[:1]) == {"raspberry-pi-4": "pi@kitchen"}
    both = ["pixel-8=ssh://a@b:22", "raspberry-pi-4=pi@kitchen"]
    assert addressed(both, boards) == dict(each.split("=") for each in both)


@pytest.mark.parametrize(
    ("given", "boards", "fault"),
    [
        (["pi@x"], ["a", "b"], "--ssh pi@x: of a, b; write --ssh TARGET=pi@x"),
        (["pi@x"], [], "no target here is a board"),
        (["pixel=x"], ["pixel-8"], "no board 'pixel' is asked for; did you mean 'pixel-8'?"),
        (["zzz=x"], ["a", "b"], "boards are a, b"),
        (["a=x", "a=y"], ["a", "b"], "--ssh gives a two addresses, x and y"),
    ],
)
def test_an_address_that_is_of_none_or_of_several_is_refused(
    given: list[str], boards: list[str], fault: str
) -> None:
    with pytest.raises(InputError) as caught:
        addressed(given, boards)
    assert fault in str(caught.value)


def test_a_connection_that_is_given_up_wakes_who_waits_and_begins_nothing(tmp_path: Path) -> None:
    fake = FakeTransport(tmp_path / "there")
    broken = Breakable(fake)
    talk = broken.talk(["cat"])
    broken.give_up()
    assert talk.stdout.read(1) == b"" and talk.wait(5) is not None
    for begin in (broken.run, broken.talk):
        with pytest.raises(Interrupted, match="fake was given up"):
            begin(["true"])
    with pytest.raises(Interrupted):
        broken.push(tmp_path / "x")
    with pytest.raises(Interrupted):
        broken.pull("x", tmp_path / "x")
    broken.clean()
    assert fake.cleaned and [what for what, _ in fake.calls] == ["talk"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[devices.a]\nshh = 'pi@a'\n", "unknown key 'devices.a.shh'; did you mean"),
        ("[device.a]\nssh = 'pi@a'\n", "unknown key 'device'; did you mean 'devices'?"),
        ("[devices.a]\nssh = 3\n", "'devices.a.ssh' must be a string, not 3"),
        ("schema = 2\n", "'schema' must be at most 1, not 2"),
        ("[devices\n", "line 1, column 9: not TOML"),
    ],
)
def test_faults_of_the_list_are_lines_with_its_name(config: Path, text: str, fault: str) -> None:
    config.write_text(text)
    with pytest.raises(RecipeError) as caught:
        board_of("a")
    (line,) = caught.value.lines
    assert line.startswith(f"{config}: ") and fault in line


def ran(line: str, feed: bytes = b"") -> tuple[bytes, str]:
    done = subprocess.run(["sh", "-c", line], input=feed, capture_output=True, check=False)
    return done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    ("connection", "said", "way"),
    [
        ("ssh", {"ssh": "pi@a", "adb": "1"}, "ssh"),
        ("adb", {"ssh": "pi@a", "adb": "1"}, "adb"),
        ("none", {"ssh": "pi@a", "adb": "1"}, "ssh"),
        ("adb", {"ssh": "pi@a"}, "ssh"),
        ("ssh", {"adb": "1"}, "adb"),
        ("adb", {}, None),
    ],
)
def test_a_profile_says_the_way_where_the_list_has_two(
    tmp_path: Path, connection: str, said: dict[str, str], way: str | None
) -> None:
    profile = tmp_path / "a.toml"
    profile.write_text(
        f'schema = 1\ndescription = "A"\narch = "aarch64"\nconnection = "{connection}"\n'
    )
    assert way_of(Target.load(profile), Board(**said)) == way
    assert way_of(Target.load("host"), Board(**said)) is None


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=3))
@settings(max_examples=25, deadline=None)
def test_every_argument_comes_through_a_shell_as_it_is(arguments: list[str]) -> None:
    commands = shlex.join(["printf", "<%s>", *arguments])
    out, said = ran("echo welcome; " + script(commands, "marker"))
    done = read(out, said, "marker")
    assert done is not None and done.code == 0
    wanted = "".join(f"<{each}>" for each in arguments) if arguments else "<>"
    assert done.stdout.decode() == wanted


@pytest.mark.parametrize("code", [0, 1, 137, 255])
def test_the_exit_code_is_the_commands_own(code: int) -> None:
    out, said = ran(script(f"echo out; echo err >&2; exit {code}", "marker"))
    assert read(out, said, "marker") == Done(code, b"out\n", "err\n")


def test_what_did_not_come_to_its_end_is_nothing() -> None:
    out, said = ran(script("kill -9 $$; sleep 1", "marker"))
    assert read(out, said, "marker") is None
    assert read(b"", "", "marker") is None
    # What a program prints is not taken for the end of another.
    assert read(b"marker\n", "other 0\n marker 0\n", "marker") is None


def test_a_watched_command_ends_with_its_connection_and_only_then() -> None:
    line = script(watched("echo begun; sleep 60"), "marker")
    process = subprocess.Popen(
        ["sh", "-c", line],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == [b"marker\n", b"begun\n"]
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(5) == -9
    assert process.stdout.read() == b"", "the sleep holds the pipe no more"


def test_a_line_of_ssh_that_nobody_knows_is_a_connection_that_broke() -> None:
    found = fault("debug1: x\nclient_loop: send disconnect: Broken pipe\n", "pi@a")
    assert isinstance(found, LostError)
    assert str(found).startswith("the connection to pi@a broke (client_loop: send disconnect")
    assert isinstance(fault("", "pi@a"), LostError)
    bad = fault("/x/config: line 1: Bad configuration option: hots\n", "pi@a")
    assert not isinstance(bad, LostError) and "does not take its configuration" in str(bad)


def test_this_machine_as_a_device(tmp_path: Path) -> None:
    here = LocalTransport()
    assert here.run(["sh", "-c", "echo a; echo b >&2; exit 3"]) == Done(3, b"a\n", "b\n")
    assert here.run(["no-such-program"]).code == 127
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=r"this machine: sh gave no answer in 0.2 s"):
        here.run(["sh", "-c", "sleep 60 & sleep 60"], limit=0.2)
    assert time.monotonic() - begin < 10
    file = tmp_path / "a"
    file.write_bytes(b"content")
    here.pull(here.push(file), tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"
    here.clean()
    assert file.exists()
    for call in (lambda: here.push(tmp_path / "c"), lambda: here.pull("/no/c", tmp_path / "d")):
        with pytest.raises(DeviceError):
            call()


def test_the_fake_fails_when_it_is_told_to_and_says_what_was_asked(tmp_path: Path) -> None:
    fake = FakeTransport(tmp_path)
    file = tmp_path / "a.bin"
    file.write_bytes(b"x")
    fake.fail("push", LostError("gone"))
    with pytest.raises(LostError, match="gone"):
        fake.push(file)
    place = Path(fake.push(file))
    assert place == Path(fake.push(file)) and place.read_bytes() == b"x"
    fake.answer("uname", Done(0, b"aarch64\n", ""))
    assert fake.run(["uname", "-m"]).stdout == b"aarch64\n"
    talk = fake.talk(["cat"])
    talk.stdin.write(b"hello\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == b"hello\n"
    talk.close()
    assert talk.wait(0) == 0
    fake.clean()
    assert fake.cleaned and not place.exists()
    assert [method for method, _ in fake.calls] == ["push", "push", "push", "run", "talk"]
