"""Zeros that grow while a model trains: what the training must know of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from edgeprune.plans import Plan
from edgeprune.recovery.checkpoints import Array
from edgeprune.recovery.zeros import Held


class Growth(Protocol):
    """Of one training. :mod:`edgeprune.recovery.ramping` has the one there is."""

    @property
    def plan(self) -> Plan | None:
        """What is gone by now; ``None`` before the first zeros."""
        ...

    def facts(self) -> Any:
        """JSON values that tell this growth from others; part of a checkpoint's key."""
        ...

    def begin(self, model: Any, held: Sequence[Held], steps: int) -> list[Held]:
        """What is held from now on, ``held`` always; ``steps`` are those of the whole training."""
        ...

    def see(self, variables: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
        """Take note of a step's gradients; those of its update. Called in the compiled step."""
        ...

    def after(self, step: int) -> bool:
        """Called when step ``step`` (from 1) of the whole training is done: whether what is held
        changed, so that the zeros have to be written."""
        ...

    def ends_in(self, steps: int) -> int:
        """The epoch, of ``steps`` steps each, in which the last zeros come: the first that may be
        kept."""
        ...

    def state(self) -> tuple[Any, list[Array]]:
        """JSON values and arrays from which :meth:`restore` goes on."""
        ...

    def restore(self, facts: Any, arrays: Sequence[Array]) -> None:
        """Go on from a state; :meth:`begin` was called."""
        ...
