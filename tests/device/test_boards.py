"""bench on a board over ssh: the figures, the outputs, and every way it goes wrong."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from board_servers import OddServer, RealServer

import edgeprune
from edgeprune.benchmarking import bench_files, boards, connected
from edgeprune.cli import main
from edgeprune.errors import DeviceError, InputError, LostError, VerificationError
from edgeprune.goldens import Golden
from edgeprune.measurements import Measurement, wrong_outputs
from edgeprune.runtimes import run_file
from edgeprune.targets import Target
from edgeprune.transports import FakeTransport

pytestmark = pytest.mark.usefixtures("my_board")
Capture = pytest.CaptureFixture[str]
QUICK = ("--seconds", "0.3", "--warmup", "1")
LONG = ("--seconds", "60", "--runs", "10000000")


def bench(capfd: Capture, *arguments: object) -> tuple[int, str, list[str]]:
    code = main(["bench", *map(str, arguments), "--target", "my-board", "-q"])
    captured = capfd.readouterr()
    return code, captured.out, captured.err.splitlines()


def agents_of(home: Path) -> list[int]:
    """Processes of an agent that was pushed to this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def nothing_left(home: Path) -> None:
    until = time.monotonic() + 10
    while agents_of(home):
        assert time.monotonic() < until, "the agent runs on"
        time.sleep(0.05)
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_figures_and_outputs_of_a_board(real: RealServer, models: Path, capfd: Capture) -> None:
    code, out, err = bench(capfd, models / "a.tflite", "--ssh", "board", "--json", *QUICK)
    assert (code, err) == (0, [])
    facts = json.loads(out)
    assert (facts["via"], facts["emulated"], facts["target"]) == ("ssh", False, "my-board")
    assert facts["outputs_match"] is True and facts["difference"] == 0
    assert len(facts["latency_ns"]) >= 10 and 0 < facts["median_ms"] < 100
    assert facts["load_ms"] > 0 and facts["first_ms"] > 0 and facts["peak_memory_bytes"] > 1e7
    assert facts["device"]["arch"] == platform.machine() and facts["device"]["cpu"]
    assert facts["device"]["python"] == platform.python_version()
    assert facts["conditions"]["cpus"] == sorted(os.sched_getaffinity(0))
    assert "board" not in json.dumps({**facts, "target": ""}), "where it stands is nobody's affair"
    nothing_left(real.home)
    files = [models / name for name in ("a.tflite", "b.tflite", "c.onnx")]
    code, out, _ = bench(capfd, *files, "--ssh", "board", *QUICK)
    assert code == 0 and "Measured on my-board" in out
    assert len(re.findall("outputs as this machine's, within ", out)) == 3
    nothing_left(real.home)


def test_the_list_of_boards_says_where_and_a_target_that_is_not_in_it_is_not_measured(
    real: RealServer, models: Path, my_board: Path, capfd: Capture
) -> None:
    code, _, (line,) = bench(capfd, models / "a.tflite", *QUICK)
    assert code == 1 and "not this machine, and nothing says where its board is" in line
    code, _, (line,) = bench(capfd, models / "a.tflite", "--via", "ssh", *QUICK)
    assert code == 2 and "give --ssh user@host" in line
    my_board.write_text(my_board.read_text() + 'ssh = "board"\n')
    code, out, _ = bench(capfd, models / "a.tflite", "--json", *QUICK)
    assert code == 0 and json.loads(out)["via"] == "ssh"


def test_this_machine_as_the_target(models: Path, capfd: Capture) -> None:
    code, out, _ = bench(capfd, models / "a.tflite", "--via", "local", "--json", *QUICK)
    facts = json.loads(out)
    assert code == 0 and facts["via"] == "local" and facts["outputs_match"] is True
    code, _, (line,) = bench(capfd, models / "a.tflite", "--via", "local", "--ssh", "x@y")
    assert code == 2 and "--ssh names a board, and --via local is this machine" in line


def test_a_wrong_output_is_an_error_and_its_latency_no_result(
    other_engine: RealServer,
    models: Path,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # a row a file
    code, out, err = bench(capfd, models / "a.tflite", "--ssh", "board", "--json", *QUICK)
    facts = json.loads(out)
    assert code == 1 and facts["outputs_match"] is False and facts["difference"] > 1e-3
    assert len(facts["latency_ns"]) >= 10
    for key in ("median_ms", "p90_ms", "p95_ms", "p99_ms", "iqr_ms", "throughput_per_s"):
        assert facts[key]["availability"] == "unavailable"
    assert err == [
        "edgeprune: a.tflite: its outputs on my-board are not those of this machine's engine"
    ]
    code, out, _ = bench(capfd, models / "a.tflite", models / "c.onnx", "--ssh", "board", *QUICK)
    assert code == 1 and "its outputs are wrong, so its latency is kept (--json) and not" in out
    (row,) = [line for line in out.splitlines() if "a.tflite" in line and "litert" in line]
    assert " ms" not in row and "µs" not in row and "–" in row
    code, out, _ = bench(capfd, models / "a.tflite", "--ssh", "board", "--csv", *QUICK)
    assert code == 1 and ",,," in out.splitlines()[1]
    for flags, results in (
        (("--cold", "--runs", "5"), ("load_ms", "first_ms", "load_first_ms")),
        (("--sustained", "2s"), ("first_part_ms", "last_part_ms", "slowdown")),
    ):
        asked = (models / "a.tflite", "--ssh", "board", *flags)
        code, out, (line,) = bench(capfd, *asked, "--json")
        facts = json.loads(out)
        assert code == 1 and "a.tflite: its outputs on my-board are not" in line
        assert all(facts[key]["availability"] == "unavailable" for key in results)
        code, out, _ = bench(capfd, *asked)
        assert code == 1 and "its outputs are wrong, so its latency is kept" in out


def test_cold_starts_minutes_and_profiles_of_a_board(
    real: RealServer, models: Path, capfd: Capture
) -> None:
    files = (models / "a.tflite", models / "c.onnx", "--ssh", "board")
    code, out, err = bench(capfd, *files, "--cold", "--runs", "5", "--json")
    assert (code, err) == (0, [])
    for each in json.loads(out)["measurements"]:
        assert (each["via"], each["cold"], each["outputs_match"]) == ("ssh", True, True)
        assert len(each["first_ns"]) == 5 and 0 < each["first_ms"] < each["load_first_ms"]
        assert each["cache_dropped"] is True or "cache" in each["cache_dropped"]["reason"]
        assert each["device"]["python"] and each["conditions"]["cpus"]
    code, out, _ = bench(capfd, *files[1:], "--sustained", "2s", "--json")
    facts = json.loads(out)
    assert (code, facts["via"], facts["outputs_match"]) == (0, "ssh", True)
    assert facts["curve"][-1]["at_s"] >= 2 and facts["first_part_ms"] > 0
    code, out, _ = bench(capfd, *files[1:], "--profile", "--json")
    facts = json.loads(out)
    assert (code, facts["via"], facts["outputs_match"]) == (0, "ssh", True)
    assert sum("Gemm" in each["op"] or "MatMul" in each["op"] for each in facts["nodes"]) >= 2
    code, out, _ = bench(capfd, *files, "--cold", "--runs", "5")
    assert code == 0 and "Cold starts on my-board" in out
    code, out, _ = bench(capfd, models / "a.tflite", *files[2:], "--profile", "--json")
    facts = json.loads(out)
    assert code == 0 and [each["op"] for each in facts["nodes"]].count("FULLY_CONNECTED") == 2
    code, _, (line,) = bench(capfd, *files, "--sustained", "1s")
    assert code == 2 and "least" in line
    nothing_left(real.home)


def test_a_file_that_the_engine_there_refuses(
    other_engine: RealServer, models: Path, capfd: Capture
) -> None:
    other_engine.stop()
    other_engine.environment["REFUSE"] = "1"
    other_engine.start()
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board", *QUICK)
    assert code == 2 and "a.tflite: LiteRT 2." in line
    assert "on board fails loading it (ValueError: Didn't find op" in line
    nothing_left(other_engine.home)


def test_a_board_that_lacks_something_is_told_how_to_get_it(
    real: RealServer, models: Path, my_board: Path, tmp_path: Path, capfd: Capture
) -> None:
    bare = tmp_path / "bare"
    command = [sys.executable, "-m", "venv", "--without-pip", str(bare)]
    subprocess.run(command, check=True)
    my_board.write_text(f'[devices.my-board]\nssh = "board"\npython = "{bare}/bin/python"\n')
    code, _, (line,) = bench(capfd, models / "a.tflite")
    assert code == 1
    assert re.search(
        r"board: its Python 3\.\d+\.\d+ \(.*\) has no numpy; run: edgeprune targets", line
    )
    assert line.endswith("prepare my-board --ssh board")
    folder = next(bare.glob("lib/python3*/site-packages")) / "numpy"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    code, _, (line,) = bench(capfd, models / "a.tflite")
    assert code == 1 and "has no LiteRT; run: edgeprune targets prepare my-board" in line
    my_board.write_text('[devices.my-board]\nssh = "board"\npython = "/no/python"\n')
    code, _, (line,) = bench(capfd, models / "a.tflite")
    assert code == 1 and "board: has no Python /no/python; correct its path" in line
    nothing_left(real.home)


def test_no_python_there_and_one_that_is_too_old(
    odd: OddServer, models: Path, my_board: Path, capfd: Capture
) -> None:
    my_board.unlink()
    odd.answer = lambda command: (4, "", "") if "command -v" in command else None
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and "board: no python3 there; install Python 3.9 or newer" in line
    old = '["/usr/bin/python3", 3, 7]'
    odd.answer = lambda command: (0, old, "") if "command -v" in command else None
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and "board: its Python (/usr/bin/python3) is 3.7, and 3.9 is the" in line


def test_another_machine_than_the_target_is(real: RealServer, models: Path, capfd: Capture) -> None:
    other = "riscv64" if platform.machine() != "riscv64" else "aarch64"
    profile = Path("targets/my-board.toml")
    profile.write_text(profile.read_text().replace(platform.machine(), other))
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and f"board: is {platform.machine()}, and target 'my-board' is {other}" in line


def test_a_board_in_use_is_left_alone(
    real: RealServer, models: Path, tmp_path: Path, capfd: Capture
) -> None:
    with (tmp_path / "lock").open("w") as lock:
        lock.write("ann on laptop")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and "board is in use (by ann on laptop), and two measurements" in line
    nothing_left(real.home)


@pytest.mark.parametrize(
    ("key", "line"),
    [("stranger", "it takes none of your keys"), ("other_host", "its host key is not the one")],
)
def test_faults_of_the_connection_are_one_line(
    real: RealServer, models: Path, capfd: Capture, key: str, line: str
) -> None:
    real.keys.know(key) if key.endswith("host") else real.keys.use(key)
    code, _, (said,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and f"board: {line}" in said
    real.keys.know("host")
    real.keys.use("user")
    real.stop()
    code, _, (said,) = bench(capfd, models / "a.tflite", "--ssh", "board")
    assert code == 1 and "board: cannot be reached (Connection refused)" in said


def once_it_times(home: Path, act: object) -> threading.Thread:
    """Do something when an engine's child has run for a while."""

    def wait() -> None:
        while len(agents_of(home)) < 2:
            time.sleep(0.05)
        time.sleep(0.7)
        act()  # type: ignore[operator]

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_connection_that_breaks_is_no_measurement(
    real: RealServer, models: Path, capfd: Capture
) -> None:
    waiting = once_it_times(real.home, real.drop)
    code, out, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board", "--json", *LONG)
    waiting.join()
    assert code == 1 and not out
    assert "the connection to board broke" in line
    assert line.endswith("it answers again; measure again")
    nothing_left(real.home)


@pytest.mark.parametrize("after", ["anew", "away"])
def test_a_board_that_starts_anew_or_stays_away(
    odd: OddServer, models: Path, capfd: Capture, after: str
) -> None:
    def gone() -> None:
        if after == "anew":
            odd.answer = lambda c: (0, "another boot\n", "") if "boot_id" in c else None
        else:
            odd.answer = lambda command: "drop"
        odd.drop()

    waiting = once_it_times(odd.home, gone)
    code, _, (line,) = bench(capfd, models / "a.tflite", "--ssh", "board", *LONG)
    waiting.join()
    assert code == 1 and "the connection to board broke" in line
    wanted = {"anew": "it has started anew meanwhile", "away": "it does not answer now"}[after]
    assert wanted in line
    odd.answer = lambda command: None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_edgeprune_killed_in_the_middle_leaves_nothing_running(
    real: RealServer, models: Path, number: int
) -> None:
    asked = ["bench", str(models / "a.tflite"), "--target", "my-board", "--ssh", "board", *LONG]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeprune", *asked],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    once_it_times(real.home, lambda: process.send_signal(number)).join(60)
    process.wait(30)
    until = time.monotonic() + 10
    while agents_of(real.home):
        assert time.monotonic() < until, "the agent runs on"
        time.sleep(0.05)
    if number == signal.SIGINT:
        nothing_left(real.home)


def test_a_connection_that_breaks_before_anything_was_timed_is_made_again(
    models: Path, tmp_path: Path
) -> None:
    target = Target.load("my-board")
    fake = FakeTransport(tmp_path / "there")
    broke = LostError("the connection to fake broke")
    fake.fail("talk", broke, broke)
    with connected(target, fake, python=sys.executable) as board:
        (found,) = bench_files(
            [models / "a.tflite"], target, place=board, runs=10, seconds=0.2, warmup=1
        )
    assert found.outputs_match and fake.cleaned
    assert [method for method, _ in fake.calls].count("talk") == 3
    fake.fail("run", broke, broke, broke)
    with (
        pytest.raises(LostError, match="the connection to fake broke"),
        connected(target, fake, python=sys.executable),
    ):
        pass


def test_a_board_answers_golden_inputs_as_the_model_does_or_is_wrong(
    models: Path, tmp_path: Path
) -> None:
    target, fake = Target.load("my-board"), FakeTransport(tmp_path / "there")
    inputs = np.random.default_rng(3).random((5, 16), np.float32)
    right = run_file(models / "a.tflite", [inputs])
    off = tuple(each + 0.01 * np.abs(each).max() for each in right)
    about = [Golden((inputs,), tuple(right)), Golden((inputs,), off), Golden((inputs,), off, 0.02)]
    with connected(target, fake, python=sys.executable) as board:
        found = bench_files(
            [models / "a.tflite"] * 3, target, place=board, golden=about,
            runs=10, seconds=0.2, warmup=1,
        )  # fmt: skip
    assert [each.outputs_match for each in found] == [True] * 3
    assert [each.model_match for each in found] == [True, False, True]
    assert [each.wrong for each in found] == [False, True, False]
    assert found[1].model_difference == pytest.approx(0.01, rel=0.1)
    facts = found[1].facts()
    assert facts["median_ms"]["availability"] == "unavailable" and facts["latency_ns"]
    assert "are not those of its model" in wrong_outputs(facts)
    assert (
        Measurement.from_facts(facts).wrong and not Measurement.from_facts(found[0].facts()).wrong
    )


def test_from_python_a_board_is_timed_and_a_wrong_one_is_an_error(
    other_engine: RealServer, models: Path
) -> None:
    with pytest.raises(VerificationError, match=r"a\.tflite: its outputs on my-board are not"):
        edgeprune.bench(models / "a.tflite", "my-board", ssh="board", runs=10)
    found = edgeprune.bench(models / "c.onnx", "my-board", ssh="board", runs=10)
    assert (found.via, found.outputs_match) == ("ssh", True)
    with pytest.raises(InputError, match="'host' is this machine"):
        edgeprune.bench(models / "c.onnx", ssh="board")


def test_a_full_disk_is_said_and_the_board_is_free_again(models: Path, tmp_path: Path) -> None:
    target = Target.load("my-board")
    fake = FakeTransport(tmp_path / "there")
    with (
        pytest.raises(DeviceError, match="no space left for a"),
        connected(target, fake, python=sys.executable) as board,
    ):
        fake.fail("push", DeviceError("fake: no space left for a"))
        board.runner(models / "a.tflite", threads=1)
    assert fake.talks[0].wait(5) is not None
    with connected(target, fake, python=sys.executable) as board:
        assert np.isfinite(board.state().at_s) and board.device()["cores"]


def test_what_a_board_tells_of_itself_is_understood_as_this_machines_is(tmp_path: Path) -> None:
    from edgeprune.benchmarking.places import HERE

    fake = FakeTransport(tmp_path / "there")
    with connected(Target.load("my-board"), fake, python=sys.executable) as board:
        here, there = HERE.state(), board.state()
        assert (there.governor, there.throttled) == (here.governor, here.throttled)
        for name in ("clock_mhz", "temperature_c", "load", "waited_s", "stolen_s"):
            one, other = getattr(here, name), getattr(there, name)
            assert (one is None) == (other is None), name
        assert board.cpus() == HERE.cpus()
        device = HERE.device()
        model = Path(boards.MODEL)
        if not model.exists():
            assert board.device()["cpu"] == device["cpu"]
        assert board.device()["arch"] == device["arch"]
