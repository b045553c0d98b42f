"""Where data is and of what kind, before any value is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.errors import DataError
from edgeprune.feeding import archives
from edgeprune.feeding.checking import check_shapes
from edgeprune.feeding.images import class_folders
from edgeprune.feeding.ports import inputs_of, outputs_of
from edgeprune.feeding.tfdata import is_saved
from edgeprune.recipes import DataSource, is_function


@dataclass(frozen=True)
class Place:
    """Where one role's data is, before any of it is read.

    Attributes:
        source: of the recipe.
        path: absolute; for ``module:function`` meaningless.
        name: for messages.
        kind: ``"npz"``, ``"images"``, ``"saved"``, ``"function"``.
    """

    source: DataSource
    path: Path
    name: str
    kind: str


def locate(source: DataSource, base: Path) -> Place:
    """Say what kind of data a source is.

    Raises:
        DataError: not there, or of no known kind.
    """
    path = (base / Path(source.path).expanduser()).resolve()
    name = _shown(source.path, path)
    if is_function(source.path) and not path.exists():
        return Place(source, path, source.path, "function")
    if path.is_dir():
        return Place(source, path, name, "saved" if is_saved(path) else "images")
    if not path.exists():
        raise DataError(f"{name}: no such file")
    if path.suffix.lower() == ".npz":
        return Place(source, path, name, "npz")
    hint = "save it with its labels by numpy.savez" if path.suffix == ".npy" else "convert it"
    raise DataError(
        f"{name}: data is an .npz, a folder of images by class, a saved tf.data.Dataset or "
        f"module:function; {hint}"
    )


def peek(place: Place, role: str, model: Any) -> tuple[str, ...]:
    """Look at data without reading values: what can be wrong is said early.

    Returns:
        The place and the arrays that would be read: equal for two roles that would read the same.

    Raises:
        DataError: no ``.npz``, arrays not there, shapes that do not fit the model; no class
            folders. What a function returns, or a saved dataset holds, is not looked at.
    """
    if place.kind == "npz":
        found = archives.headers(Path(place.name))
        wanted = chosen(place, found, role, model)
        shapes = [found[name][0] for name in wanted.x], [found[name][0] for name in wanted.y]
        names = (wanted.x, wanted.y)
        check_shapes(place.name, names, shapes, inputs_of(model), outputs_of(model))
        return (str(place.path), *wanted.x)
    if place.kind == "images":
        class_folders(place.path, None)
    return (place.source.path if place.kind == "function" else str(place.path),)


def chosen_arrays(source: DataSource, base: Path, model: Any, role: str) -> archives.Chosen:
    """The arrays of an ``.npz`` that a role would read; raises as :func:`peek`."""
    place = locate(source, base)
    if place.kind != "npz":
        raise DataError(f"{place.name}: no .npz")
    return chosen(place, archives.headers(Path(place.name)), role, model)


def holds_bytes(source: DataSource, base: Path, model: Any) -> bool:
    """Whether inputs lie as bytes (images, uint8 arrays) that a float input may want scaled."""
    place = locate(source, base)
    if place.kind == "images":
        return True
    floats = all(port.dtype.startswith("float") for port in inputs_of(model))
    if place.kind != "npz" or not floats:
        return False
    found = archives.headers(Path(place.name))
    return all(found[name][1] == "uint8" for name in chosen(place, found, "train", model).x)


def _shown(given: str, path: Path) -> str:
    """A path as it was given; one that is relative to a recipe, from here."""
    return given if Path(given).is_absolute() else os.path.relpath(path)


def chosen(
    place: Place, found: dict[str, archives.Header], role: str, model: Any
) -> archives.Chosen:
    """The arrays that a role reads of the ``found`` ones (:func:`archives.choose`)."""
    return archives.choose(
        Path(place.name),
        found,
        role=role,
        x=place.source.x,
        y=place.source.y,
        inputs=inputs_of(model),
        outputs=outputs_of(model),
    )
