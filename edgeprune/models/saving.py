"""A model as a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeprune.errors import ModelError
from edgeprune.files import writing


def save_model(model: Any, path: Path | str) -> None:
    """Write ``model`` to ``path`` (``.keras`` or ``.h5``), whole or not at all.

    Raises:
        ModelError: another suffix.
        OutputError: the file cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.suffix not in (".keras", ".h5"):
        raise ModelError(f"{path}: a model is saved as .keras or .h5; end the name in one of them")
    with writing(path) as temporary:
        model.save(temporary)
