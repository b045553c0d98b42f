"""Layers that are called otherwise for a while: how inputs and outputs inside a model are seen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Calling = Callable[..., Any]


@contextlib.contextmanager
def called_as(changes: Iterable[tuple[Any, Callable[[Calling], Calling]]]) -> Iterator[None]:
    """Within, each layer (or Keras operation) is called through what its function makes of its
    ``call``.

    Only the way in which the layers are called changes, and only until the end.
    """
    changed: list[Any] = []
    try:
        for layer, around in changes:
            # Past Keras' tracking of attributes: nothing of the layer changes but this.
            object.__setattr__(layer, "call", around(layer.call))
            changed.append(layer)
        yield
    finally:
        for layer in changed:
            vars(layer).pop("call", None)
