"""A model as a file, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
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
    with writing(path) as temporary, _compile_state_kept(model):
        model.save(temporary)


@contextlib.contextmanager
def _compile_state_kept(model: Any) -> Iterator[None]:
    """Keras takes the optimiser out of a model's compile state when it writes an .h5."""
    state = getattr(model, "_compile_config", None)
    before = dict(state.config) if state is not None else {}
    try:
        yield
    finally:
        if state is not None:
            state.config.update(before)
