"""The one place where a model's file is opened, whoever wrote it."""

from __future__ import annotations

from pathlib import Path

from edgeprune.errors import ModelError
from edgeprune.importing.imported import Imported
from edgeprune.models.loading import build_model, file_version, is_keras_2, load_model
from edgeprune.recipes import is_function

SAVED_MODEL, METADATA = "saved_model.pb", "keras_metadata.pb"


def open_model(path: Path | str, *, trust: bool = False) -> Imported:
    """A Keras 3 model from ``.keras``, ``.h5``, or a SavedModel that Keras 2 wrote.

    What Keras 2 wrote is read by tf_keras, rebuilt layer by layer, and compared with its source on
    random inputs; wrappers of tfmot leave. Neither library is imported for a file of Keras 3.

    Args:
        path: a file, or the folder of a SavedModel.
        trust: load Lambda layers, which run code from the file.

    Raises:
        ModelError: as :func:`edgeprune.models.load_model`; or a SavedModel without layers, a layer
            that Keras 3 does not have, an output that differs.
    """
    if not isinstance(path, str | Path):
        raise ModelError(f"a model is loaded from a path, not from a {type(path).__name__}")
    path = Path(path)
    if path.is_dir():
        _check_saved_model(path)
    elif not is_keras_2(file_version(path)):
        return Imported(load_model(path, trust=trust))
    # Down here: only now is it known that tf_keras is needed.
    from edgeprune.importing.keras2 import import_keras_2

    return import_keras_2(path, trust=trust)


def open_named(name: str, base: Path, *, trust: bool = False) -> Imported:
    """What ``name`` stands for: ``module:function``, looked for in ``base`` first, or a file.

    Raises:
        ModelError: as :func:`open_model` and :func:`edgeprune.models.build_model`.
    """
    if is_function(name):
        return Imported(build_model(name, base))
    return open_model(base / Path(name).expanduser(), trust=trust)


def _check_saved_model(path: Path) -> None:
    if not (path / SAVED_MODEL).is_file():
        raise ModelError(
            f"{path}: a folder without {SAVED_MODEL}: no SavedModel; give a .keras or .h5 file"
        )
    if not (path / METADATA).is_file():
        raise ModelError(
            f"{path}: a SavedModel without {METADATA} (model.export, or plain TensorFlow) holds "
            "functions, not layers; give the .keras file that it was made from"
        )
