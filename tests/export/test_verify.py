"""A file that does not do what its model does is found, and the message says where."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from export_nets import gelu, mlp, recurrent, two_ended

from edgeprune.artifacts import Artifact
from edgeprune.errors import ArtifactError, DataError, VerificationError
from edgeprune.exporting import VARIANTS, export_model, export_variant, read_artifact
from edgeprune.verification import verify_file

RNG = np.random.default_rng(0)
PIXELS = RNG.random((40, 64), np.float32)


@pytest.fixture(params=["tflite", "onnx"])
def artifact(request: pytest.FixtureRequest, tmp_path: Path) -> Artifact:
    return export_model(mlp(), tmp_path / f"m.{request.param}")


def altered(artifact: Artifact, old: np.ndarray, new: np.ndarray) -> Path:
    """The real file with the bytes of one kernel changed where they stand."""
    data = artifact.path.read_bytes()
    for one, other in ((old, new), (old.T, new.T)):
        before = np.ascontiguousarray(one).tobytes()
        if data.count(before) == 1:
            after = data.replace(before, np.ascontiguousarray(other).tobytes())
            path = artifact.path.with_name(f"altered{artifact.path.suffix}")
            path.write_bytes(after)
            read_artifact(path)  # still a sound file
            return path
    raise AssertionError("the kernel is not in the file")


@pytest.mark.parametrize("variant", ["fp32", "fp32-sparse", "onnx-fp32"])
def test_floats_agree_with_their_model(tmp_path: Path, variant: str) -> None:
    model = mlp(0.9)
    file = export_variant(model, tmp_path / f"m{VARIANTS[variant].suffix}", variant)
    found = verify_file(file, model, PIXELS)
    (output,) = found.differences
    assert (found.artifact, found.samples, output.output) == (file.sha256, 40, "digit")
    assert output.relative < 1e-5 and output.mean_abs <= output.max_abs
    assert output.top1_agreement == 1.0
    assert output.scale == pytest.approx(np.abs(model(PIXELS)).max())


def test_one_altered_kernel_row_is_found(artifact: Artifact) -> None:
    model = mlp()
    kernel = model.get_layer("second").get_weights()[0]
    changed = kernel.copy()
    # A unit that answers: an altered row that nothing ever reaches changes no output.
    hidden = model.get_layer("first")(PIXELS).numpy().mean(axis=0)
    changed[int(np.argmax(hidden))] *= 1.2
    path = altered(artifact, kernel, changed)
    said = r"altered\.\w+: output 'digit', sample \d+: the file says 0\.\d+, its model 0\.\d+; "
    with pytest.raises(VerificationError, match=said) as caught:
        verify_file(path, model, PIXELS)
    assert "\n" not in str(caught.value)


def test_constant_outputs_are_found_whatever_the_tolerance(artifact: Artifact) -> None:
    model = mlp()
    kernel = model.get_layer("digit").get_weights()[0]
    path = altered(artifact, kernel, np.zeros_like(kernel))
    for tolerance in (1e-4, 10.0):
        with pytest.raises(VerificationError, match="'digit' is the same for all 40 samples"):
            verify_file(path, model, PIXELS, tolerance=tolerance)


def test_a_file_that_answers_nan_is_found(artifact: Artifact) -> None:
    model = mlp()
    kernel = model.get_layer("first").get_weights()[0]
    bad = kernel.copy()
    bad[0, 0] = np.nan
    with pytest.raises(VerificationError, match=r"output 'digit', sample 0: the value is nan"):
        verify_file(altered(artifact, kernel, bad), model, PIXELS)


def test_another_models_file_is_found(artifact: Artifact) -> None:
    other = keras.Sequential([keras.Input((64,)), keras.layers.Dense(9, name="nine")])
    with pytest.raises(VerificationError, match=r"'nine' has shape \(10,\) a sample"):
        verify_file(artifact, other, PIXELS)
    one, two = keras.Input((64,)), keras.layers.Dense(10)
    split = keras.Model(one, [two(one), two(one)])
    with pytest.raises(VerificationError, match="has 1 outputs, its model 2"):
        verify_file(artifact, split, PIXELS)


def test_fewer_than_32_samples_say_too_little(artifact: Artifact) -> None:
    with pytest.raises(DataError, match="31 examples to verify it on; give at least 32"):
        verify_file(artifact, mlp(), PIXELS[:31])
    with pytest.raises(DataError):
        verify_file(artifact, mlp(), [])


def test_inputs_come_as_arrays_tuples_mappings_or_batches(tmp_path: Path) -> None:
    model = two_ended()
    file = export_model(model, tmp_path / "m.tflite")
    late = RNG.normal(size=(40, 8)).astype(np.float32)
    early = RNG.normal(size=(40, 4)).astype(np.float32)
    batches = [((late[i : i + 16], early[i : i + 16]), np.zeros(16)) for i in range(0, 40, 16)]
    wanted = verify_file(file, model, (late, early))
    assert [d.output for d in wanted.differences] == ["young", "old"]
    assert wanted.differences[1].top1_agreement is None
    assert verify_file(file, model, {"ant": early, "zebra": late}) == wanted
    assert verify_file(str(file.path), model, batches) == wanted
    swapped = (early, early)
    with pytest.raises((DataError, ValueError)):
        verify_file(file, model, swapped)


@pytest.mark.parametrize("net", [gelu, recurrent])
def test_loops_and_rewritten_operators_agree(tmp_path: Path, net) -> None:
    model = net()
    inputs = RNG.normal(size=(32, *model.inputs[0].shape[1:])).astype(np.float32)
    for suffix in ("tflite", "onnx"):
        file = export_model(model, tmp_path / f"m.{suffix}")
        assert verify_file(file, model, [inputs[:20], inputs[20:]]).differences[0].relative < 1e-5


def test_a_damaged_file_is_refused_before_an_engine_sees_it(artifact: Artifact) -> None:
    data = artifact.path.read_bytes()
    artifact.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="not a sound"):
        verify_file(artifact.path, mlp(), PIXELS)
    with pytest.raises(VerificationError, match=r"(fails|died while) loading it"):
        verify_file(artifact, mlp(), PIXELS)
