"""The data: MNIST digits of the demo, and Fashion-MNIST of the Debian package.

Training images are given without the test images; those are opened once, by what judges a cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.fashion import packed

Set = Literal["digits", "fashion"]
HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "sensitivity"
DIGITS = HERE.parent.parent / "examples" / "mnist" / "mnist.npz"
Array = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images (examples, 28, 28, 1) in [0, 1], and their classes."""

    x: Array
    y: Labels

    def first(self, count: int | None) -> Examples:
        """The first so many; all where ``None``."""
        return self if count is None else Examples(self.x[:count], self.y[:count])

    def batches(self, size: int) -> list[tuple[Array, Labels]]:
        """All of them in their order, ``size`` at a time."""
        starts = range(0, len(self.x), size)
        return [(self.x[n : n + size], self.y[n : n + size]) for n in starts]


def training(name: Set, count: int | None = None) -> Examples:
    """The first ``count`` of the 60,000 training images."""
    return _opened(name, "train").first(count)


def untouched(name: Set) -> Examples:
    """All 10,000 test images: for what judges at the end, and nothing before."""
    return _opened(name, "test")


def _opened(name: Set, part: str) -> Examples:
    path = DIGITS
    if name == "fashion":
        path = BUILD / "fashion.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            packed(path)
    with np.load(path, allow_pickle=False) as file:
        x, y = file[f"x_{part}"], file[f"y_{part}"]
    return Examples(x[..., None].astype(np.float32) / 255, y.astype(np.int32))
