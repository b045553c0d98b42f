"""Measurements: raw, in turns, of this machine only."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_nets import mlp, two_ended

import edgeprune
from edgeprune.benchmarking import ROUNDS, bench_files, ratio, unreachable
from edgeprune.benchmarking.cold import bench_cold
from edgeprune.cli import main
from edgeprune.contracts import BENCH, Cold
from edgeprune.errors import ArtifactError, InputError, MeasurementError, VerificationError
from edgeprune.exporting import export_model, export_variant
from edgeprune.goldens import Golden
from edgeprune.measurements import Measurement
from edgeprune.runtimes import Runner
from edgeprune.runtimes.caches import drop_cached
from edgeprune.targets import Target

HOST = Target.load("host")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    export_model(mlp(0.95, block=4), folder / "dense.tflite")
    export_model(mlp(0.95, block=4), folder / "sparse.tflite", sparse=True)
    export_model(two_ended(), folder / "two.onnx")
    return folder


def test_a_measurement_has_raw_samples_and_where_they_came_from(folder: Path) -> None:
    files = [folder / "dense.tflite", folder / "two.onnx"]
    dense, two = bench_files(files, HOST, threads=2)
    assert (dense.runtime, two.runtime) == ("litert", "onnxruntime")
    assert (dense.file, dense.target, dense.threads) == ("dense.tflite", "host", 2)
    for found in (dense, two):
        assert len(found.latency_ns) >= 50 and len(found.latency_ns) % ROUNDS == 0
        assert 0 < found.median_ms <= found.p95_ms and found.iqr_ms >= 0
        assert 0 < found.baseline_memory_bytes < found.peak_memory_bytes
        assert found.load_ns > 0 and found.first_ns > 0 and found.runtime_version[0].isdigit()
        assert found.device["cpu"] and found.device["system"] and found.device["cores"]
    # Microseconds: fifty of them would say nothing.
    assert len(dense.latency_ns) > 500


def test_files_take_turns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    timed = Runner.time

    def watched(self: Runner, runs: int, warmup: int = 0) -> list[int]:
        seen.append(self.path.name[0])
        return timed(self, runs, warmup)

    monkeypatch.setattr(Runner, "time", watched)
    bench_files([folder / "dense.tflite", folder / "sparse.tflite"], "host")
    # First each warms up; then they take turns to the end, however many rounds there are.
    turns = "".join(seen)[-2 * ROUNDS :]
    assert turns == "ds" * ROUNDS
    assert seen.count("d") > ROUNDS + 1


def test_a_ratio_is_of_paired_rounds_and_of_one_machine(folder: Path) -> None:
    dense, again = bench_files([folder / "dense.tflite", folder / "dense.tflite"], HOST)
    assert 0.5 < ratio(dense, again) < 2
    assert ratio(dense, replace(again, latency_ns=tuple(2 * np.array(dense.latency_ns)))) == 0.5
    # A drift that both went through cancels out.
    drift = np.repeat(np.arange(1, ROUNDS + 1), 5)
    one, other = (
        replace(dense, latency_ns=tuple(300 * drift)),
        replace(dense, latency_ns=tuple(100 * drift)),
    )
    assert ratio(one, other) == 3
    with pytest.raises(MeasurementError, match="another threads"):
        ratio(dense, replace(again, threads=4))


def script(monkeypatch: pytest.MonkeyPatch, times: Callable[[int], int]) -> list[int]:
    """Let inferences take what ``times`` says of the k-th call of :meth:`Runner.time`."""
    calls: list[int] = []

    def timed(self: Runner, runs: int, warmup: int = 0) -> list[int]:
        calls.append(runs)
        self.elapsed_ns += runs * times(len(calls))
        return [times(len(calls))] * runs

    monkeypatch.setattr(Runner, "time", timed)
    return calls


def test_it_warms_up_until_it_stands_still(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first ten calls fall from 3 ms to 1 ms; then nothing moves.
    calls = script(monkeypatch, lambda call: 10**6 * max(1, 3 - call // 4))
    (found,) = bench_files([folder / "two.onnx"], HOST)
    assert found.steady and found.stopped == "interval" and found.rounds == ROUNDS
    assert found.warmup_runs == sum(calls[:-ROUNDS]) + 1
    assert len(calls) >= 8 + 4 + ROUNDS  # the last fall, and five windows without one
    assert set(found.latency_ns) == {10**6}
    assert found.throughput_per_s == 1000


def test_it_goes_on_until_the_median_is_known_or_time_is_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda call: 10**6 * (1 + call % 2))
    (found,) = bench_files([folder / "two.onnx"], HOST, seconds=0.05)
    assert found.steady is False and found.stopped in ("time", "rounds")
    assert found.rounds > ROUNDS and len(found.latency_ns) % found.rounds == 0
    assert found.interval is not None and found.interval.half_width > 0.02


def test_a_batch_is_measured_and_its_answers_compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "dense.tflite"
    one, many = (bench_files([file], HOST, batch=batch, seconds=0.1)[0] for batch in (None, 16))
    assert (one.batch, many.batch) == (1, 16)
    assert many.median_ms > one.median_ms
    assert many.throughput_per_s == pytest.approx(16 * len(many.latency_ns) / many.elapsed_ns * 1e9)
    assert sum(many.latency_ns) < many.elapsed_ns  # the clock is around them all
    with pytest.raises(ArtifactError, match=r"two.onnx: takes batches of 1, not of 3 \(ONNX Runt"):
        bench_files([folder / "two.onnx"], HOST, batch=3)
    answers = Runner.prepare
    monkeypatch.setattr(Runner, "prepare", lambda *given: [a + 1 for a in answers(*given)])
    with pytest.raises(ArtifactError, match="its answers are others then"):
        bench_files([file], HOST, batch=3)


def test_cold_starts_are_fresh_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [folder / "dense.tflite", folder / "two.onnx"]
    started = []
    start = Runner.__init__
    monkeypatch.setattr(
        Runner,
        "__init__",
        lambda self, path, **given: started.append(path.name) or start(self, path, **given),
    )
    dense, two = bench_cold(files, HOST, runs=5, threads=2)
    assert started == ["dense.tflite", "two.onnx"] * 5
    for found in (dense, two):
        facts = found.facts()
        assert facts["cold"] and len(facts["load_ns"]) == len(facts["first_ns"]) == 5
        assert 0 < facts["first_ms"] < facts["load_first_ms"] and facts["threads"] == 2
        assert facts["cache_dropped"] is True or facts["cache_dropped"]["reason"]
    assert two.runtime == "onnxruntime" and two.peak_memory_bytes > 10e6


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no file system in memory")
def test_a_cache_that_cannot_be_dropped_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".tflite") as kept:
        kept.write((folder / "dense.tflite").read_bytes())
        kept.flush()
        # A file system in memory has its files nowhere else.
        assert "stay in the system's cache" in drop_cached(Path(kept.name))
        (found,) = bench_cold([Path(kept.name)], HOST, runs=5)
        assert "stay in" in found.facts()["cache_dropped"]["reason"]
    monkeypatch.delattr(os, "posix_fadvise")
    assert "no call" in drop_cached(folder / "dense.tflite")


def test_the_verb_prints_one_object_or_several_or_csv(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, other = str(folder / "dense.tflite"), str(folder / "two.onnx")
    quick = ["--seconds", "0.1", "-q"]
    assert main(["bench", file, "--json", "--threads", "2", *quick]) == 0
    one = BENCH.validate_json(out := capfd.readouterr().out) and json.loads(out)
    assert {
        "schema", "target", "via", "emulated", "figures", "runtime", "runtime_version", "threads",
        "latency_ns", "median_ms", "p90_ms", "p95_ms", "p99_ms", "iqr_ms", "throughput_per_s",
        "load_ms", "first_ms", "peak_memory_bytes", "conditions", "valid", "doubts", "source",
    } <= set(one)  # fmt: skip
    assert (one["via"], one["emulated"], one["threads"]) == ("local", False, 2)
    assert one["source"]["edgeprune"] and one["valid"] == (not one["doubts"])
    assert Measurement.from_facts(one).median_ms == one["median_ms"]
    assert main(["bench", file, other, "--json", *quick]) == 0
    several = BENCH.validate_json(out := capfd.readouterr().out) and json.loads(out)
    assert [each["file"] for each in several["measurements"]] == ["dense.tflite", "two.onnx"]
    (beside,) = several["comparisons"]
    assert beside["paired"] and beside["after"]["file"] == "two.onnx"
    assert beside["low"] <= beside["ratio"] <= beside["high"]
    assert main(["bench", file, other, "--csv", *quick]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert [row["file"] for row in rows] == ["dense.tflite", "two.onnx"]
    assert float(rows[0]["low_ms"]) <= float(rows[0]["median_ms"]) <= float(rows[0]["high_ms"])
    assert main(["bench", file, "--cold", "--runs", "5", "-q"]) == 0
    assert "Cold starts" in capfd.readouterr().out
    assert main(["bench", file, "--cold", "--runs", "5", "-q", "--json"]) == 0
    assert isinstance(BENCH.validate_json(capfd.readouterr().out), Cold)


def test_golden_inputs_beside_a_file_are_what_it_is_asked(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dense.tflite"
    path.write_bytes((folder / "dense.tflite").read_bytes())
    with Runner(path) as runner:
        x = np.random.default_rng(1).random((4, *runner.inputs[0].shape[1:]), np.float32)
        (right,) = runner.infer([x])
    Golden((x,), (right,)).save(tmp_path / "golden.npz")
    asked = ["bench", str(path), "--seconds", "0.1", "-q", "--json"]
    assert main(asked) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["model_match"] is True and facts["model_difference"] == 0
    assert facts["outputs_match"]["availability"] == "unavailable"
    Golden((x,), (right + 1,)).save(tmp_path / "golden.npz")
    for flags in ([], ["--cold", "--runs", "5"]):
        assert main([*asked, *flags] if not flags else [*asked[:2], *flags, "-q", "--json"]) == 1
        captured = capfd.readouterr()
        assert BENCH.validate_json(captured.out).model_match is False
        assert "its outputs on host are not those of its model" in captured.err
    with pytest.raises(VerificationError, match="are not those of its model; its latency is no"):
        edgeprune.bench(path, runs=10)
    Golden((x[:, :3],), (right,)).save(tmp_path / "golden.npz")
    assert main(asked) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "dense.tflite: input" in line and "the data have 3" in line


def test_golden_inputs_of_a_file_of_whole_numbers_are_real_ones(tmp_path: Path) -> None:
    model, path = mlp(), tmp_path / "int8.tflite"
    x = np.random.default_rng(1).random((64, *model.inputs[0].shape[1:]), np.float32)
    export_variant(model, path, "int8", calibration=[x])
    right = np.asarray(model(x[:8]))
    for off, measure, match in ((0.0, "rms", True), (0.5, "rms", False), (0.5, "relative", False)):
        wrong = right + off * np.abs(right).max()
        Golden((x[:8],), (wrong,), 0.1, measure).save(tmp_path / "golden.npz")
        (found,) = bench_files([path], HOST, runs=10, seconds=0.1)
        assert found.model_match is match
        # By half of the largest, which is then larger itself, but for what is rounded away.
        assert found.model_difference == pytest.approx(off / (1 + off), abs=0.1)


def test_what_is_saved_is_compared_and_makes_a_history(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, results, junit = str(folder / "dense.tflite"), tmp_path / "results", tmp_path / "j.xml"
    asked = ["bench", file, "--seconds", "0.1", "--save", str(results), "-q"]
    for _ in range(2):
        assert main([*asked, "--report", f"junit={junit}"]) == 0
    assert 'tests="1" failures="0"' in junit.read_text()
    first, second = sorted(results.glob("bench-*.json"))
    capfd.readouterr()
    assert main(["bench", "--compare", str(first), str(second), "--json"]) == 0
    (found,) = json.loads(capfd.readouterr().out)["comparisons"]
    assert not found["paired"] and found["low"] <= found["ratio"] <= found["high"]
    assert main(["bench", "history", str(results), "--max-slowdown", "1", "--json"]) == 4
    (series,) = json.loads(capfd.readouterr().out)["series"]
    assert [each["saved"] for each in series["entries"]] == [str(first), str(second)]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--csv", "--json"], "give one"),
        (["--cold", "--seconds", "3"], "not --seconds"),
        (["--cold", "--warmup", "3"], "not --warmup"),
        (["--runs", "4"], "--runs"),
        (["--runs", "8"], "runs = 8"),
        (["--seconds", "0"], "--seconds"),
        (["--via", "qemu", "--target", "raspberry-pi-4", "--batch", "2"], "times nothing"),
        (["--via", "qemu", "--target", "raspberry-pi-4", "--start-below", "50"], "times nothing"),
        (["--via", "qemu", "--target", "raspberry-pi-4", "--warmup", "10"], "times nothing"),
        (["--target", "cortex-m7", "--cold"], "--cold is of timed runs; nothing is timed on cor"),
        (["--target", "host", "--target", "cortex-m7", "--runs", "9"], "timed on cortex-m7"),
        (["--target", "cortex-m7", "--save", "r"], "--save keeps what was timed"),
        (["--target", "cortex-m7", "--csv"], "--csv is of what is timed"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    folder: Path, capfd: pytest.CaptureFixture[str], flags: list[str], word: str
) -> None:
    assert main(["bench", str(folder / "dense.tflite"), *flags]) == 2
    assert word in capfd.readouterr().err


def test_a_target_that_is_not_here_is_not_measured(folder: Path) -> None:
    board = Target.load("raspberry-pi-4")
    assert unreachable(HOST) is None
    assert "not this machine" in (unreachable(board) or "")
    with pytest.raises(MeasurementError, match=r"^not measured: target 'raspberry-pi-4'"):
        bench_files([folder / "dense.tflite"], board)


def test_what_cannot_be_timed_is_said(folder: Path, tmp_path: Path) -> None:
    file = folder / "dense.tflite"
    with pytest.raises(InputError, match="runs = 9"):
        bench_files([file], HOST, runs=9)
    with pytest.raises(InputError, match="batch = 0"):
        bench_files([file], HOST, batch=0)
    with pytest.raises(InputError, match="seconds = 0"):
        bench_files([file], HOST, seconds=0)
    with pytest.raises(InputError, match="runs = 4"):
        bench_cold([file], HOST, runs=4)
    with pytest.raises(InputError, match="no file"):
        bench_cold([], HOST)
    with pytest.raises(MeasurementError, match="not this machine"):
        bench_cold([file], Target.load("raspberry-pi-4"))
    with pytest.raises(InputError, match="no file"):
        bench_files([], HOST)
    with pytest.raises(InputError, match="threads = 0"):
        bench_files([file], HOST, threads=0)
    with pytest.raises(ArtifactError, match="no such file"):
        bench_files([tmp_path / "none.onnx"], HOST)
