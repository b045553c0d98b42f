"""What others give as a batch or an example, as arrays in the order of the model's ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.errors import DataError, EdgepruneError
from edgeprune.feeding.ports import Arrays
from edgeprune.feeding.rows import AS_IS, ArrayRows, Change
from edgeprune.files import nearest


@dataclass(frozen=True)
class Reader:
    """Makes :class:`ArrayRows` of what a batch holds.

    Attributes:
        name: for messages.
        inputs, outputs: the model's, where known.
        change: of the inputs.
        mirror: the targets are the inputs.
    """

    name: str
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    change: Change = AS_IS
    mirror: bool = False

    def rows(self, value: Any) -> ArrayRows:
        """``x``, ``(x,)``, ``(x, y)`` or ``(x, y, weights)`` with the examples along axis 0.

        Raises:
            DataError: another structure, lengths that differ, no numbers.
        """
        parts = value if isinstance(value, tuple | list) else (value,)
        if not 1 <= len(parts) <= 3:
            raise DataError(
                f"{self.name}: a batch of {len(parts)} parts; give (x, y) or (x, y, weights)"
            )
        xs, x_names = self._arrays(parts[0], "x", self.inputs)
        ys: Arrays = ()
        y_names: tuple[str, ...] = ("y",)
        if len(parts) > 1 and parts[1] is not None and not self.mirror:
            ys, y_names = self._arrays(parts[1], "y", self.outputs)
        weights = np.asarray(parts[2], np.float32) if len(parts) > 2 else None
        return ArrayRows(
            self.name, xs, ys, weights, x_names, y_names, self.inputs, self.change, self.mirror
        )

    def _arrays(
        self, value: Any, word: str, ports: Sequence[Port]
    ) -> tuple[Arrays, tuple[str, ...]]:
        if isinstance(value, Mapping):
            names = tuple(port.name for port in ports) or tuple(value)
            for name in names:
                if name not in value:
                    near = nearest(name, value)
                    hint = f"did you mean '{near}'?" if near else f"it has {', '.join(value)}"
                    raise DataError(f"{self.name}: {word} has no entry '{name}'; {hint}")
            return tuple(self._array(value[name], word) for name in names), names
        if isinstance(value, tuple | list) and (len(ports) > 1 or _all_arrays(value)):
            arrays = tuple(self._array(item, word) for item in value)
            single = len(arrays) == 1
            return arrays, (word,) if single else tuple(f"{word}[{i}]" for i in range(len(arrays)))
        return (self._array(value, word),), (word,)

    def _array(self, value: Any, word: str) -> Any:
        try:
            return np.asarray(value)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{self.name}: {word} does not become one array (rows of different lengths?)"
            ) from error


def _all_arrays(value: Sequence[Any]) -> bool:
    return len(value) > 0 and all(getattr(item, "ndim", 0) for item in value)


def guarded(make: Callable[[], Iterable[Any]], name: str) -> Iterator[Any]:
    """Iterate over somebody's data; what it raises becomes a ``DataError`` that names it."""
    try:
        yield from make()
    except (EdgepruneError, GeneratorExit):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:160]
        raise DataError(f"{name}: reading it fails with {type(error).__name__}: {text}") from error
