"""Models from files and from ``module:function``, without trusting them."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from edgeprune.errors import ModelError
from edgeprune.models.names import named_weights
from edgeprune.models.references import one_line, referred


def load_model(path: Path | str, *, trust: bool = False) -> Any:
    """A Keras 3 model from a ``.keras`` or ``.h5`` file, compiled where its loss can be found.

    Code inside the file (a Lambda layer) runs only with ``trust=True``; a compile state that names
    unknown functions is left out, since the model itself does not need it.

    Raises:
        ModelError: no such file, truncated, no Keras model, written by Keras 2, a layer class that
            is not registered, a Lambda without ``trust``, or a weight that is NaN or infinite.
    """
    path = Path(path)
    version = file_version(path)
    if is_keras_2(version):
        raise ModelError(f"{path}: written by Keras {version}; open it with edgeprune.load")
    short = {} if path.suffix == ".keras" else _short_names()
    try:
        model = keras.models.load_model(path, custom_objects=short, safe_mode=not trust)
    except Exception as first:
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=not trust)
        except Exception:
            raise ModelError(_explained(path, first)) from first
    check_values(model, str(path))
    return model


def build_model(reference: str, base: Path) -> Any:
    """The model that ``module:function`` returns, its automatic names starting from one.

    ``keras.backend.clear_session()`` comes first; ``base`` stands first on the path meanwhile.

    Raises:
        ModelError: no such function, it fails, or what it returns is no built Keras 3 model.
    """
    keras.backend.clear_session()
    function = referred(reference, base)
    try:
        model = function()
    except Exception as error:
        raise ModelError(
            f"{reference}() fails with {type(error).__name__}: {one_line(error)}"
        ) from error
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ModelError(f"{reference}() returns a {kind}; it must return a Keras 3 model")
    if not model.built:
        raise ModelError(
            f"{reference}() returns a model without shapes; start it with keras.Input or build it"
        )
    check_values(model, reference)
    return model


def check_values(model: Any, name: str) -> None:
    """Refuse a model with NaN or infinite weights.

    Raises:
        ModelError: names the first such weight; ``name`` says whose it is.
    """
    for weight, variable in named_weights(model).items():
        value = keras.ops.convert_to_numpy(variable)
        if np.issubdtype(value.dtype, np.integer) or value.dtype == np.bool_:
            continue
        if value.dtype not in (np.float32, np.float64):
            value = value.astype(np.float32)
        bad = int(value.size - np.isfinite(value).sum())
        if bad:
            raise ModelError(
                f"{name}: weight {weight!r} has {bad} NaN or infinite values of {value.size}; "
                "train it again or take an earlier checkpoint"
            )


def _short_names() -> dict[str, Any]:
    """Keras writes ``loss="mse"`` into an .h5 as it was said, and does not know it when reading."""
    names = ("bce", "kld", "mae", "mape", "mse", "msle")
    return {name: keras.losses.get(name) for each in names for name in (each, each.upper())}


def file_version(path: Path) -> str | None:
    """The version of Keras that wrote a ``.keras`` or ``.h5`` file; ``None`` where it does not say.

    Raises:
        ModelError: no such file, another kind of file, truncated or damaged.
    """
    if path.is_dir():
        raise ModelError(f"{path}: a directory; give a .keras or .h5 file")
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    if path.suffix == ".keras":
        # Until 2.11, Keras wrote HDF5 under this name too.
        return _hdf5_version(path) if h5py.is_hdf5(path) else _zip_version(path)
    if path.suffix in (".h5", ".hdf5"):
        return _hdf5_version(path)
    raise ModelError(
        f"{path}: a model file ends in .keras or .h5, an exported one in .tflite or .onnx"
    )


def is_keras_2(version: str | None) -> bool:
    """Whether what Keras of this version wrote needs Keras 2 to be read."""
    return version is not None and version.split(".")[0] in ("1", "2")


def _zip_version(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            if "config.json" not in names:
                raise ModelError(f"{path}: a zip file without config.json: no Keras model")
            metadata = archive.read("metadata.json") if "metadata.json" in names else b"{}"
            broken = archive.testzip()
        found = json.loads(metadata)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise ModelError(
            f"{path}: truncated or no .keras file ({one_line(error)}); save or copy it again"
        ) from error
    if broken is not None:
        raise ModelError(f"{path}: {broken} in it is damaged; save or copy it again")
    return found.get("keras_version") if isinstance(found, dict) else None


def _hdf5_version(path: Path) -> str | None:
    try:
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{path}: holds weights without a model; save the whole model (model.save)"
                )
            version = file.attrs.get("keras_version", b"")
    except OSError as error:
        raise ModelError(
            f"{path}: truncated or no .h5 file ({one_line(error)}); save or copy it again"
        ) from error
    return (version.decode() if isinstance(version, bytes) else str(version)) or None


_UNKNOWN = re.compile(
    r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|class)"
    r"(?: named)?:?) '?(?P<name>[\w>.]+)'?"
)
_UNSAFE = re.compile(r"safe_mode|unsafe|arbitrary code", re.IGNORECASE)


def _explained(path: Path, error: BaseException) -> str:
    text = str(error)
    unknown = _UNKNOWN.search(text)
    if unknown:
        name = unknown["name"].split(">")[-1]
        return (
            f"{path}: class {name!r} is not known to Keras; decorate it with "
            "@keras.saving.register_keras_serializable() and give the model as module:function "
            "of the module that defines it (or import that module first)"
        )
    if _UNSAFE.search(text):
        return (
            f"{path}: holds Python code (a Lambda layer) that loading would run; "
            "if you trust its author, say so with --trust-model (trust=True)"
        )
    return f"{path}: Keras cannot read it ({type(error).__name__}: {one_line(error)})"
