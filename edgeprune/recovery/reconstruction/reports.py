"""What least squares did to each layer."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerFit:
    """One layer with a kernel.

    Attributes:
        layer: its name.
        before, after: root of Σ|dense − pruned|² / Σ|dense|² over the calibration inputs, of what
            the layer gives to the next nonlinearity, in the pruned model as it came and in the
            one that is returned; ``None`` where it was not followed.
        ridge: λ; ``None`` where the weights stayed.
        rows: positions of its output that were solved on.
        reason: why the weights stayed; ``None`` where they changed.
    """

    layer: str
    before: float | None = None
    after: float | None = None
    ridge: float | None = None
    rows: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Reconstruction:
    """What was done.

    Attributes:
        layers: in the order of the data.
        before, after: the same ratio of the model's outputs.
        examples: that were seen.
    """

    layers: tuple[LayerFit, ...]
    before: float
    after: float
    examples: int

    @property
    def solved(self) -> int:
        """How many layers changed."""
        return sum(layer.reason is None for layer in self.layers)

    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "layers": [
                {**asdict(one), "before": _finite(one.before), "after": _finite(one.after)}
                for one in self.layers
            ],
            "output_error": {"before": _finite(self.before), "after": _finite(self.after)},
            "examples": self.examples,
        }


def _finite(value: float | None) -> float | None:
    """``None`` for what JSON has no number for: something where the dense layer gives zeros."""
    return value if value is not None and math.isfinite(value) else None
