"""Files on a microcontroller: the real interpreter and the real compiler, where they are there."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeprune.benchmarking import bench_files, fit_files
from edgeprune.cli import main
from edgeprune.contracts import BENCH
from edgeprune.errors import ArtifactError, MeasurementError, VersionError
from edgeprune.exporting import read_artifact
from edgeprune.runtimes.tflite_micro import arena_of
from edgeprune.runtimes.vela import compiled
from edgeprune.targets import Target


def needs(module: str, distribution: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(module) is not None
    return pytest.mark.skipif(
        not there, reason=f"{distribution} is not installed (pip install 'edgeprune[micro]')"
    )


INTERPRETER = needs("tflite_micro", "tflite-micro")
COMPILER = needs("ethosu", "ethos-u-vela")
SIDE = 16
MAKE = """
import sys
import keras, numpy as np, tensorflow as tf
keras.utils.set_random_seed(1)
layers = keras.layers
model = keras.Sequential([
    keras.Input((16, 16, 3)),
    layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
    layers.DepthwiseConv2D(3, padding="same", activation="relu"),
    layers.Conv2D(16, 1, activation="relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(80),
    layers.Softmax(),
])

def converted(name, quantize=True, ends=tf.int8, calibrated=True):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize and calibrated:
        images = np.random.default_rng(0).random((8, 1, 16, 16, 3), np.float32)
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = ends
    with open(f"{sys.argv[1]}/{name}.tflite", "wb") as file:
        file.write(converter.convert())

converted("int8")
converted("float-ends", ends=tf.float32)
converted("dynamic", calibrated=False)
converted("fp32", quantize=False)
"""


@pytest.fixture(scope="module")
def folder(made_in_a_child: Callable[[str, str], Path]) -> Path:
    """Files as TensorFlow's converter makes them."""
    return made_in_a_child("micro", MAKE)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A microcontroller on which the interpreter's arena is tight and the file does not fit."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        'extends = "cortex-m7"\ndescription = "tiny"\n[limits]\nflash_kib = 6\nram_kib = 5\n'
        'tight = 0.2\nsource = "made up for a test"\n'
    )
    return path


def test_what_a_file_is(folder: Path) -> None:
    variants = {path.stem: read_artifact(path).variant for path in folder.glob("*.tflite")}
    assert variants == {
        "int8": "int8", "float-ends": "int8-float-io", "dynamic": "dynamic", "fp32": "fp32",
    }  # fmt: skip


@INTERPRETER
def test_the_arena_is_the_interpreters_own(folder: Path) -> None:
    from tflite_micro import runtime

    arena = arena_of(folder / "int8.tflite")
    assert arena.total == arena.head + arena.tail
    # The first activation, 8x8x8 bytes, and the input, 16x16x3, live at once.
    assert arena.head >= 8 * 8 * 8 + SIDE * SIDE * 3
    data = (folder / "int8.tflite").read_bytes()
    whole = runtime.Interpreter.from_bytes(data, arena_size=arena.total + 512)
    assert whole.get_input_details(0)["dtype"] is np.int8
    with pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(data, arena_size=arena.total - 512)
    # Floats at the ends are four times as wide, and two more operators.
    wider = arena_of(folder / "float-ends.tflite")
    assert wider.head > arena.head and wider.tail > arena.tail


@INTERPRETER
def test_a_file_that_fits(folder: Path) -> None:
    (found,) = fit_files([folder / "int8.tflite"], Target.load("cortex-m7"))
    assert found.verdict == "fits" and found.runtime == "tflite-micro"
    assert found.flash.used_bytes == (folder / "int8.tflite").stat().st_size
    assert found.flash.limit_bytes == 2048 * 1024 and found.ram.limit_bytes == 512 * 1024
    assert found.ram.used_bytes == found.arena["total_bytes"] > 0
    assert found.runtime_version.startswith("0.dev") and found.estimate is None


@INTERPRETER
def test_too_big_is_exit_3_and_says_by_how_much(
    folder: Path, tiny: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["bench", str(folder / "int8.tflite"), "--target", str(tiny)]
    assert main([*asked, "--json"]) == 3
    facts = json.loads(capfd.readouterr().out)
    assert facts["target"] == "tiny" and facts["measurements"] == []
    (found,) = facts["footprints"]
    assert found["verdict"] == "too big"
    size = (folder / "int8.tflite").stat().st_size
    assert found["flash"]["margin_bytes"] == 6 * 1024 - size < 0
    assert found["ram"]["verdict"] == "tight"
    assert main([*asked, "-q"]) == 3
    text = capfd.readouterr().out
    assert "too big" in text and "int8.tflite" in text and "come and go" in text


@COMPILER
def test_an_estimate_is_called_one(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / "int8.tflite"
    assert main(["bench", str(path), "--target", "cortex-m-ethos-u55", "--json"]) == 0
    out = capfd.readouterr().out
    assert BENCH.validate_json(out).footprints
    (found,) = json.loads(out)["footprints"]
    assert found["runtime"] == "ethos-u-vela" and found["arena"] == {}
    assert found["ram"]["source"] == "estimated" and found["ram"]["used_bytes"] > 0
    estimate = found["estimate"]
    assert estimate["availability"] == "estimated" and estimate["by"].startswith("ethos-u-vela 5")
    assert estimate["npu_operators"] > 0 and estimate["cpu_operators"] == 0
    assert estimate["inference_ms"] == pytest.approx(1000 / estimate["inferences_per_s"])
    # At the clock of the profile: its configuration reached the compiler.
    clock = Target.load("cortex-m-ethos-u55").ethos_u
    assert clock is not None
    cycles = estimate["inference_ms"] / 1000 * float(clock.system["core_clock"])
    assert cycles == pytest.approx(estimate["cycles"], rel=0.01)
    assert main(["bench", str(path), "--target", "cortex-m-ethos-u55"]) == 0
    text = capfd.readouterr().out
    assert "estimated by ethos-u-vela" in text and "measured nowhere" in text


@COMPILER
def test_a_system_the_compiler_does_not_know_is_one_line(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"ethos-u-vela .* fails compiling it"):
        compiled(folder / "int8.tflite", "ethos-u55-256", "Shared_Sram", {"core_clock": "fast"})


@pytest.mark.parametrize("target", ["cortex-m7", "cortex-m-ethos-u55"])
@pytest.mark.parametrize("name", ["fp32", "dynamic"])
def test_what_no_microcontroller_takes_is_said_before_any_tool_runs(
    folder: Path, name: str, target: str
) -> None:
    with pytest.raises(ArtifactError, match="takes full int8 alone") as caught:
        fit_files([folder / f"{name}.tflite"], Target.load(target))
    assert f"{name}.tflite" in str(caught.value) and "export it with --format int8" in str(
        caught.value
    )


def test_no_file_of_the_kind(folder: Path, tmp_path: Path) -> None:
    micro = Target.load("cortex-m7")
    with pytest.raises(ArtifactError, match=r"takes a \.tflite file"):
        fit_files([tmp_path / "m.onnx"], micro)
    with pytest.raises(ArtifactError, match="no such file"):
        fit_files([tmp_path / "m.tflite"], micro)
    (tmp_path / "m.tflite").write_bytes((folder / "int8.tflite").read_bytes()[:200])
    with pytest.raises(ArtifactError, match=r"not a sound \.tflite"):
        fit_files([tmp_path / "m.tflite"], micro)
    with pytest.raises(MeasurementError, match="no microcontroller"):
        fit_files([folder / "int8.tflite"], Target.load("host"))


def test_nothing_is_timed_there(folder: Path) -> None:
    with pytest.raises(MeasurementError, match=r"not measured: .*microcontroller.*cortex-m7"):
        bench_files([folder / "int8.tflite"], "cortex-m7")


def hidden(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    find = importlib.util.find_spec

    def seen(name: str, package: str | None = None) -> object:
        return None if name in modules else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", seen)


def test_a_missing_extra_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hidden(monkeypatch, "tflite_micro", "ethosu")
    for target, title in (
        ("cortex-m7", "TensorFlow Lite Micro"),
        ("cortex-m-ethos-u55", "ethos-u-vela"),
    ):
        assert main(["bench", str(folder / "int8.tflite"), "--target", target]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith(f"edgeprune: {title} is not installed")
        assert line.endswith("run: pip install 'edgeprune[micro]'")
    with pytest.raises(VersionError):
        arena_of(folder / "int8.tflite")


FAKE = """
import os, sys
class Interpreter:
    @classmethod
    def from_bytes(cls, data, arena_size): return cls()
    def get_input_details(self, number): return {{"shape": [1], "dtype": "int8"}}
    def set_input(self, values, number): pass
    def invoke(self): {invoke}
    def print_allocations(self): {printed}
"""


def faked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: str, printed: str) -> None:
    """Another version of the interpreter, for parent and child."""
    package = tmp_path / "fake" / "tflite_micro"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "runtime.py").write_text(FAKE.format(invoke=invoke, printed=printed))
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=":")
    for name in [name for name in sys.modules if name.split(".")[0] == "tflite_micro"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("invoke", "printed", "error", "message"),
    [
        ("pass", "pass", MeasurementError, "printed no 'Arena allocation total … bytes'"),
        (
            "pass",
            "os.write(2, b'Arena allocation total 8 bytes')",
            MeasurementError,
            "printed no 'Arena allocation head",
        ),
        ("os.abort()", "pass", ArtifactError, r"fails running it \(signal 6"),
        (
            "os.write(2, b'Didn\\'t find op for builtin DENSIFY\\n'); raise RuntimeError('no')",
            "pass",
            ArtifactError,
            r"exit 1: Didn't find op for builtin DENSIFY; RuntimeError: no",
        ),
    ],
)
def test_a_version_that_speaks_otherwise_fails_aloud(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    invoke: str,
    printed: str,
    error: type[Exception],
    message: str,
) -> None:
    faked(tmp_path, monkeypatch, invoke, printed)
    with pytest.raises(error, match=message):
        fit_files([folder / "int8.tflite"], Target.load("cortex-m7"))
