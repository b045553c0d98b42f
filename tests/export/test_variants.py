"""Every precision: files that work are right, files that do not are refused and named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from export_nets import convolutional, mlp, recurrent, two_ended
from tensorflow.lite.python import schema_py_generated as schema

from edgeprune.artifacts import Artifact
from edgeprune.cli.delivery import Variant as Choice
from edgeprune.errors import DataError, ExportError, InputError, VerificationError
from edgeprune.exporting import Forms, read_artifact, to_tflite
from edgeprune.runtimes import Runner, run_file
from edgeprune.variants import VARIANTS
from edgeprune.verification import export_tried, verify_file

L = keras.layers
RNG = np.random.default_rng(0)
PIXELS = RNG.random((40, 64)).astype(np.float32)
IMAGES = RNG.random((40, 12, 12, 3)).astype(np.float32)
STEPS = RNG.random((40, 6, 5)).astype(np.float32)
DENSE = ("fp32", "fp16", "dynamic", "int8", "int8-float-io", "int16x8")


def answering(zeros: float = 0.0, block: int = 1) -> keras.Model:
    """:func:`mlp` with logits that differ from example to example, as those of a trained net."""
    model = mlp(zeros, block)
    model.get_layer("digit").activation = keras.activations.linear
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * 4 / np.sqrt(max(1 - zeros, 0.1)), bias])
    return model


def pointwise(zeros: float) -> keras.Model:
    """1×1 convolutions of 64 channels, this share of their weights zero; nothing else is sparse."""
    keras.utils.set_random_seed(1)
    layers = [L.Conv2D(64, 1, activation="relu", name=f"p{n}") for n in range(2)]
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            L.Conv2D(64, 3, strides=2, activation="relu", name="stem"),
            *layers,
            L.GlobalAveragePooling2D(name="mean"),
        ]
    )
    for layer in layers:
        kernel, bias = layer.get_weights()
        kernel[np.random.default_rng(2).random(kernel.shape) < zeros] = 0
        layer.set_weights([kernel * 4, bias])
    return model


def listening(zeros: float) -> keras.Model:
    """An LSTM whose kernels are zero in blocks of 16."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((6, 16), name="steps"), L.LSTM(64, name="lstm"), L.Dense(10, name="word")]
    )
    rng = np.random.default_rng(0)
    values = model.get_weights()
    for value in values:
        if value.ndim == 2:
            dead = rng.random((value.shape[0] // 16, value.shape[1])) < zeros
            value[np.repeat(dead, 16, axis=0)] = 0
    model.set_weights(values)
    return model


NETS = {
    "dense": (answering, PIXELS),
    "scattered": (lambda: answering(0.95), PIXELS),
    "in fours": (lambda: answering(0.95, 4), PIXELS),
    "in sixteens": (lambda: answering(0.95, 16), PIXELS),
    "convolutions": (lambda: pointwise(0.9), IMAGES),
    "lstm": (lambda: listening(0.95), RNG.random((40, 6, 16)).astype(np.float32)),
    "images": (convolutional, IMAGES),
    "steps": (recurrent, STEPS),
}


@cache
def forms(net: str) -> Forms:
    """Traced once for all tests of a net."""
    return Forms(NETS[net][0]())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Artifact]:
    """A net as a variant, made once."""
    folder = tmp_path_factory.mktemp("variants")

    @cache
    def made(net: str, variant: str) -> Artifact:
        path = folder / f"{net}-{variant}.tflite"
        return export_tried(forms(net), path, variant, calibration=NETS[net][1])

    return made


def test_the_names_are_the_same_everywhere() -> None:
    from typing import get_args

    from edgeprune.pipeline.steps import LIBRARIES
    from edgeprune.variants import VariantName

    assert [choice.value for choice in Choice] == list(VARIANTS) == list(get_args(VariantName))
    assert list(LIBRARIES) == list(VARIANTS)
    assert {f"{name}-sparse" for name in DENSE} | set(DENSE) | {"onnx-fp32"} == set(VARIANTS)


@pytest.mark.parametrize(
    ("net", "variant"),
    [*(("dense", variant) for variant in DENSE), ("images", "int8"), ("steps", "int8")],
)
def test_every_precision_agrees_with_its_model(exported, net: str, variant: str) -> None:
    artifact = exported(net, variant)
    found = verify_file(artifact, forms(net).model, NETS[net][1], variant=variant)
    (output,) = found.differences
    assert (found.variant, found.tolerance) == (variant, VARIANTS[variant].tolerance)
    assert output.by(found.measure) <= found.tolerance and output.cosine > 0.99
    assert output.mean_relative <= output.relative and output.relative_rms <= output.relative
    if net == "dense":
        assert artifact.variant == variant and output.noise < 0.2 and found.warnings() == ()
        bits = {"fp32": 32, "fp16": 16}.get(variant, 8)
        weights = sum(weight.size for weight in forms(net).model.get_weights())
        assert artifact.size_bytes < weights * bits / 8 * 1.5 + 3000


@pytest.mark.parametrize(
    ("net", "variant", "kinds"),
    [
        ("scattered", "fp16-sparse", {"csr"}),
        ("in fours", "fp16-sparse", {"csr"}),
        ("lstm", "fp16-sparse", {"csr"}),
        ("in sixteens", "int8-sparse", {"block"}),
        ("convolutions", "int8-sparse", {"csr"}),
        ("scattered", "int16x8-sparse", {"csr"}),
    ],
)
def test_zeros_are_left_out_where_that_works(
    exported, net: str, variant: str, kinds: set[str]
) -> None:
    artifact, dense = (exported(net, name) for name in (variant, VARIANTS[variant].dense))
    assert artifact.variant == variant and set(artifact.stored.values()) - {"dense"} == kinds
    assert artifact.size_bytes < dense.size_bytes
    (one,), (other,) = (run_file(each.path, [NETS[net][1]]) for each in (artifact, dense))
    step = 1.01 * (artifact.outputs[0].scale or 1e-4 * np.abs(other).max())
    np.testing.assert_allclose(one, other, rtol=0, atol=step)


@pytest.mark.parametrize(
    ("net", "variant", "reason", "works"),
    [
        ("scattered", "dynamic-sparse", "does not run: LiteRT fails loading it", "dynamic"),
        ("convolutions", "dynamic-sparse", "does not run: LiteRT fails loading it", "dynamic"),
        ("in sixteens", "dynamic-sparse", "computes something else|died", "dynamic"),
        ("lstm", "dynamic-sparse", "computes something else|died", "dynamic"),
        ("scattered", "int8-sparse", "does not run: LiteRT fails loading it", "int8"),
        ("convolutions", "int16x8-sparse", "does not run: LiteRT fails loading it", "int16x8"),
        ("in fours", "int16x8-sparse", "computes something else", "int16x8"),
    ],
)
def test_what_the_runtime_does_not_do_is_refused_with_what_works(
    tmp_path: Path, net: str, variant: str, reason: str, works: str
) -> None:
    with pytest.raises(ExportError, match=reason) as caught:
        path = tmp_path / f"{variant}.tflite"
        export_tried(forms(net), path, variant, calibration=NETS[net][1])
    said = str(caught.value)
    assert said.endswith(f"; {works} works") and f"as {variant} the file" in said
    assert "\n" not in said and list(tmp_path.iterdir()) == []


def test_blocks_of_float16_are_nan_as_the_converter_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmended, the trap is caught by running the file."""
    monkeypatch.setattr(to_tflite, "mended", lambda sparse, dense: sparse)
    with pytest.raises(ExportError, match=r"the value is nan.*; fp16 works"):
        export_tried(answering(0.95, 4), tmp_path / "m.tflite", "fp16-sparse", calibration=PIXELS)


def test_a_converter_that_answers_garbage_is_caught_without_calibration_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = to_tflite._converted

    def converted(frozen, precision, calibration, **more):
        if precision == "dynamic":
            other = answering()
            other.set_weights([-value for value in other.get_weights()])
            return Forms(other).file("fp32")
        return right(frozen, precision, calibration, **more)

    monkeypatch.setattr(to_tflite, "_converted", converted)
    with pytest.raises(ExportError, match=r"computes something else than its model.*; fp16 works"):
        export_tried(answering(), tmp_path / "m.tflite", "dynamic")
    assert list(tmp_path.iterdir()) == []


def test_whole_numbers_have_a_scale_per_channel_and_zeros_stay_zeros(exported) -> None:
    artifact = exported("scattered", "int8")
    kernels = {
        f"{layer.name}/kernel": layer.get_weights()[0] for layer in forms("scattered").model.layers
    }
    held = schema.ModelT.InitFromObj(schema.Model.GetRootAs(artifact.path.read_bytes(), 0))
    tensors = {tensor.name.decode(): tensor for tensor in held.subgraphs[0].tensors}
    for name, kernel in kernels.items():
        tensor = tensors[name]
        assert len(tensor.quantization.scale) == kernel.shape[1]
        assert not np.any(tensor.quantization.zeroPoint) and name not in artifact.shifted
        values = np.asarray(held.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        values = values.reshape(tensor.shape).T
        assert not values[kernel == 0].any()
        assert artifact.density[name] == pytest.approx(np.mean(values != 0))
        assert artifact.density[name] > 0.9 * np.mean(kernel != 0)


def test_the_ends_are_whole_numbers_or_floats(exported) -> None:
    kinds = {}
    for variant in ("int8", "int8-float-io", "int16x8"):
        artifact = exported("dense", variant)
        (one,), (other,) = artifact.inputs, artifact.outputs
        kinds[variant] = (one.dtype, other.dtype)
        with Runner(artifact.path) as runner:
            assert (runner.inputs[0].scale, runner.inputs[0].zero_point) == (
                pytest.approx(one.scale) if one.scale else None, one.zero_point,
            )  # fmt: skip
    assert kinds == {
        "int8": ("int8", "int8"),
        "int8-float-io": ("float32", "float32"),
        "int16x8": ("float32", "float32"),
    }
    facts = exported("dense", "int8").facts()
    assert facts["inputs"][0]["scale"] == pytest.approx(1 / 255, rel=0.01)
    assert facts["inputs"][0]["zero_point"] == -128


def test_each_input_has_the_range_of_its_own_examples(tmp_path: Path) -> None:
    model = two_ended()
    late, early = RNG.random((10, 8)) * 50, RNG.random((10, 4))
    given = {"ant": early.astype(np.float32), "zebra": late.astype(np.float32)}
    artifact = export_tried(model, tmp_path / "m.tflite", "int8", calibration=given, batch=4)
    zebra, ant = artifact.inputs
    assert (zebra.name, zebra.shape, ant.name) == ("zebra", (4, 8), "ant")
    assert zebra.scale == pytest.approx(late.max() / 255, rel=0.02)
    assert ant.scale == pytest.approx(early.max() / 255, rel=0.02)


def test_calibration_data_that_do_not_do_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    with pytest.raises(InputError, match=r"int8 fixes .*give calibration data, or take dynamic"):
        export_tried(forms("dense"), path, "int8")
    with pytest.raises(DataError, match=r"'pixels' .* shape \(64,\); those given have \(63,\)"):
        export_tried(forms("dense"), path, "int8", calibration=PIXELS[:, 1:])
    with pytest.raises(DataError):
        export_tried(forms("dense"), path, "int8", calibration=[])
    with pytest.raises(InputError, match=r"written to a \.tflite file"):
        export_tried(forms("dense"), tmp_path / "m.onnx", "int8", calibration=PIXELS)
    assert list(tmp_path.iterdir()) == []


def test_one_trace_serves_every_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    freeze = to_tflite.convert_variables_to_constants_v2
    monkeypatch.setattr(
        to_tflite,
        "convert_variables_to_constants_v2",
        lambda function: traced.append(1) or freeze(function),
    )
    conversions = []
    convert = to_tflite._converted
    monkeypatch.setattr(
        to_tflite,
        "_converted",
        lambda *given, **more: conversions.append(given[1]) or convert(*given, **more),
    )
    mine = Forms(answering(0.9, 16))
    for variant in (*DENSE, "fp32-sparse", "fp16-sparse", "int8-sparse"):
        mine.file(variant, [PIXELS])
    assert len(traced) == 1
    assert sorted(conversions) == ["dynamic", "fp16", "fp32", "int16x8", "int8-float-io"]


def test_a_wrong_file_of_whole_numbers_is_found_and_the_bar_is_not_moved(exported) -> None:
    artifact = exported("dense", "int8")
    other = answering()
    kernel, bias = other.get_layer("second").get_weights()
    other.get_layer("second").set_weights([np.roll(kernel, 1, axis=0), bias])
    with pytest.raises(VerificationError, match=r"root mean square, 0.05 is allowed \(int8\)"):
        verify_file(artifact, other, PIXELS)
    right = forms("dense").model
    with pytest.raises(VerificationError, match=r"1e-05 is allowed \(int8\)"):
        verify_file(artifact, right, PIXELS, tolerance=1e-5)
    assert verify_file(artifact, right, PIXELS, tolerance=0.2).tolerance == 0.2


def test_an_output_that_rounding_drowns_is_said(tmp_path: Path) -> None:
    model = answering()
    kernel, bias = model.get_layer("digit").get_weights()
    model.get_layer("digit").set_weights([kernel * 1e-3, bias + 5])
    artifact = export_tried(model, tmp_path / "m.tflite", "int8", calibration=PIXELS)
    found = verify_file(artifact, model, PIXELS)
    assert any("changes so little" in line for line in found.warnings())


def test_what_a_file_is_called_is_read_from_its_bytes(tmp_path: Path) -> None:
    for net, name in (("lstm", "int16x8"), ("dense", "dynamic"), ("images", "int16x8")):
        (tmp_path / "m.tflite").write_bytes(forms(net).file(name, [NETS[net][1]]))
        assert read_artifact(tmp_path / "m.tflite").variant == name
    # None of its kernels is large enough for the converter.
    (tmp_path / "m.tflite").write_bytes(forms("images").file("dynamic"))
    assert read_artifact(tmp_path / "m.tflite").variant == "fp32"
