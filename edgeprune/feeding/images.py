"""A folder of class folders of images, decoded when a batch is made."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Port
from edgeprune.errors import DataError
from edgeprune.feeding.ordering import Index
from edgeprune.feeding.ports import Array, Arrays
from edgeprune.feeding.rows import Change, Taken
from edgeprune.files import digest_of, nearest, sha256_file

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
)
Color = Literal["rgb", "grey"]


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images by number: float32 ``(n, height, width, channels)``, int32 labels ``(n,)``.

    Attributes:
        name: for messages.
        folder: above the class folders.
        files: in order, below ``folder``.
        labels: int32, one a file.
        size: height and width; other images are resized (bilinear, antialiased).
        color: ``"rgb"`` or ``"grey"``.
        flat: grey images without the channels' axis.
        change: from 0 … 255 to what the model takes.
        mirror: the targets are the images themselves.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    size: tuple[int, int]
    color: Color
    flat: bool
    change: Change
    mirror: bool = False
    x_names: tuple[str, ...] = ("images",)
    y_names: tuple[str, ...] = ("classes",)

    @property
    def count(self) -> int:
        return len(self.files)

    @cached_property
    def digest(self) -> str:
        found = hashlib.sha256()
        for name in self.files:
            found.update(f"{name}\0{sha256_file(self.folder / name)}\n".encode())
        facts = {
            "files": found.hexdigest(),
            "labels": self.labels.tolist(),
            "size": list(self.size),
            "color": self.color,
            "flat": self.flat,
            "change": [self.change.scale, self.change.offset],
            "mirror": self.mirror,
        }
        return digest_of(facts)

    def take(self, index: Index | slice) -> Taken:
        numbers = np.arange(self.count)[index]
        height, width = self.size
        tail = () if self.flat else (3 if self.color == "rgb" else 1,)
        images = np.empty((len(numbers), height, width, *tail), np.float32)
        for place, number in enumerate(numbers):
            pixels = decoded(self.folder / self.files[number], self.size, self.color)
            images[place] = pixels.reshape(images.shape[1:])
        xs = (self.change(images),)
        return xs, xs if self.mirror else self.targets(index), None

    def targets(self, index: Index | slice) -> Arrays:
        return self.take(index)[0] if self.mirror else (self.labels[index],)

    def check_finite(self) -> None:
        """Pixels are whole numbers: nothing to find."""


def decoded(path: Path, size: tuple[int, int], color: Color) -> Array:
    """The pixels of an image file, uint8 ``(height, width)`` or ``(height, width, 3)``.

    Sixteen-bit grey is brought to eight; the orientation that a camera notes beside the pixels is
    left alone, as Keras leaves it.

    Raises:
        DataError: the file is no image, or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                image: Image.Image = file
                if image.mode.startswith("I"):
                    deep = np.asarray(image).astype(np.float64) / 257
                    image = Image.fromarray(deep.round().clip(0, 255).astype(np.uint8))
                image = image.convert("RGB" if color == "rgb" else "L")
                if image.size != size[::-1]:
                    image = image.resize(size[::-1], Image.Resampling.BILINEAR)
                return np.asarray(image)
    except FileNotFoundError:
        raise DataError(f"{path}: this image is gone since the folder was read") from None
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise DataError(
            f"{path}: no image, or damaged ({' '.join(str(error).split())[:80]}); "
            "remove or replace it"
        ) from error


def image_rows(
    folder: Path,
    *,
    classes: Sequence[str] | None,
    size: tuple[int, int] | None,
    color: Color | None,
    change: Change,
    inputs: Sequence[Port],
    mirror: bool = False,
) -> tuple[ImageRows, tuple[str, ...]]:
    """The images of a folder and the names of their classes.

    Args:
        folder: above the class folders.
        classes: their names in the order of the numbers; ``None``: sorted by name.
        size, color: ``None``: the model's.
        change: scaling, which has to be said.
        inputs: the model's.
        mirror: the targets are the images themselves.

    Raises:
        DataError: no class folders, no images in one, scaling unsaid, size or colour unknown.
    """
    names = class_folders(folder, classes)
    if change.scale is None:
        raise DataError(
            f"{folder}: say how images are scaled: scale = 0.00392156862745098 for 0 … 1, "
            "scale = 1 where the model rescales by itself"
        )
    size, color, flat = _look(folder, size, color, inputs)
    files: list[str] = []
    labels: list[int] = []
    for number, name in enumerate(names):
        found = sorted(
            f"{name}/{path.name}"
            for path in (folder / name).iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )
        if not found:
            raise DataError(f"{folder / name}: no images ({', '.join(sorted(SUFFIXES))}); add some")
        files += found
        labels += [number] * len(found)
    rows = ImageRows(
        str(folder),
        folder,
        tuple(files),
        np.array(labels, np.int32),
        size,
        color,
        flat,
        change,
        mirror,
    )
    return rows, names


def class_folders(folder: Path, classes: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the class folders: those listed, or all, sorted.

    Raises:
        DataError: none are there, or one that is listed is not, or one is not listed.
    """
    try:
        there = sorted(
            path.name
            for path in folder.iterdir()
            if path.is_dir() and not path.name.startswith((".", "__"))
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    if not there:
        raise DataError(
            f"{folder}: no folder of images by class, and no saved tf.data.Dataset; "
            "make one folder a class"
        )
    if classes is None:
        return tuple(there)
    for name in classes:
        if name not in there:
            near = nearest(name, there)
            hint = f"did you mean '{near}'?" if near else f"it holds {', '.join(there)}"
            raise DataError(f"{folder}: no folder for class '{name}'; {hint}")
    for name in there:
        if name not in classes:
            raise DataError(
                f"{folder / name}: class not in 'classes' of the recipe; add or move it"
            )
    return tuple(classes)


def _look(
    folder: Path, size: tuple[int, int] | None, color: Color | None, inputs: Sequence[Port]
) -> tuple[tuple[int, int], Color, bool]:
    shape = inputs[0].shape if len(inputs) == 1 and len(inputs[0].shape) in (3, 4) else ()
    flat = len(shape) == 3
    if size is None and shape and min(shape[1:3]) > 0:
        size = (shape[1], shape[2])
    if color is None and shape:
        color = "grey" if flat else {1: "grey", 3: "rgb"}.get(shape[3])  # type: ignore[assignment]
    if size is None:
        raise DataError(
            f"{folder}: say the images' size = [height, width]; the model leaves it open"
        )
    if color is None:
        raise DataError(
            f'{folder}: say the images\' color = "rgb" or "grey"; the model leaves it open'
        )
    return size, color, flat and color == "grey"
