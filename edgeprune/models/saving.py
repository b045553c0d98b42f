"""A model as a file, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from edgeprune.errors import ModelError
from edgeprune.files import writing
from edgeprune.models.calls import function_of
from edgeprune.models.names import named_layers


def save_model(model: Any, path: Path | str) -> None:
    """Write ``model`` to ``path`` (``.keras`` or ``.h5``), whole or not at all.

    Raises:
        ModelError: another suffix, or an ``.h5`` that nobody could open.
        OutputError: the file cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.suffix not in (".keras", ".h5"):
        raise ModelError(f"{path}: a model is saved as .keras or .h5; end the name in one of them")
    operation = _operation_in(model) if path.suffix == ".h5" else None
    if operation is not None:
        raise ModelError(
            f"{path}: Keras cannot open an .h5 of a model with operations between layers, such as "
            f"{operation!r}; end the name in .keras"
        )
    with writing(path) as temporary, _compile_state_kept(model):
        model.save(temporary)


def _operation_in(model: Any) -> str | None:
    """The name of an operation that is no layer (``x + y``), where a model has one."""
    found = (
        operation.name
        for layer in named_layers(model).values()
        for operation in getattr(function_of(layer), "operations", ())
        if not isinstance(operation, keras.Layer)
    )
    return next(found, None)


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
