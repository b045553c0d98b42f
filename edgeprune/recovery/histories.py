"""What a fine-tuning did, epoch by epoch; a function of its inputs alone (no times)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Epoch:
    """One epoch; number 0 is the model as it came.

    Attributes:
        number: counted from 1.
        loss: mean training loss over the epoch's examples; ``None`` for number 0.
        metric: on the validation data after it; ``None`` without validation data.
    """

    number: int
    loss: float | None
    metric: float | None


@dataclass(frozen=True)
class History:
    """Every epoch.

    Attributes:
        metric: name of the metric.
        higher_is_better: its direction.
        epochs: in order, number 0 first.
        best: number of the epoch whose weights were kept.
        stopped_early: patience ran out before the last epoch.
    """

    metric: str
    higher_is_better: bool
    epochs: tuple[Epoch, ...]
    best: int
    stopped_early: bool = False

    @property
    def best_metric(self) -> float | None:
        """The validation metric of the weights that were kept."""
        return next(epoch.metric for epoch in self.epochs if epoch.number == self.best)

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> History:
        """Read what :meth:`to_json` gave."""
        values = dict(content)
        values["epochs"] = tuple(Epoch(**item) for item in values["epochs"])
        return cls(**values)
