"""Does data fit a model: shapes, dtypes, values, classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.datasets import Batch, Dataset
from edgeprune.errors import DataError
from edgeprune.feeding.indexed import Indexed
from edgeprune.feeding.ports import Array, Arrays, fits, inputs_of, outputs_of, shape_text
from edgeprune.feeding.rows import check_finite
from edgeprune.feeding.streams import Stream

SCANNED = 256


def check_fits(dataset: Dataset, model: Any, *, role: str) -> None:
    """Refuse data that a model cannot be fed with, before anything long begins.

    Args:
        dataset: of any kind.
        model: a Keras model; one that was never built, or has no symbolic inputs, is not asked
            for shapes.
        role: for the message.

    Raises:
        DataError: no example; a shape that differs (with the one expected); NaN or Inf; a label
            outside the classes. The line names the file, the array and the first bad example.
    """
    if dataset.examples == 0:
        raise DataError(f"{dataset.name}: holds no example for {role}; give some")
    x_names, y_names = _names(dataset)
    outputs = outputs_of(model)
    xs, ys = _first(dataset)
    shapes = [array.shape for array in xs], [array.shape for array in ys]
    check_shapes(dataset.name, (x_names, y_names), shapes, inputs_of(model), outputs)
    _check_class_names(dataset, outputs)
    if isinstance(dataset, Indexed):
        dataset.rows.check_finite()
        _check_labels(dataset, dataset.targets(), y_names, outputs, 0)
        return
    first = 0
    if isinstance(dataset, Stream):
        dataset = replace(dataset, one_hot=None, class_weights=None)
    for batch in dataset.batches(SCANNED):
        if not isinstance(dataset, Stream):  # whose values were looked at as it was read
            for names, arrays in ((x_names, tupled(batch[0])), (y_names, _targets(batch))):
                for label, array in zip(names, arrays, strict=False):
                    check_finite(array, f"{dataset.name}: array '{label}'", first)
        _check_labels(dataset, _targets(batch), y_names, outputs, first)
        first += len(tupled(batch[0])[0])


def check_inputs(dataset: Dataset, model: Any) -> None:
    """Compare the shapes of the inputs alone; labels may be for a loss that is not known here.

    Raises:
        DataError: the first that differs.
    """
    names, shapes = _names(dataset)[0], [array.shape for array in _first(dataset)[0]]
    check_shapes(dataset.name, (names, ()), (shapes, ()), inputs_of(model), ())


def check_shapes(
    name: str,
    names: tuple[Sequence[str], Sequence[str]],
    shapes: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
) -> None:
    """Compare the shapes of arrays, with the examples' axis, with what a model takes and gives.

    Raises:
        DataError: the first that differs.
    """
    for kind, labels, found, ports in (
        ("input", names[0], shapes[0], inputs),
        ("output", names[1], shapes[1], outputs),
    ):
        if not ports or not found:
            continue
        if len(found) != len(ports):
            raise DataError(
                f"{name}: {len(found)} array{'s' * (len(found) != 1)} ({', '.join(labels)}) for "
                f"the model's {len(ports)} {kind}s ({', '.join(port.name for port in ports)})"
            )
        for label, shape, port in zip(labels, found, ports, strict=True):
            good = fits(shape[1:], port.shape[1:])
            if good or (kind == "output" and are_labels(shape, port)):
                continue
            also = f" or class numbers {shape_text(port.shape[:-1])}" if kind == "output" else ""
            raise DataError(
                f"{name}: array '{label}' is {shape_text(shape)}, {kind} '{port.name}' is "
                f"{shape_text(port.shape)}{also}{_advice(shape, port)}"
            )


def are_labels(shape: Sequence[int], port: Port) -> bool:
    """Whether a shape is that of class numbers, one for the last axis of an output."""
    own, classes = tuple(shape[1:]), port.shape[1:]
    return fits(own, classes[:-1]) or (own[-1:] == (1,) and fits(own[:-1], classes[:-1]))


def tupled(value: Any) -> Arrays:
    """The arrays of one part of a batch."""
    return value if isinstance(value, tuple) else (value,)


def _advice(shape: Sequence[int], port: Port) -> str:
    if fits((*shape[1:], 1), port.shape[1:]):
        return "; add a last axis: x[..., None]"
    wanted = port.shape[1:]
    if min(wanted, default=0) > 0 and np.prod(shape[1:]) == np.prod(wanted):
        return f"; reshape it: x.reshape(-1, {', '.join(map(str, wanted))})"
    return ""


def _names(dataset: Dataset) -> tuple[Sequence[str], Sequence[str]]:
    rows = getattr(dataset, "rows", None)
    if rows is not None:
        return rows.x_names, rows.y_names
    x, y = (tupled(part) for part in (*_a_batch(dataset), ())[:2])
    return _numbered("x", len(x)), _numbered("y", len(y))


def _numbered(word: str, count: int) -> Sequence[str]:
    return [word] if count < 2 else [f"{word}[{place}]" for place in range(count)]


def _a_batch(dataset: Dataset) -> Batch:
    return next(iter(dataset.batches(1)))


def _first(dataset: Dataset) -> tuple[Arrays, Arrays]:
    if isinstance(dataset, Indexed):
        taken = dataset.subset(np.arange(1)).take_plain()
        return taken[0], taken[1]
    batch = _a_batch(dataset)
    return tupled(batch[0]), _targets(batch)


def _targets(batch: Batch) -> Arrays:
    return tupled(batch[1]) if len(batch) > 1 else ()


def _check_class_names(dataset: Dataset, outputs: Sequence[Port]) -> None:
    if dataset.classes is None or len(outputs) != 1:
        return
    count, width = len(dataset.classes), outputs[0].shape[-1]
    if (width > 1 and count != width) or (width == 1 and count > 2):
        raise DataError(
            f"{dataset.name}: {count} classes ({', '.join(dataset.classes[:4])}"
            f"{', …' if count > 4 else ''}), but output '{outputs[0].name}' has {width}; "
            "check the folder, or 'classes' in the recipe"
        )


def _check_labels(
    dataset: Dataset, ys: Arrays, names: Sequence[str], outputs: Sequence[Port], first: int
) -> None:
    if len(ys) != len(outputs):
        return
    for label, y, port in zip(names, ys, outputs, strict=True):
        if are_labels(y.shape, port):
            classes = port.shape[-1]
            if classes == 1:  # a number, or the probability of the second of two named classes
                classes = 2 if dataset.classes else -1
            if classes > 0:
                _check_range(f"{dataset.name}: array '{label}'", y, classes, port.name, first)


def _check_range(what: str, y: Array, classes: int, output: str, first: int) -> None:
    bad = (y < 0) | (y >= classes)
    if y.dtype.kind == "f":
        bad |= y != np.floor(y)
    if bad.any():
        place = [int(part[0]) for part in np.nonzero(bad)]
        where = ", ".join(map(str, [place[0] + first, *place[1:]]))
        raise DataError(
            f"{what} is {y[tuple(place)]} at [{where}]; output '{output}' has the classes "
            f"0 … {classes - 1}"
        )
