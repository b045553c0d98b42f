"""One entry of a recipe's ``[data]``, opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError
from edgeprune.feeding import archives
from edgeprune.feeding.batching import is_dataset
from edgeprune.feeding.elements import Reader
from edgeprune.feeding.images import image_rows
from edgeprune.feeding.indexed import Indexed
from edgeprune.feeding.places import Place, chosen, locate
from edgeprune.feeding.ports import inputs_of, outputs_of
from edgeprune.feeding.rows import ArrayRows, Change
from edgeprune.feeding.streams import Stream, cut, gathered
from edgeprune.feeding.tfdata import batched, is_tf_data, load_saved
from edgeprune.recipes import DataSource

ONE_HOT = ("categoricalcrossentropy", "categoricalfocalcrossentropy")
"""Losses of Keras that take one-hot labels."""


def open_data(
    source: DataSource,
    *,
    role: str,
    base: Path,
    model: Any,
    loss: Any = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Open the data of one role.

    Args:
        source: what a recipe says of it.
        role: ``"train"``, ``"calibrate"``, ``"evaluate"``; ``"inputs"``: targets may be absent.
        base: folder that relative paths start at.
        model: decides the order of arrays, dtypes, and what images are where unsaid; or ``None``.
        loss: name or object; one that takes one-hot labels gets whole-number labels so. ``None``:
            the compiled one.
        classes: names in the order of the model's outputs; ``None``: folders sorted by name.

    Raises:
        DataError: missing, truncated, pickled, of no known kind; arrays that are not there.
    """
    place = locate(source, base)
    names = None if classes is None else tuple(classes)
    opened = _OPENERS[place.kind](place, role, base, model, names)
    width = _one_hot_width(loss if loss is not None else getattr(model, "loss", None), model)
    if width and isinstance(opened, Indexed | Stream):
        opened = replace(opened, one_hot=width)
    return opened


def _change(source: DataSource) -> Change:
    return Change(source.scale, source.offset)


def _mirror(source: DataSource) -> bool:
    return bool(source.y) and source.y == (source.x or ("x",))


def _npz(
    place: Place, role: str, base: Path, model: Any, classes: tuple[str, ...] | None
) -> Indexed:
    path = Path(place.name)
    wanted = chosen(place, archives.headers(path), role, model)
    arrays = archives.load(path, [*wanted.x, *wanted.y])
    rows = ArrayRows(
        place.name,
        tuple(arrays[name] for name in wanted.x),
        tuple(arrays[name] for name in wanted.y),
        x_names=wanted.x,
        y_names=wanted.y or ("y",),
        inputs=inputs_of(model),
        change=_change(place.source),
        mirror=wanted.mirror,
    )
    limit = place.source.examples
    return Indexed(rows if limit is None else cut(rows, limit), classes)


def _images(
    place: Place, role: str, base: Path, model: Any, classes: tuple[str, ...] | None
) -> Indexed:
    source = place.source
    rows, names = image_rows(
        place.path,
        classes=classes,
        size=source.size,
        color=source.color,
        change=_change(source),
        inputs=inputs_of(model),
        mirror=_mirror(source),
    )
    limit = source.examples
    if limit is not None:  # the first of every class in turn: the first files are all of one
        ranks = _ranks(rows.labels.tolist())
        chosen = sorted(sorted(range(rows.count), key=lambda at: (ranks[at], at))[:limit])
        rows = replace(
            rows, files=tuple(rows.files[at] for at in chosen), labels=rows.labels[chosen]
        )
    return Indexed(rows, None if _mirror(source) else names)


def _ranks(labels: Sequence[int]) -> list[int]:
    seen: dict[int, int] = {}
    ranks = []
    for label in labels:
        ranks.append(seen.get(label, 0))
        seen[label] = ranks[-1] + 1
    return ranks


def _reader(place: Place, model: Any) -> Reader:
    return Reader(
        place.name,
        inputs_of(model),
        outputs_of(model),
        _change(place.source),
        _mirror(place.source),
    )


def _saved(
    place: Place, role: str, base: Path, model: Any, classes: tuple[str, ...] | None
) -> Dataset:
    dataset = load_saved(place.path, place.name)
    make = batched(dataset, place.name, inputs_of(model))
    return gathered(make, _reader(place, model), examples=place.source.examples, classes=classes)


def _function(
    place: Place, role: str, base: Path, model: Any, classes: tuple[str, ...] | None
) -> Dataset:
    from edgeprune.models.references import one_line, referred

    function = referred(place.source.path, base, DataError)

    def call() -> Any:
        try:
            return function()
        except Exception as error:
            raise DataError(
                f"{place.name}: fails with {type(error).__name__}: {one_line(error)}"
            ) from error

    return _returned(call(), call, place, model, classes)


def _returned(
    value: Any,
    call: Callable[[], Any],
    place: Place,
    model: Any,
    classes: tuple[str, ...] | None,
) -> Dataset:
    """What a user's function gave, as a dataset; ``call`` gives it anew (for generators)."""
    limit, reader = place.source.examples, _reader(place, model)
    if is_dataset(value):
        if limit is None or limit >= value.examples:
            return value
        import numpy as np

        return value.subset(np.arange(limit))
    if isinstance(value, tuple) and 1 <= len(value) <= 3:
        rows = reader.rows(value)
        return Indexed(rows if limit is None else cut(rows, limit), classes)
    if is_tf_data(value):
        make = batched(value, place.name, reader.inputs)
        return gathered(make, reader, examples=limit, classes=classes)
    if not hasattr(value, "__iter__") or isinstance(value, str | bytes | dict):
        raise DataError(
            f"{place.name}: returned {type(value).__name__}; return (x, y), a tf.data.Dataset or "
            "an iterable of (x, y) batches"
        )
    passes = [value]

    def again() -> Iterable[Any]:
        first = passes.pop() if passes else None
        if first is None:
            first = call() if hasattr(value, "__next__") else value
        return first

    return gathered(again, reader, examples=limit, classes=classes)


_OPENERS: dict[str, Callable[[Place, str, Path, Any, tuple[str, ...] | None], Any]] = {
    "npz": _npz,
    "images": _images,
    "saved": _saved,
    "function": _function,
}


def _one_hot_width(loss: Any, model: Any) -> int | None:
    """Classes, where the loss takes one-hot labels."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    outputs = outputs_of(model)
    if name.replace("_", "").lower() not in ONE_HOT or len(outputs) != 1:
        return None
    width = outputs[0].shape[-1]
    return width if width > 1 else None
