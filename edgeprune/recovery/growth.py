"""Zeros that grow while a model trains: what the training must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from edgeprune.recovery.checkpoints import Array
from edgeprune.recovery.zeros import Held


class Growth(Protocol):
    """Zeros that grow while a model trains."""

    def begin(self, model: Any, held: list[Held], steps: int) -> list[Held]:
        """What is held, its masks being variables; ``steps`` are those of the whole training."""
        ...

    def facts(self) -> Any:
        """JSON values that tell this growth from others; part of a checkpoint's key."""
        ...

    def see(self, variables: Sequence[Any], gradients: Sequence[Any]) -> None:
        """Take note of a step's gradients; called in the compiled step, before its update."""
        ...

    def after(self, step: int) -> bool:
        """Called when step ``step`` (from 1) of the whole training is done: whether the masks
        changed, and the zeros have to be written."""
        ...

    def ends_in(self, steps: int) -> int:
        """The epoch, of ``steps`` steps each, in which the last zeros come: the first that may be
        kept."""
        ...

    def state(self) -> tuple[Any, list[Array]]:
        """JSON values and arrays from which :meth:`restore` goes on."""
        ...

    def restore(self, facts: Any, arrays: Sequence[Array]) -> None: ...
