"""Engines in child processes: what is asked, and what happens when a child dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from export_nets import mlp, two_ended

from edgeprune.errors import ArtifactError, DataError, MeasurementError, VersionError
from edgeprune.exporting import export_model
from edgeprune.runtimes import ENGINES, Runner, run_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for suffix in ("tflite", "onnx"):
        export_model(mlp(), folder / f"mlp.{suffix}")
        export_model(mlp(), folder / f"four.{suffix}", batch=4)
        export_model(two_ended(), folder / f"two.{suffix}")
    return folder


@pytest.fixture(params=["tflite", "onnx"])
def suffix(request: pytest.FixtureRequest) -> str:
    return request.param


def test_ten_thousand_samples_go_quickly_through_a_file_of_batch_one(
    folder: Path, suffix: str
) -> None:
    x = np.random.default_rng(0).random((10_000, 64), np.float32)
    with Runner(folder / f"mlp.{suffix}") as runner:
        begin = time.perf_counter()
        answer = runner.predict(x)
        taken = time.perf_counter() - begin
    np.testing.assert_allclose(answer[-50:], mlp()(x[-50:]), atol=1e-5)
    assert taken < 10  # a second on an idle machine; a round trip a sample would take ten times


def test_a_number_of_samples_that_the_batch_does_not_divide(folder: Path, suffix: str) -> None:
    x = np.random.default_rng(0).random((10, 64), np.float32)
    answer = run_file(folder / f"four.{suffix}", [x])[0]
    np.testing.assert_allclose(answer, mlp()(x), atol=1e-5)


def test_inputs_go_by_place_by_name_or_by_the_only_order_that_fits(
    folder: Path, suffix: str
) -> None:
    rng = np.random.default_rng(0)
    late, early = rng.random((3, 8)).astype(np.float32), rng.random((3, 4)).astype(np.float32)
    with Runner(folder / f"two.{suffix}") as runner:
        wanted = [runner.inputs[0].name, runner.inputs[1].name]
        by_place = runner.infer([late, early])
        by_name = runner.infer(dict(zip(wanted, (late, early), strict=True)))
        by_shape = runner.infer([early, late])
        several = runner.predict((late, early))
    for other in (by_name, by_shape, list(several)):
        for one, two in zip(by_place, other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((3, 63), np.float32), "takes 64 a sample, the data have 63"),
        (np.zeros((3, 64), np.complex64), "takes float32, the data are complex64"),
        (np.zeros((0, 64), np.float32), "samples"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    folder: Path, suffix: str, x: np.ndarray, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        run_file(folder / f"mlp.{suffix}", [x])
    with pytest.raises(DataError, match="takes 1 inputs, 2 arrays"):
        run_file(folder / f"mlp.{suffix}", [x, x])


def test_facts_are_the_childs_own(folder: Path, suffix: str) -> None:
    ballast = np.ones(300_000_000 // 8)  # must not show in what the child says of itself
    with Runner(folder / f"mlp.{suffix}") as runner:
        runner.prepare([np.zeros((1, 64), np.float32)])
        taken = runner.time(50, 5)
        facts = runner.facts
    assert len(taken) == 50 and min(taken) > 0
    assert 10e6 < facts["baseline_memory_bytes"] < facts["peak_memory_bytes"] < 280e6
    assert facts["load_ns"] > 0 and facts["first_ns"] > 0
    del ballast


def test_a_child_loads_no_framework() -> None:
    program = (
        "import sys, edgeprune.runtimes.worker, edgeprune.runtimes.litert, "
        "edgeprune.runtimes.onnxruntime_;"
        "print([m for m in ('tensorflow', 'keras', 'onnx', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_file_that_its_engine_refuses_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad.{suffix}"
    path.write_bytes(b"no model at all" * 20)
    with pytest.raises(ArtifactError, match=r"bad\.\w+: (LiteRT|ONNX Runtime) fails loading") as e:
        run_file(path, [np.zeros((1, 64), np.float32)])
    assert "\n" not in str(e.value)
    with pytest.raises(ArtifactError, match="no such file"):
        Runner(tmp_path / f"none.{suffix}")


def test_a_child_that_is_killed_is_named_with_its_signal(folder: Path, suffix: str) -> None:
    with Runner(folder / f"mlp.{suffix}") as runner:
        os.kill(runner._link._process.pid, signal.SIGSEGV)
        with pytest.raises(ArtifactError, match=r"mlp\.\w+: .* died .*signal 11 \(SIGSEGV\)"):
            runner.infer([np.zeros((1, 64), np.float32)])
        assert runner._link._process.returncode == -signal.SIGSEGV


def test_a_child_that_gives_no_answer_is_ended(folder: Path) -> None:
    with Runner(folder / "mlp.tflite") as runner:
        runner._timeout = 0.5
        os.kill(runner._link._process.pid, signal.SIGSTOP)
        with pytest.raises(MeasurementError, match=r"no answer in 0\.5 s"):
            runner.infer([np.zeros((1, 64), np.float32)])
        assert runner._link._process.poll() is not None


def test_ctrl_c_leaves_no_child(folder: Path) -> None:
    runner = Runner(folder / "mlp.tflite")
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt), runner:
        runner.prepare([np.zeros((1, 64), np.float32)])
        timer.start()
        runner.time(10**7)
    assert runner._link._process.returncode is not None  # waited for: no zombie


def test_an_engine_that_is_not_installed_is_one_line(
    folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VersionError, match=r"is not installed, .* run: pip install"):
        Runner(folder / f"mlp.{suffix}")
    assert set(ENGINES) == {"litert", "onnxruntime"}


def test_engines_say_nothing_to_the_user(
    folder: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run_file(folder / f"mlp.{suffix}", [np.zeros((1, 64), np.float32)], threads=2)
    assert capfd.readouterr() == ("", "")
