"""Where the time of an inference goes."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from export_nets import mlp

from edgeprune.benchmarking.profiling import RUNS, profile_file, ranked
from edgeprune.cli import main
from edgeprune.contracts import BENCH, Profiled
from edgeprune.errors import ArtifactError
from edgeprune.exporting import export_model
from edgeprune.formats.tflite_prefixes import prefixes
from edgeprune.runtimes import Runner, run_file
from edgeprune.targets import Target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    export_model(mlp(), folder / "net.onnx")
    export_model(mlp(), folder / "net.tflite")
    export_model(mlp(0.95, block=4), folder / "sparse.tflite", sparse=True)
    return folder


def test_every_node_has_its_time(folder: Path) -> None:
    found = profile_file(folder / "net.onnx", Target.load("host"))
    nodes = found["nodes"]
    assert len({each["name"] for each in nodes}) == len(nodes) >= 3
    assert sum("Gemm" in each["op"] or "MatMul" in each["op"] for each in nodes) >= 2
    assert sum(each["share"] for each in nodes) == pytest.approx(1)
    assert [each["us"] for each in nodes] == sorted((e["us"] for e in nodes), reverse=True)
    assert found["runs"] == RUNS and found["runtime"] == "onnxruntime"


@pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors")
def test_a_tflite_is_timed_by_the_beginnings_of_its_graph(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each beginning answers what the engine has at that place, and what is found is what it takes
    longer than the one before."""
    path = folder / "sparse.tflite"
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    (about,) = interpreter.get_input_details()
    x = np.random.default_rng(0).random(tuple(about["shape"]), np.float32)
    interpreter.set_tensor(about["index"], x)
    interpreter.invoke()
    named = {each["name"]: each["index"] for each in interpreter.get_tensor_details()}
    found = list(prefixes(path.read_bytes(), "sparse.tflite"))
    assert [each.op for each in found if each.op != "SOFTMAX"] == ["FULLY_CONNECTED"] * 3
    for number, each in enumerate(found):
        cut = folder / f"cut-{number}.tflite"
        cut.write_bytes(each.data)
        (answer,) = run_file(cut, [x])
        np.testing.assert_allclose(answer, interpreter.get_tensor(named[each.name]), rtol=1e-5)
    sizes = [len(each.data) for each in found]
    assert sizes[0] < sizes[-1], "constants that are not read are left out"

    takes = iter([4000, 9000, 8000, 9500, 9600])
    times = {}

    def timed(self: Runner, runs: int, warmup: int = 0) -> list[int]:
        if self.path.name not in times:
            times[self.path.name] = next(takes)
        return [times[self.path.name]] * runs

    monkeypatch.setattr(Runner, "time", timed)
    facts = profile_file(path, Target.load("host"))
    assert "up to each operator" in facts["by"] and facts["runtime"] == "litert"
    told = {each["name"]: each["us"] for each in facts["nodes"]}
    wanted = [4.0, 5.0, 0.0, 0.5, 0.1][: len(found)]
    assert [told[each.name] for each in found] == pytest.approx(wanted)


def test_a_graph_in_a_graph_has_no_beginnings(folder: Path) -> None:
    data = (folder / "net.tflite").read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    model.subgraphs = model.subgraphs * 2
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ArtifactError, match="has 2 graphs, one inside another"):
        next(prefixes(bytes(builder.Output()), "net.tflite"))


def test_shares_of_nothing_are_nothing() -> None:
    assert ranked([]) == []
    assert ranked([{"name": "a", "op": "X", "us": 0.0}])[0]["share"] == 0


def test_the_verb_lists_them(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder / "net.onnx"), "--profile", "--json", "-q"]) == 0
    out = capfd.readouterr().out
    assert isinstance(BENCH.validate_json(out), Profiled) and json.loads(out)["nodes"]
    assert main(["bench", str(folder / "net.onnx"), "--profile", "-q"]) == 0
    assert "Where the time of net.onnx goes" in capfd.readouterr().out
    assert main(["bench", str(folder / "net.tflite"), "--profile", "-q"]) == 0
    text = capfd.readouterr().out
    assert "Where the time of net.tflite goes" in text and "FULLY_CONNECTED" in text
    assert "by the graph up to each operator, less the graph up to the one before" in text


@pytest.mark.parametrize(
    ("file", "flags", "code", "word"),
    [
        ("net.onnx", ["--warmup", "0"], 2, "--warmup and --profile"),
        ("net.onnx", ["--start-below", "50"], 2, "--start-below and --profile"),
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
