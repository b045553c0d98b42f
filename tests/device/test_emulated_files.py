"""Files in the ARM builds of their engines: the right numbers, and instructions that repeat."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_project import small_project

from edgeprune.benchmarking import count_files, emulating
from edgeprune.cli import main
from edgeprune.contracts import BENCH, COUNT
from edgeprune.counts import Count
from edgeprune.emulation import Land, counting
from edgeprune.emulation.counting import emulate
from edgeprune.errors import ArtifactError, EmulationError
from edgeprune.targets import Target

LAND = Land.found()
pytestmark = pytest.mark.skipif(
    LAND is None, reason="not set up (run: edgeprune targets emulate --setup)"
)
COMPILER = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this system")
MAKE = """
import sys
import keras, numpy as np, tensorflow as tf
from edgeprune.exporting import export_model
keras.utils.set_random_seed(1)
layers = keras.layers
model = keras.Sequential([
    keras.Input((16, 16, 3)),
    layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
    layers.Conv2D(32, 1, activation="relu"),
    layers.GlobalAveragePooling2D(),
    layers.Dense(10),
])
export_model(model, f"{sys.argv[1]}/fp32.tflite")
export_model(model, f"{sys.argv[1]}/fp32.onnx")
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
images = np.random.default_rng(0).random((8, 1, 16, 16, 3), np.float32)
converter.representative_dataset = lambda: ([image] for image in images)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
with open(f"{sys.argv[1]}/int8.tflite", "wb") as file:
    file.write(converter.convert())
"""


@pytest.fixture(scope="module")
def folder(made_in_a_child: Callable[[str, str], Path]) -> Path:
    return made_in_a_child("files", MAKE)


def counted(path: Path, name: str) -> Count:
    assert LAND is not None
    return count_files([path], Target.load(name), LAND)[0]


@COMPILER
def test_counts_repeat_and_kernels_are_the_cores_own(folder: Path) -> None:
    """int8 without and with the dot product is the plainest difference between two cores."""
    first, again = (counted(folder / "int8.tflite", "raspberry-pi-4") for _ in range(2))
    newer = counted(folder / "int8.tflite", "raspberry-pi-5")
    assert first.instructions and again.instructions and newer.instructions
    assert abs(first.instructions / again.instructions - 1) < 0.001
    assert newer.instructions < first.instructions
    for found in (first, newer):
        assert found.outputs_match and found.difference == 0
        assert sum(found.kernels.values()) == pytest.approx(found.instructions, abs=50)
        assert list(found.kernels.values())[:-1] == sorted(
            list(found.kernels.values())[:-1], reverse=True
        )
    old, new = (
        {name for name in found.kernels if name.startswith("xnn_qs8")} for found in (first, newer)
    )
    assert any("mlal" in name for name in old) and not any("neondot" in name for name in old)
    assert any("neondot" in name for name in new)
    assert (first.core, newer.core) == ("cortex-a72", "cortex-a76")


@COMPILER
def test_one_object_and_no_time(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", str(folder / "fp32.tflite"), "--target", "raspberry-pi-4", "--via", "qemu"]
    assert main([*asked, "--json"]) == 0
    out = capfd.readouterr().out
    assert COUNT.validate_json(out) == BENCH.validate_json(out)
    facts = json.loads(out)
    assert {
        "target", "via", "emulated", "runtime", "runtime_version", "threads", "instructions",
        "kernels", "outputs_match",
    } <= set(facts)  # fmt: skip
    assert (facts["via"], facts["emulated"], facts["threads"]) == ("qemu", True, 1)
    assert (facts["schema"], facts["figures"]) == (1, "counted")
    assert facts["outputs_match"] is True and facts["difference"] < 1e-5
    assert not [key for key in facts if "latency" in key or key.endswith("_ms")]
    assert any(name.startswith("xnn_f32_") for name in facts["kernels"])
    assert main([*asked[:2], str(folder / "int8.tflite"), *asked[2:]]) == 0
    text = capfd.readouterr().out
    assert "Emulated raspberry-pi-4 (cortex-a72, qemu" in text and "are no times" in text
    assert "fp32.tflite" in text and "int8.tflite" in text and "xnn_qs8" in text
    # Of several targets one that cannot be emulated leaves the other's count.
    assert main([*asked, "--target", "cortex-m7", "--json"]) == 1
    captured = capfd.readouterr()
    found = BENCH.validate_json(captured.out)
    assert [each.target for each in found.measurements] == ["raspberry-pi-4"]
    assert [each.target for each in found.failed] == ["cortex-m7"]
    assert "cortex-m7: target 'cortex-m7' is armv7e-m; only aarch64" in captured.err


@COMPILER
def test_a_runtime_without_symbols_gives_the_total_and_says_so(folder: Path) -> None:
    found = counted(folder / "fp32.onnx", "raspberry-pi-4")
    assert found.outputs_match and found.instructions
    facts = found.facts()
    assert facts["kernels"] == {
        "availability": "unavailable", "reason": "the engine's library carries no symbols",
    }  # fmt: skip


def test_without_a_compiler_it_verifies_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counting, "counting_plugin", lambda land: (None, "no C compiler"))
    asked = ["bench", str(folder / "fp32.tflite"), "--target", "raspberry-pi-4", "--via", "qemu"]
    assert main([*asked, "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["outputs_match"] is True
    assert facts["instructions"] == {"availability": "unavailable", "reason": "no C compiler"}
    assert facts["kernels"] == facts["instructions"]
    assert main(asked) == 0
    assert "not counted: no C compiler" in capfd.readouterr().out


@pytest.mark.parametrize("wrong", [np.float32(0.01), np.float32(np.nan)])
def test_a_wrong_output_is_an_error(
    folder: Path,
    wrong: np.float32,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    true = emulating.emulate

    def shifted(*arguments: object, **more: object) -> object:
        found = true(*arguments, **more)  # type: ignore[arg-type]
        outputs = tuple(each + wrong for each in found.outputs)
        return type(found)(outputs, found.instructions, found.kernels)

    monkeypatch.setattr(emulating, "emulate", shifted)
    asked = ["bench", str(folder / "fp32.tflite"), "--target", "raspberry-pi-4", "--via", "qemu"]
    assert main([*asked, "--json", "-q"]) == 1
    captured = capfd.readouterr()
    assert json.loads(captured.out)["outputs_match"] is False
    (line,) = captured.err.splitlines()
    assert "fp32.tflite: its outputs on raspberry-pi-4 are not those" in line


def test_what_the_arm_build_refuses_is_one_line(folder: Path, tmp_path: Path) -> None:
    assert LAND is not None
    target = Target.load("raspberry-pi-4")
    bad = tmp_path / "bad.tflite"
    bad.write_bytes((folder / "fp32.tflite").read_bytes()[:400])
    with pytest.raises(EmulationError, match=r"fails while running bad.tflite in litert 2"):
        emulate(bad, target, LAND, "litert", [np.zeros((1, 16, 16, 3), np.float32)])
    with pytest.raises(ArtifactError, match="no such file"):
        count_files([tmp_path / "none.tflite"], target, LAND)


REST = """\
targets = [{ name = "raspberry-pi-4", via = "qemu" }]
gates.max_instructions = 1_000
"""


@COMPILER
def test_a_recipe_is_held_to_the_instructions_of_its_files(tmp_path: Path) -> None:
    recipe = small_project(tmp_path, REST)
    asked = [sys.executable, "-m", "edgeprune", "run", str(recipe), "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    (verdict,) = json.loads(done.stdout)["gates"]
    assert verdict["gate"] == "max_instructions" and verdict["broken"]
    assert 1_000 < verdict["value"] < 100_000
    enough = round(verdict["value"] * 1.001) + 1
    asked += ["--set", f"gates.max_instructions={enough}"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "dist" / "raspberry-pi-4"
    counts = json.loads((folder / "measurements.json").read_bytes())["counts"]["files"]["fp32"]
    assert counts["outputs_match"] and counts["emulated"] and counts["core"] == "cortex-a72"
    assert counts["instructions"] == verdict["value"]
    # Asked for by name, the original's are counted too, and stand in the table.
    before, after = json.loads(done.stdout)["rows"]
    assert after["instructions"] == verdict["value"] and before["instructions"] > 1_000
    shown = ["-m", "edgeprune", "report", str(tmp_path / ".edgeprune" / "result.json")]
    done = subprocess.run([sys.executable, *shown], capture_output=True, text=True, check=False)
    assert "instr." in done.stdout
