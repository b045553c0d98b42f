"""Models from files and functions: what opens, and what is refused in one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from edgeprune.errors import ModelError, OutputError
from edgeprune.models import build_model, load_model, named_weights, save_model, values_digest

L = keras.layers


class Unknown(L.Layer):
    def call(self, x: Any) -> Any:
        return x


@pytest.fixture
def model() -> Any:
    model = keras.Sequential([keras.Input((4,)), L.Dense(3, name="a"), L.Dense(2, name="b")])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def refused(path: Path, *words: str, trust: bool = False) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(path, trust=trust)
    text = str(caught.value)
    assert "\n" not in text and path.name in text
    for word in words:
        assert word in text, text


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_comes_back_as_it_was(model: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    save_model(model, path)
    again = load_model(path)
    assert values_digest(again) == values_digest(model)
    assert again.compiled and keras.losses.get(again.loss) is keras.losses.mean_squared_error
    assert model.get_compile_config()["optimizer"]["class_name"] == "Adam"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_truncated_and_foreign_files(model: Any, tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    save_model(model, whole)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    refused(cut, "truncated")
    text = tmp_path / f"text{suffix}"
    text.write_text("this is no model")
    refused(text, "truncated or no")
    empty = tmp_path / f"empty{suffix}"
    empty.touch()
    refused(empty, "truncated or no")
    refused(tmp_path / f"missing{suffix}", "no such file")


def test_damaged_inside(model: Any, tmp_path: Path) -> None:
    whole = tmp_path / "whole.keras"
    save_model(model, whole)
    data = bytearray(whole.read_bytes())
    place = data.find(b"\x89HDF")
    for byte in range(place + 300, place + 600):
        data[byte] ^= 0xFF
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(data)
    refused(damaged, "damaged")
    odd = tmp_path / "odd.keras"
    with zipfile.ZipFile(odd, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(odd, "config.json")
    nonsense = tmp_path / "nonsense.keras"
    with zipfile.ZipFile(nonsense, "w") as archive:
        archive.writestr("config.json", "[1, 2]")
        archive.writestr("metadata.json", "{}")
    refused(nonsense, "Keras cannot read it")


def test_other_kinds_of_files(model: Any, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    refused(tmp_path / "saved", "directory")
    (tmp_path / "m.pb").write_bytes(b"x")
    refused(tmp_path / "m.pb", ".keras or .h5")
    model.save_weights(tmp_path / "only.weights.h5")
    refused(tmp_path / "only.weights.h5", "weights without a model")


def test_the_loader_of_keras_3_says_who_reads_keras_2(model: Any, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["keras_version"] = "2.15.0"
    refused(tmp_path / "m.h5", "Keras 2.15.0", "edgeprune.load")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
    refused(tmp_path / "m.keras", "Keras 2.13.1", "edgeprune.load")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(model: Any, tmp_path: Path, suffix: str, value: float) -> None:
    kernel = np.zeros((3, 2), np.float32)
    kernel[1, 1] = value
    model.get_layer("b").kernel.assign(kernel)
    save_model(model, tmp_path / f"m{suffix}")
    refused(tmp_path / f"m{suffix}", "'b/kernel'", "1 NaN or infinite")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_class_that_is_not_registered(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    save_model(keras.Sequential([keras.Input((4,)), Unknown(), L.Dense(2)]), path)
    refused(path, "'Unknown'", "register_keras_serializable", "module:function")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_lambdas_run_only_when_trusted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    save_model(keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2)]), path)
    refused(path, "--trust-model")
    trusted = load_model(path, trust=True)
    assert np.allclose(trusted(np.ones((1, 4))), 2)
    refused(path, "--trust-model")


def test_an_unknown_loss_does_not_stand_in_the_way(model: Any, tmp_path: Path) -> None:
    def own_loss(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y - p))

    model.compile("adam", own_loss)
    save_model(model, tmp_path / "m.keras")
    assert not load_model(tmp_path / "m.keras").compiled


def test_models_of_functions(tmp_path: Path) -> None:
    (tmp_path / "nets_of_mine.py").write_text(
        "import keras\n"
        "def good():\n"
        "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])\n"
        "def shapeless():\n    return keras.Sequential([keras.layers.Dense(3)])\n"
        "def other():\n    return 5\n"
        "def failing():\n    raise RuntimeError('no\\nmodel today')\n"
    )
    first = build_model("nets_of_mine:good", tmp_path)
    again = build_model("nets_of_mine:good", tmp_path)
    assert (
        list(named_weights(first)) == list(named_weights(again)) == ["dense/kernel", "dense/bias"]
    )
    for name, words in {
        "nets_of_mine:goood": "did you mean 'good'",
        "nets_of_mine:shapeless": "keras.Input",
        "nets_of_mine:other": "builtins.int",
        "nets_of_mine:failing": "no model today",
        "not_there_at_all:good": "no module",
        "nets_of_mine": "module:function",
    }.items():
        with pytest.raises(ModelError, match=words) as caught:
            build_model(name, tmp_path)
        assert "\n" not in str(caught.value)


def test_a_module_of_the_same_name_elsewhere_is_another(tmp_path: Path) -> None:
    for units in (3, 5):
        folder = tmp_path / str(units)
        folder.mkdir()
        (folder / "same_name.py").write_text(
            f"import keras\ndef net():\n"
            f"    return keras.Sequential([keras.Input((4,)), keras.layers.Dense({units})])\n"
        )
        assert build_model("same_name:net", folder).layers[0].units == units


def test_saving_where_nothing_can_be_written(model: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_model(model, tmp_path / "file" / "m.keras")
    with pytest.raises(ModelError, match=r"\.keras or \.h5"):
        save_model(model, tmp_path / "m.tf")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_h5_that_nobody_could_open_is_not_written(tmp_path: Path) -> None:
    i = keras.Input((4,))
    x = keras.layers.Dense(3, name="a")(i)
    inner = keras.Model(i, x + 1, name="inner")
    model = keras.Model(i, keras.layers.Dense(2)(inner(i)))
    with pytest.raises(ModelError, match="operations between layers, such as 'add"):
        save_model(model, tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())
    save_model(model, tmp_path / "m.keras")
    load_model(tmp_path / "m.keras")
