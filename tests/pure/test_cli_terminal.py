"""What reaches the user's screen: progress in two dresses, never the libraries' chatter."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import time

import pytest
from rich.console import Console

from edgeprune import versions
from edgeprune.cli import bars
from edgeprune.cli.bars import Bar, Lines, seconds
from edgeprune.cli.terminal import Session
from edgeprune.errors import VersionError


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> tuple[Lines, io.StringIO]:
    monkeypatch.setattr(bars, "PATIENCE_S", 0.05)
    monkeypatch.setattr(bars, "HEARTBEAT_S", 0.1)
    file = io.StringIO()
    return Lines(Console(file=file, width=100)), file


def test_short_work_says_nothing(written: tuple[Lines, io.StringIO]) -> None:
    lines, file = written
    with lines.task("score", 3) as task:
        task.advance(3)
    time.sleep(0.1)
    assert file.getvalue() == ""


def test_long_work_says_when_it_starts_goes_on_and_ends(
    written: tuple[Lines, io.StringIO],
) -> None:
    lines, file = written
    with lines.task("fine-tune", 4) as task:
        time.sleep(0.12)
        task.advance(2, note="loss 0.1")
        task.advance(2, note="loss 0.05")
    said = file.getvalue().splitlines()
    assert said[0] == "fine-tune …"
    assert said[1] == "fine-tune 2/4 loss 0.1"
    assert said[2].startswith("fine-tune: done in 0.1 s (loss 0.05)")


def test_work_that_fails_is_not_said_to_be_done(written: tuple[Lines, io.StringIO]) -> None:
    lines, file = written
    with pytest.raises(RuntimeError), lines.task("score", None):
        time.sleep(0.1)
        raise RuntimeError
    assert "done" not in file.getvalue()


def test_bars_on_a_terminal_nest_and_leave_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "PATIENCE_S", 0.0)
    file = io.StringIO()
    bar = Bar(Console(file=file, width=100, force_terminal=True))
    with bar.task("round [1]", 2) as outer:
        with bar.task("score", None) as inner:
            inner.advance(note="[odd]")
        bar.say("a remark [with] brackets")
        outer.advance(2)
    text = file.getvalue()
    for words in ("round [1]", "score", "[odd]", "a remark [with] brackets"):
        assert words in text
    assert "\x1b[?25h" in text  # the cursor is back
    with bar.task("again", 1) as task:
        task.advance()


def test_durations() -> None:
    assert [seconds(value) for value in (0.04, 59.9, 66, 3725)] == [
        "0.0 s",
        "59.9 s",
        "1 min 06 s",
        "1 h 02 min",
    ]


def test_chatter_of_c_and_children_stays_off_the_screen_and_can_be_read() -> None:
    code = """
        import os, subprocess, sys
        from edgeprune.cli.terminal import Session
        session = Session()
        session.hush()
        os.write(2, b"C++ warns\\n")
        os.write(1, b"C++ prints\\n")
        print("python prints")
        subprocess.run([sys.executable, "-c", "import sys; print('child', file=sys.stderr)"])
        session.print("a result")
        session.say("a remark")
        text = session.chatter_text()
        for word in ("C++ warns", "C++ prints", "python prints", "child"):
            assert word in text, word
        session.restore()
        session.print("another result")
        print("and python again")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "a result\nanother result\nand python again\n"
    assert done.stderr == "a remark\n"


def test_quiet_is_silent_but_not_on_errors(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    session.quiet = True
    session.say("x")
    with session.progress.task("score", 1) as task:
        task.advance()
    session.fault("bad")
    session.print_json({"a": 1})
    captured = capsys.readouterr()
    assert captured.err == "edgeprune: bad\n"
    assert captured.out == '{\n  "a": 1\n}\n'


def test_bounds_come_from_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {each.name: each for each in versions.requirements()}
    assert found["tensorflow"].bound.startswith(">=2.")
    assert found["tensorflow"].fits
    assert "pytest" not in found
    versions.check_versions()
    assert versions.versions()["python"] == ".".join(map(str, sys.version_info[:3]))

    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda n: "2.3.0" if n == "tensorflow" else real(n))
    with pytest.raises(VersionError, match=r"tensorflow 2\.3\.0 .*pip install 'tensorflow>=2"):
        versions.check_versions()
    monkeypatch.setattr(versions, "installed", lambda n: None if n == "keras" else real(n))
    with pytest.raises(VersionError, match="keras is not installed"):
        versions.check_versions()


def test_another_build_of_tensorflow_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def version(name: str) -> str:
        if name == "tensorflow-cpu":
            return "2.21.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert versions.installed("tensorflow") == "2.21.0"
    assert versions.installed("numpy") is None


def test_doctor_looks_at_engines_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune.cli import doctor

    monkeypatch.setattr(
        doctor,
        "ENGINES",
        {
            "good": "print('1.0')",
            "absent": "import no_such_module_anywhere",
            "deadly": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
        },
    )
    checks = {check.what: check for check in doctor.examined()}
    assert checks["good loads"].found == "yes 1.0" and checks["good loads"].ok
    assert checks["absent loads"].ok is False
    assert "no_such_module_anywhere" in checks["absent loads"].remedy
    assert checks["deadly loads"].found == "dies with SIGILL"
    assert checks["Python"].ok and checks["numpy"].ok
    assert "GB" in checks["free here"].found
