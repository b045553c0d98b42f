"""Measurements: raw, in turns, of this machine only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from export_nets import mlp, two_ended

from edgeprune.benchmarking import ROUNDS, bench_files, ratio, unreachable
from edgeprune.errors import ArtifactError, InputError, MeasurementError
from edgeprune.exporting import export_model
from edgeprune.runtimes import Runner
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
    assert "".join(seen[2:]) == "ds" * ROUNDS


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


def test_a_target_that_is_not_here_is_not_measured(folder: Path) -> None:
    board = Target.load("raspberry-pi-4")
    assert unreachable(HOST) is None
    assert "not this machine" in (unreachable(board) or "")
    with pytest.raises(MeasurementError, match=r"^not measured: target 'raspberry-pi-4'"):
        bench_files([folder / "dense.tflite"], board)


def test_what_cannot_be_timed_is_said(folder: Path, tmp_path: Path) -> None:
    file = folder / "dense.tflite"
    with pytest.raises(InputError, match="runs = 49"):
        bench_files([file], HOST, runs=49)
    with pytest.raises(InputError, match="no file"):
        bench_files([], HOST)
    with pytest.raises(InputError, match="threads = 0"):
        bench_files([file], HOST, threads=0)
    with pytest.raises(ArtifactError, match="no such file"):
        bench_files([tmp_path / "none.onnx"], HOST)
