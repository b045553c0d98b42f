"""A model on its way to other processes of this machine: by its file, never itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from edgeprune.errors import ModelError
from edgeprune.models.digests import values_digest
from edgeprune.models.engine import running_threads, set_up
from edgeprune.models.loading import load_model
from edgeprune.models.names import named_layers
from edgeprune.models.saving import save_model

Made = TypeVar("Made")
Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[tuple[int, Any]]]
"""``map(fn, items)`` gives (index, result) in whatever order the results come."""
_kept: dict[Sent, Any] = {}
"""Of this process, what was made of the last model."""


@dataclass(frozen=True)
class Sent:
    """What another process needs to have the same model.

    Attributes:
        folder: that holds it; others may put what belongs to it beside.
        digest: of its values.
        threads: of TensorFlow; they are part of the result. ``None`` where nobody set them.
        modules: where its own layers are defined.
    """

    folder: Path
    digest: str
    threads: int | None
    modules: tuple[str, ...]

    @classmethod
    def to(cls, folder: Path, model: Any) -> Self:
        """Write ``model`` into ``folder``."""
        save_model(model, folder / "model.keras")
        return cls(folder, values_digest(model), running_threads(), _own_modules(model))

    def once(self, make: Callable[[Any], Made]) -> Made:
        """What ``make`` makes of the model, in this process; kept until another one comes.

        Raises:
            ModelError: the model is another one than was sent.
        """
        if self not in _kept:
            _kept.clear()
            _kept[self] = make(self._arrived())
        made: Made = _kept[self]
        return made

    def _arrived(self) -> Any:
        if self.threads is not None:
            set_up(self.threads)
        for module in self.modules:
            __import__(module)
        # Written a moment ago by this package: what code it holds, the parent runs too.
        model = load_model(self.folder / "model.keras", trust=True)
        if values_digest(model) != self.digest:
            raise ModelError(
                "the model does not come back from its file as it was, so other processes cannot "
                "share the work; take one worker"
            )
        return model


def _own_modules(model: Any) -> tuple[str, ...]:
    """Modules that define layers which are not Keras'; importing them registers the layers."""
    found = {type(layer).__module__ for layer in [model, *named_layers(model).values()]}
    own = {name for name in found if name.partition(".")[0] not in ("keras", "__main__")}
    return tuple(sorted(own))
