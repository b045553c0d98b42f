"""Where the time of an inference goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from export_nets import mlp

from edgeprune.benchmarking.profiling import RUNS, profile_file, ranked
from edgeprune.cli import main
from edgeprune.contracts import BENCH, Profiled
from edgeprune.exporting import export_model
from edgeprune.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    export_model(mlp(), folder / "net.onnx")
    export_model(mlp(), folder / "net.tflite")
    return folder


def test_every_node_has_its_time(folder: Path) -> None:
    found = profile_file(folder / "net.onnx", Target.load("host"))
    nodes = found["nodes"]
    assert len({each["name"] for each in nodes}) == len(nodes) >= 3
    assert sum("Gemm" in each["op"] or "MatMul" in each["op"] for each in nodes) >= 2
    assert sum(each["share"] for each in nodes) == pytest.approx(1)
    assert [each["us"] for each in nodes] == sorted((e["us"] for e in nodes), reverse=True)
    assert found["runs"] == RUNS and found["runtime"] == "onnxruntime"


def test_shares_of_nothing_are_nothing() -> None:
    assert ranked([]) == []
    assert ranked([{"name": "a", "op": "X", "us": 0.0}])[0]["share"] == 0


def test_the_verb_lists_them(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder / "net.onnx"), "--profile", "--json", "-q"]) == 0
    out = capfd.readouterr().out
    assert isinstance(BENCH.validate_json(out), Profiled) and json.loads(out)["nodes"]
    assert main(["bench", str(folder / "net.onnx"), "--profile", "-q"]) == 0
    assert "Where the time of net.onnx goes" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("file", "flags", "code", "word"),
    [
        ("net.tflite", [], 1, "LiteRT has no profiler"),
        ("net.onnx", ["--cold"], 2, "--cold and --profile"),
        ("net.onnx", ["--seconds", "2"], 2, "--seconds and --profile"),
        ("net.onnx", ["--csv"], 2, "--csv"),
        ("net.onnx", ["--save", "results"], 2, "--save keeps"),
        ("net.onnx", ["--target", "raspberry-pi-4"], 1, "not this machine"),
    ],
)
def test_what_cannot_be_profiled_is_one_line(
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    file: str,
    flags: list[str],
    code: int,
    word: str,
) -> None:
    assert main(["bench", str(folder / file), "--profile", *flags]) == code
    assert word in capfd.readouterr().err
