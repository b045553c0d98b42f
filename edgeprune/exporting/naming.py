"""Which Keras weight a constant of a file is, told by its values."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.models import kernels, named_weights


class WeightNames:
    """Names for the constants of one file, each given once, the same in any process.

    A converter transposes kernels and drops their zeros; the non-zero values themselves stay. What
    it computes anew (a batch norm folded in, whole numbers) is known by the layer in the
    converter's own name.
    """

    def __init__(self, model: Any) -> None:
        self._by_values: dict[str, list[str]] = {}
        self._kernels: dict[str, tuple[str, tuple[int, ...]]] = {}
        for name, variable in named_weights(model).items():
            key = _key(np.asarray(keras.ops.convert_to_numpy(variable)))
            if key is not None:
                self._by_values.setdefault(key, []).append(name)
        for name, kernel in kernels(model).items():
            layer, _, _ = name.rpartition("/")
            self._kernels.setdefault(layer, (name, _sizes(kernel.variable.shape)))
        self._taken: set[str] = set()
        self._count = 0

    def of(self, values: npt.NDArray[Any], shape: tuple[int, ...], hint: str = "") -> str:
        """A name for a constant.

        Args:
            values: those that are stored.
            shape: of the dense tensor.
            hint: what the converter calls it.
        """
        key = _key(values)
        found = self._by_values.get(key, []) if key is not None else []
        if found:
            return self._unused(found.pop(0) if len(found) > 1 else found[0])
        if key is not None or values.dtype.kind == "i":
            found = sorted(filter(None, (self._kernel(part, shape) for part in hint.split(";"))))
            if found:
                return self._unused(found[0])
        self._count += 1
        return self._unused(f"constant_{self._count}")

    def _kernel(self, hint: str, shape: tuple[int, ...]) -> str | None:
        """The kernel of this shape, in any order of its axes, of the layer that a hint names."""
        layer = _layer(hint)
        wanted = _sizes(shape)
        while layer:
            if layer in self._kernels and self._kernels[layer][1] == wanted:
                return self._kernels[layer][0]
            layer = layer.rpartition("/")[0]
        return None

    def _unused(self, name: str) -> str:
        unique, count = name, 2
        while unique in self._taken:
            unique, count = f"{name}#{count}", count + 1
        self._taken.add(unique)
        return unique


def _key(values: npt.NDArray[Any]) -> str | None:
    """Digest of the non-zero values in ascending order; ``None`` where there is none."""
    if values.dtype.kind != "f":
        return None
    alive = np.sort(values[values != 0].astype(np.float32, copy=False), axis=None)
    return hashlib.sha256(alive.tobytes()).hexdigest() if alive.size else None


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Lengths of axes, in any order; a converter adds and drops those of one."""
    return tuple(sorted(int(size) for size in shape if size != 1))


def _layer(hint: str) -> str:
    """``model_1/block_1/conv_1/convolution:0`` as ``block/conv/convolution``."""
    parts = [re.sub(r"_\d+$", "", part) for part in hint.split(":")[0].split("/")]
    return "/".join(parts[1:])
