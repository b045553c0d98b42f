"""``.npz`` files: read without trust, arrays chosen by name."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.errors import DataError
from edgeprune.feeding.ports import Array
from edgeprune.files import nearest

Header = tuple[tuple[int, ...], np.dtype]
ROLE_ARRAYS = {
    "train": ("x_train", "y_train"),
    "calibrate": ("x_train", "y_train"),
    "evaluate": ("x_test", "y_test"),
}
"""Arrays of the customary four-array archive, by role; other roles read as ``train``."""


@dataclass(frozen=True)
class Chosen:
    """The arrays of an archive that one role reads; ``mirror``: the targets are the inputs."""

    x: tuple[str, ...]
    y: tuple[str, ...]
    mirror: bool = False


def headers(path: Path) -> dict[str, Header]:
    """Shape and dtype of every array of an ``.npz``, no values read.

    Raises:
        DataError: no such file, truncated, no ``.npz``, or an array of pickled objects.
    """
    found = {}
    with _reading(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    found[member.removesuffix(".npy")] = _header(file)
    if not found:
        raise DataError(f"{path}: holds no array; write it with numpy.savez(x=…, y=…)")
    return found


def _header(file: object) -> Header:
    version = np.lib.format.read_magic(file)  # type: ignore[arg-type]
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        # Version 3 differs from 2 in the text's encoding only, for names of fields.
        raise ValueError(f"arrays of format {version}")
    shape, _, dtype = read(file)  # type: ignore[arg-type]
    return tuple(shape), dtype


def load(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """The arrays ``names`` of an ``.npz``, each read once; pickled objects are never loaded.

    Raises:
        DataError: as :func:`headers`, or a damaged array.
    """
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in dict.fromkeys(names)}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OSError,
        NotImplementedError,
    ) as error:
        raise DataError(
            f"{path}: truncated, or no .npz of plain arrays; write it again with numpy.savez"
        ) from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory; give a tf.data.Dataset") from error


def choose(
    path: Path,
    found: dict[str, Header],
    *,
    role: str,
    x: Sequence[str],
    y: Sequence[str],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
) -> Chosen:
    """Which arrays feed a model.

    In this order: the names given; ``x`` and ``y``; the names of the model's inputs and outputs;
    the customary ``x_train``, ``y_train`` (``x_test``, ``y_test`` for the role ``evaluate``).
    Targets named as the inputs, or ``x`` where no array is called so, are the inputs themselves.

    Raises:
        DataError: an array is not there (with the nearest name), or holds pickled objects.
    """
    names_in = tuple(port.name for port in inputs)
    names_out = tuple(port.name for port in outputs)
    customary = ROLE_ARRAYS.get(role, ROLE_ARRAYS["train"])
    xs = tuple(x) or _first(found, [("x",) if len(names_in) < 2 else (), names_in, customary[:1]])
    if not xs:
        raise DataError(
            f"{path}: holds no array for the inputs ({' or '.join(_options(names_in, 'x'))}); "
            f"it holds {', '.join(sorted(found))}: save it as x, or name it in a recipe, "
            "data = { path = …, x = … }"
        )
    mirror = bool(y) and (tuple(y) == xs or (tuple(y) == ("x",) and "x" not in found))
    fallback = customary[1:] if xs == customary[:1] else ()
    ys = () if mirror else tuple(y) or _first(found, [("y",), names_out, fallback])
    if not ys and not mirror and role != "inputs":
        raise DataError(
            f"{path}: holds no array for the targets ({' or '.join(_options(names_out, 'y'))}); "
            f"it holds {', '.join(sorted(found))}: save it as y, or name it in a recipe, y = …, "
            'or y = "x" to reconstruct'
        )
    for name in (*xs, *ys):
        _check_array(path, found, name)
    return Chosen(xs, ys, mirror)


def _first(found: dict[str, Header], options: Sequence[Sequence[str]]) -> tuple[str, ...]:
    for names in options:
        if names and all(name in found for name in names):
            return tuple(names)
    return ()


def _options(names: Sequence[str], plain: str) -> list[str]:
    return [*([plain] if len(names) < 2 else []), *([", ".join(names)] if names else [])]


def _check_array(path: Path, found: dict[str, Header], name: str) -> None:
    if name not in found:
        near = nearest(name, found)
        hint = f"did you mean '{near}'?" if near else f"it holds {', '.join(sorted(found))}"
        raise DataError(f"{path}: holds no array '{name}'; {hint}")
    if found[name][1].hasobject:
        raise DataError(
            f"{path}: array '{name}' holds pickled Python objects, which are never loaded; "
            "save numbers of one shape"
        )
