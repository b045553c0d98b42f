"""What comes out of this room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Differences:
    """The largest ones on random inputs, as shares of the largest value of the output in question.

    Attributes:
        layers: of a layer that is given what its source was given.
        whole: of the model.
    """

    layers: float
    whole: float


@dataclass(frozen=True)
class Imported:
    """A model and how it came in.

    Attributes:
        model: a plain Keras 3 model.
        notes: what was done to make it one, a line each; none for a file of Keras 3.
        differences: from its source; ``None`` for a file of Keras 3.
    """

    model: Any
    notes: tuple[str, ...] = ()
    differences: Differences | None = None
