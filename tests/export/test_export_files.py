"""Files: right names and shapes, the same bytes everywhere, errors that name what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from export_nets import NETS, gelu, mlp, recurrent, two_ended

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError, ExportError, InputError, OutputError
from edgeprune.exporting import VARIANTS, export_model, export_variant, read_artifact
from edgeprune.runtimes import run_file

SUFFIXES = ("tflite", "onnx")


def samples(model: keras.Model, count: int = 5) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(count, *t.shape[1:])).astype(np.float32) for t in model.inputs]


def called(model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    return keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0]))


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What two processes print, each with another hash seed and another past."""
    program = Path(__file__).with_name("export_nets.py")
    printed = []
    for seed in range(2):
        folder = tmp_path_factory.mktemp(f"seed{seed}")
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, str(program), str(folder), str(seed)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
            timeout=300,
        )
        printed.append(done.stdout)
    return printed


def test_the_same_model_gives_the_same_bytes_in_any_process(digests: list[str]) -> None:
    assert digests[0].count("\n") == 2 * len(NETS) + 2 + 2 * 5
    assert digests[1] == digests[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_second_export_in_the_same_process_has_the_same_bytes(
    tmp_path: Path, suffix: str
) -> None:
    model = recurrent()
    first = export_model(model, tmp_path / f"m.{suffix}").sha256
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    assert export_model(copy, tmp_path / f"m.{suffix}").sha256 == first


def test_names_that_nobody_chose_are_the_same_after_a_model_is_saved(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for suffix in SUFFIXES:
        one = export_model(model, tmp_path / f"one.{suffix}")
        two = export_model(again, tmp_path / f"two.{suffix}")
        assert (two.inputs, two.sha256) == (one.inputs, one.sha256)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", list(NETS))
def test_a_file_answers_what_its_model_answers(tmp_path: Path, name: str, suffix: str) -> None:
    model = NETS[name]()
    weights = [weight.copy() for weight in model.get_weights()]
    artifact = export_model(model, tmp_path / f"m.{suffix}")
    inputs = samples(model)
    answers = run_file(artifact.path, inputs)
    for answer, truth in zip(answers, called(model, inputs), strict=True):
        np.testing.assert_allclose(answer, truth, atol=2e-5)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inputs_and_outputs_keep_names_and_order_of_the_model(tmp_path: Path, suffix: str) -> None:
    artifact = export_model(two_ended(), tmp_path / f"m.{suffix}", batch=2)
    assert artifact.inputs == (Port("zebra", (2, 8), "float32"), Port("ant", (2, 4), "float32"))
    assert artifact.outputs == (Port("young", (2, 3), "float32"), Port("old", (2, 1), "float32"))


SIGNED = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter

path, given, answered = sys.argv[1:]
with np.load(given) as inputs:
    np.savez(answered, **Interpreter(path).get_signature_runner()(**inputs))
"""


def test_a_tflite_signature_is_called_by_keras_names(tmp_path: Path) -> None:
    """As an app calls it, in a process without TensorFlow (older ones share a class name)."""
    model = two_ended()
    path = export_model(model, tmp_path / "m.tflite").path
    late, early = samples(model, 1)
    given, answered = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(given, ant=early, zebra=late)
    command = [sys.executable, "-c", SIGNED, str(path), str(given), str(answered)]
    subprocess.run(command, check=True, capture_output=True)
    young, old = model([late, early])
    with np.load(answered) as answer:
        np.testing.assert_allclose(answer["young"], young, atol=1e-5)
        np.testing.assert_allclose(answer["old"], old, atol=1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_free_batch_takes_any_number_of_examples(tmp_path: Path, suffix: str) -> None:
    model = mlp()
    artifact = export_model(model, tmp_path / f"m.{suffix}", batch=None)
    assert artifact.inputs[0].shape == (-1, 64)
    inputs = samples(model, 7)
    np.testing.assert_allclose(run_file(artifact.path, inputs)[0], model(inputs[0]), atol=1e-5)


def test_density_and_storage_are_read_back_under_keras_names(tmp_path: Path) -> None:
    model = mlp(0.9)
    kernels = {layer.name: layer.get_weights()[0] for layer in model.layers}
    kept = {f"{name}/kernel": np.mean(kernel != 0) for name, kernel in kernels.items()}
    for variant in ("fp32", "fp32-sparse", "fp16", "fp16-sparse", "onnx-fp32"):
        form = VARIANTS[variant]
        artifact = export_variant(model, tmp_path / f"m-{variant}{form.suffix}", variant)
        assert artifact.variant == variant
        found = {key: value for key, value in artifact.density.items() if key.endswith("kernel")}
        assert found == pytest.approx(kept)
        assert {artifact.stored[key] for key in kept} == {"csr" if form.sparse else "dense"}


def test_a_folded_kernel_is_still_named_after_its_layer(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        artifact = export_model(NETS["convolutional"](), tmp_path / f"m.{suffix}")
        assert {"stem/kernel", "depth/kernel", "kind/kernel"} <= set(artifact.density)


def test_zeros_in_blocks_along_the_input_are_stored_in_blocks(tmp_path: Path) -> None:
    dense = export_model(mlp(0.9, block=4), tmp_path / "d.tflite")
    sparse = export_model(mlp(0.9, block=4), tmp_path / "s.tflite", sparse=True)
    assert sparse.stored["second/kernel"] == "block"
    assert sparse.size_bytes < dense.size_bytes / 4
    assert sparse.density["second/kernel"] == pytest.approx(dense.density["second/kernel"])


def test_sparse_onnx_is_smaller_checked_and_answers_the_same(tmp_path: Path) -> None:
    model = mlp(0.9)
    dense = export_model(model, tmp_path / "d.onnx")
    sparse = export_model(model, tmp_path / "s.onnx", sparse=True)
    assert sparse.size_bytes < dense.size_bytes / 2
    assert sparse.stored["second/kernel"] == "coo"
    assert sparse.stored["second/bias"] == "dense"
    onnx.checker.check_model(str(sparse.path))
    inputs = samples(model)
    np.testing.assert_array_equal(run_file(dense.path, inputs), run_file(sparse.path, inputs))


def test_an_onnx_file_is_opset_18_and_carries_nothing_that_varies(tmp_path: Path) -> None:
    model = onnx.load(export_model(gelu(), tmp_path / "m.onnx").path)
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert not model.doc_string and not model.graph.doc_string and not model.metadata_props
    assert not any(node.doc_string for node in model.graph.node)


def test_nothing_is_said_while_a_file_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for suffix in SUFFIXES:
        export_model(mlp(0.9), tmp_path / f"m.{suffix}", sparse=True)
    assert capfd.readouterr() == ("", "")


def test_a_precision_that_tflite_has_not_is_named(tmp_path: Path) -> None:
    i = keras.Input((7,))
    model = keras.Model(i, keras.layers.Dense(3, dtype="mixed_float16", name="half")(i))
    with pytest.raises(ExportError, match=r"layer 'half' computes .* \(mixed_float16\)"):
        export_model(model, tmp_path / "m.tflite")


class Inverse(keras.layers.Layer):
    """Neither format has this operator."""

    def call(self, x):
        return tf.math.erfinv(x)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_operator_that_the_format_has_not_is_named_and_leaves_no_file(
    tmp_path: Path, suffix: str
) -> None:
    model = keras.Sequential([keras.Input((4,)), Inverse()])
    with pytest.raises(ExportError, match=r"no operator for .*Erfinv") as caught:
        export_model(model, tmp_path / f"m.{suffix}")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_asked_for_is_said(tmp_path: Path) -> None:
    model = mlp()
    with pytest.raises(InputError, match=r"end the name in \.tflite or \.onnx"):
        export_model(model, tmp_path / "m.pb")
    with pytest.raises(InputError, match="did you mean 'fp32-sparse'"):
        export_variant(model, tmp_path / "m.tflite", "fp32-sprase")
    with pytest.raises(InputError, match=r"written to a \.onnx file"):
        export_variant(model, tmp_path / "m.tflite", "onnx-fp32")
    with pytest.raises(ExportError, match="batch = 0"):
        export_model(model, tmp_path / "m.tflite", batch=0)
    with pytest.raises(ExportError, match="fix every dimension"):
        free = keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)])
        export_model(free, tmp_path / "m.tflite")
    with pytest.raises(ArtifactError, match="no such file"):
        read_artifact(tmp_path / "none.tflite")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        export_model(model, tmp_path / "file" / "m.tflite")
