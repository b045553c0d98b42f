"""Axes that blocks of four do not divide: right always, fast where the axis is ours."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edgeprune.artifacts import Artifact
from edgeprune.exporting import export_model, to_tflite
from edgeprune.exporting.padding import padded
from edgeprune.runtimes import run_file
from edgeprune.verification import verify_file

L = keras.layers
PIXELS = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)


def in_blocks(layer: L.Dense, kept: float, seed: int = 0, block: int = 4) -> None:
    """Random weights, this share of the blocks along the inputs not zero; a short last one."""
    rng = np.random.default_rng(seed)
    inputs, units = layer.kernel.shape
    alive = np.repeat(rng.random((-(-inputs // block), units)) < kept, block, axis=0)[:inputs]
    alive[-1, 0] = True  # the part that gets lost
    bias = [rng.normal(size=units)] if layer.use_bias else []
    layer.set_weights([rng.normal(size=(inputs, units)) * alive, *bias])


def single(inputs: int, kept: float = 0.07, block: int = 4) -> keras.Model:
    model = keras.Sequential([keras.Input((inputs,)), L.Dense(64, name="only")])
    in_blocks(model.get_layer("only"), kept, block=block)
    return model


def stack(*layers: L.Layer, kept: float = 0.07) -> keras.Model:
    """64 inputs, these layers, 10 outputs; every kernel sparse in blocks, norms with statistics."""
    model = keras.Sequential(
        [keras.Input((64,), name="pixels"), *layers, L.Dense(10, name="digit")]
    )
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, L.Dense):
            in_blocks(layer, kept, len(layer.name))
        elif isinstance(layer, L.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2, w.shape) for w in layer.get_weights()])
    return model


def hidden(width: int, *between: L.Layer, activation: str = "relu") -> keras.Model:
    first = L.Dense(width, activation=activation, name="first")
    return stack(first, *between, L.Dense(64, activation="relu", name="second"))


def checked(model: keras.Model, folder: Path) -> tuple[Artifact, Artifact]:
    """The sparse file and the dense one, the sparse one run against its model."""
    sparse = export_model(model, folder / "sparse.tflite", sparse=True)
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(40, *model.inputs[0].shape[1:])).astype(np.float32)
    verify_file(sparse, model, inputs, tolerance=1e-5)
    return sparse, export_model(model, folder / "dense.tflite")


@pytest.mark.parametrize("inputs", [3, 5, 6, 7, 10, 126, 130])
def test_an_odd_input_axis_loses_no_weight(tmp_path: Path, inputs: int) -> None:
    model = single(inputs)
    sparse, dense = checked(model, tmp_path)
    kernel = model.get_layer("only").get_weights()[0]
    assert sparse.density["only/kernel"] == pytest.approx(np.mean(kernel != 0))
    assert sparse.stored["only/kernel"] != "block"
    assert sparse.size_bytes <= dense.size_bytes
    assert sparse.inputs == dense.inputs and sparse.outputs == dense.outputs


@pytest.mark.parametrize("kept", [0.005, 0.01, 0.02])
@pytest.mark.parametrize("inputs", [2, 3])
def test_a_tiny_axis_with_hardly_a_weight(tmp_path: Path, inputs: int, kept: float) -> None:
    sparse, dense = checked(single(inputs, kept, block=1), tmp_path)
    assert sparse.size_bytes <= dense.size_bytes
    checked(stack(L.Dense(inputs, name="first"), L.Dense(64, name="second"), kept=kept), tmp_path)


def test_a_kernel_of_zeros_alone_can_be_loaded(tmp_path: Path) -> None:
    for inputs in (3, 128):
        model = single(inputs)
        layer = model.get_layer("only")
        layer.set_weights([np.zeros(layer.kernel.shape), np.arange(64.0)])
        file = export_model(model, tmp_path / "m.tflite", sparse=True)
        (answer,) = run_file(file.path, [np.ones((1, inputs), np.float32)])
        np.testing.assert_array_equal(answer[0], np.arange(64.0))


@pytest.mark.parametrize("width", [497, 126, 3])
def test_an_odd_hidden_axis_is_stored_in_blocks(tmp_path: Path, width: int) -> None:
    model = hidden(width)
    sparse, dense = checked(model, tmp_path)
    assert sparse.stored["second/kernel"] == "block"
    assert {"pixels"} == {port.name for port in sparse.inputs}
    assert {"digit"} == {port.name for port in sparse.outputs}
    kernel = model.get_layer("second").get_weights()[0]
    longer = np.count_nonzero(kernel) / (kernel.size + -width % 4 * 64)
    assert sparse.density["second/kernel"] == pytest.approx(longer)
    assert sparse.size_bytes <= dense.size_bytes
    first = sparse.path.read_bytes()
    assert export_model(model, tmp_path / "again.tflite", sparse=True).path.read_bytes() == first


BETWEEN = {
    "norm": lambda: [L.BatchNormalization(), L.ReLU(), L.Dropout(0.5)],
    "plain norm": lambda: [L.BatchNormalization(scale=False, center=False), L.Activation("gelu")],
    "leaky": lambda: [L.GaussianNoise(0.1), L.LeakyReLU(0.2), L.Identity()],
}


@pytest.mark.parametrize("between", list(BETWEEN))
@pytest.mark.parametrize("activation", ["linear", "sigmoid", "softplus"])
def test_elementwise_layers_are_padded_through(
    tmp_path: Path, between: str, activation: str
) -> None:
    model = hidden(126, *BETWEEN[between](), activation=activation)
    wide = padded(model)
    assert [layer.name for layer in wide.layers] == [layer.name for layer in model.layers]
    assert wide.get_layer("first").units == 128
    np.testing.assert_allclose(wide(PIXELS), model(PIXELS), rtol=0, atol=1e-5)
    assert checked(model, tmp_path)[0].stored["second/kernel"] == "block"


def test_padding_goes_down_a_chain_and_leaves_the_model(tmp_path: Path) -> None:
    widths = [98, 97, 99]
    model = stack(
        *[L.Dense(w, "relu", name=f"d{i}", use_bias=i != 1) for i, w in enumerate(widths)]
    )
    model.compile("adam", "mse")
    weights = [weight.copy() for weight in model.get_weights()]
    assert [layer.units for layer in padded(model).layers] == [100, 100, 100, 10]
    sparse, _ = checked(model, tmp_path)
    assert {sparse.stored[f"{name}/kernel"] for name in ("d1", "d2", "digit")} == {"block"}
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert model.compiled


def test_layers_inside_a_nested_model_and_over_many_steps_are_padded(tmp_path: Path) -> None:
    inner = keras.Sequential(
        [keras.Input((5, 64)), L.Dense(126, "relu", name="a"), L.Dense(64, name="b")], name="inner"
    )
    steps = keras.Input((5, 64), name="steps")
    model = keras.Model(steps, L.Dense(10, name="out")(L.Flatten()(inner(inner(steps)))))
    for layer in (*inner.layers, model.get_layer("out")):
        in_blocks(layer, 0.07)
    assert padded(model).get_layer("inner").get_layer("a").units == 128
    checked(model, tmp_path)


def two_readers(x: object) -> list:
    made = L.Dense(126, "relu", name="a")(x)
    return [L.Dense(64, name="b")(made), L.Dense(3, name="c")(made)]


def shown(x: object) -> list:
    made = L.Dense(126, "relu", name="a")(x)
    return [made, L.Dense(64, name="b")(made)]


def summed(x: object) -> list:
    made = L.Dense(126, name="a")(x)
    return [L.Dense(64, name="b")(L.Add()([made, L.Dense(126, name="c")(x)]))]


def awake(x: object) -> list:
    """Dropout that stays on draws other numbers for a longer axis."""
    made = L.Dropout(0.0)(L.Dense(126, name="a")(x), training=True)
    return [L.Dense(64, name="b")(made)]


def through(*layers: L.Layer, activation: str | None = None) -> list:
    def made(x: object) -> list:
        x = L.Dense(126, activation, name="a")(x)
        for layer in layers:
            x = layer(x)
        return [L.Dense(64, name="b")(x)]

    return made


def twice(x: object) -> list:
    shared = L.Dense(126, "relu", name="a")
    return [L.Dense(64, name="b")(shared(x)), L.Dense(64, name="c")(shared(L.ReLU()(x)))]


@pytest.mark.parametrize(
    "ends",
    [
        two_readers,
        shown,
        summed,
        twice,
        awake,
        through(activation="softmax"),
        through(L.Softmax()),
        through(L.LayerNormalization()),
        through(L.Reshape((126,))),
        through(L.PReLU()),
    ],
)
def test_an_axis_that_is_not_theirs_alone_stays_and_is_right(tmp_path: Path, ends) -> None:
    pixels = keras.Input((64,), name="pixels")
    model = keras.Model(pixels, ends(pixels))
    for layer in model.layers:
        if isinstance(layer, L.Dense):
            in_blocks(layer, 0.07)
    assert padded(model) is model
    checked(model, tmp_path)


def test_kernels_that_blocks_do_not_suit_are_not_padded() -> None:
    model = hidden(126)
    rng = np.random.default_rng(0)
    for zeros in (0.0, 0.2, 0.8):
        layer = model.get_layer("second")
        kernel = rng.normal(size=layer.kernel.shape) * (rng.random(layer.kernel.shape) >= zeros)
        layer.set_weights([kernel, layer.get_weights()[1]])
        assert padded(model).get_layer("first").units == 126


class Brittle(L.Layer):
    """Its config does not rebuild it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor


def test_a_model_that_cannot_be_rebuilt_is_exported_as_it_is(tmp_path: Path) -> None:
    model = stack(Brittle(2.0), *hidden(126).layers[:-1])
    assert padded(model) is model
    sparse, _ = checked(model, tmp_path)
    assert sparse.stored["second/kernel"] in ("csr", "dense")


def scattered(zeros: float, units: int = 64) -> keras.Model:
    model = keras.Sequential([keras.Input((64,), name="pixels"), L.Dense(units, name="only")])
    rng = np.random.default_rng(5)
    shape = model.get_layer("only").kernel.shape
    kernel = rng.normal(size=shape) * (rng.random(shape) >= zeros)
    model.get_layer("only").set_weights([kernel, np.zeros(units)])
    return model


def spoiled(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    kernel, bias = model.get_layer("only").get_weights()
    kernel[tuple(np.argwhere(kernel)[7])] = 0
    copy.set_weights([kernel, bias])
    return copy


def instead(other: keras.Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """From now on the converter gives this model's sparse file, whatever it is asked for."""
    sparsified = to_tflite._sparsified
    made: list[bytes] = []

    def recorded(dense: bytes) -> bytes:
        made.append(sparsified(dense))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(to_tflite, "_sparsified", recorded)
        artifact = export_model(other, folder / "other.tflite", sparse=True)

    monkeypatch.setattr(to_tflite, "_sparsified", lambda dense: made[-1])
    return artifact


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (lambda: single(64), "block", "csr"),
        (lambda: scattered(0.8), "csr", "csr"),
        (lambda: scattered(0.4, units=4), "csr", "dense"),
    ],
    ids=["block", "rows", "small"],
)
def test_a_converter_that_drops_one_weight_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, before: str, after: str
) -> None:
    model = make()
    bad = instead(spoiled(model), tmp_path, monkeypatch)
    assert bad.stored["only/kernel"] == before
    sparse, dense = checked(model, tmp_path)
    assert sparse.stored["only/kernel"] == after
    assert sparse.density["only/kernel"] == dense.density["only/kernel"]
    assert sparse.size_bytes <= dense.size_bytes


def test_a_sparse_file_of_other_operators_is_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead(hidden(128), tmp_path, monkeypatch)
    model = scattered(0.8)
    sparse, dense = checked(model, tmp_path)
    assert sparse.sha256 == dense.sha256


@pytest.mark.parametrize(("zeros", "most"), [(0.96, 175_000), (0.98, 90_000), (0.99, 48_000)])
def test_scattered_zeros_are_stored_by_rows_not_in_blocks(
    tmp_path: Path, zeros: float, most: int
) -> None:
    """The converter's own blocks would take 417, 227 and 116 kB."""
    random = np.random.default_rng(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((784,), name="x"),
            layers.Dense(512, activation="relu", name="first"),
            layers.Dense(512, activation="relu", name="second"),
            layers.Dense(10, name="last"),
        ]
    )
    for layer in model.layers:
        kernel = np.asarray(layer.kernel)
        layer.kernel.assign(kernel * (random.random(kernel.shape) > zeros))
    artifact = export_model(model, tmp_path / "m.tflite", sparse=True)
    assert set(artifact.stored.values()) == {"csr"}
    assert artifact.size_bytes < most
    verify_file(artifact, model, random.normal(size=(64, 784)).astype(np.float32))
