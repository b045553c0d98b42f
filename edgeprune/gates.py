"""Promises on what is released: limits that a recipe, one of its targets, or a profile sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeprune.documents import Strict


class Gates(Strict):
    """Promises; a broken one ends with exit code 3 and holds the target back."""

    max_metric_drop: float | None = Field(
        default=None,
        description="Most the metric may lose, in its own unit (accuracy 0.003: 0.3 points).",
    )
    max_bytes: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Largest file.")
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Slowest median on the target, in milliseconds."
    )
    max_instructions: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Most instructions of one inference, counted as the target's core in qemu.",
    )
    min_sparsity: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="Least share of the original's kernel weights that is gone."
    )
    unmeasured: Literal["break", "allow"] = Field(
        default="break", description="What a gate that could not be evaluated counts as."
    )

    def over(self, other: Gates) -> Gates:
        """``other`` with what is said here in its place."""
        said = {key: getattr(self, key) for key in self.model_fields_set}
        return other.model_copy(update=said)
