"""What the formulas need, gathered in one pass; it writes no weight."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.errors import DataError, TrainingError
from edgeprune.graphs import Graph
from edgeprune.models import Objective, kernels
from edgeprune.models.forward import Parts, examples_of
from edgeprune.progress import SILENT, Progress
from edgeprune.scoring.microbatches import micro_batches

CAUSES = "usual causes: inputs not scaled, labels outside the outputs, from_logits the wrong way"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Of one model on one calibration set; what was not asked for is empty.

    Attributes:
        values: by name of the kernel, its value; float32.
        gradient: by name of the kernel, the mean over micro-batches, weighted by examples, of
            |∂E/∂w|, E the mean loss of the micro-batch; float64.
        square: by name of the kernel, the mean over examples of (∂E/∂w)², E the loss of the
            example; float64.
        curvature: by name of the kernel, the diagonal of the Gauss-Newton matrix of the mean loss,
            estimated; float64.
        norms: by name of the kernel, the root of the sum over examples and positions of x², x what
            it reads, in a shape that broadcasts to the kernel's; float64. Kernels whose input is
            not seen are left out.
        gate: by name of the group, the mean over examples of |Σ x · ∂E/∂x|, the sum over all
            positions and layers that read the channel; float64.
        gate_square: the mean of its square.
        group_square: by name of the group, the mean over micro-batches, weighted by examples, of
            (Σ w · ∂E/∂w)², the sum over all weights that make the channel; float64.
        active: by name of the group, the share of what is read that is not zero; float64.
        activation: by name of the group, the mean of the absolute value of what is read; float64.
        examples: that were seen.
        batches: micro-batches that were seen.
        microbatch: examples of the largest of them.
        graph: of the model, where formulas ask for its groups.
        scales: by name, every gamma of a normalisation, float32.
        seed: of what is drawn.
    """

    values: Mapping[str, npt.NDArray[np.float32]]
    gradient: Mapping[str, Floats] = field(default_factory=dict)
    square: Mapping[str, Floats] = field(default_factory=dict)
    curvature: Mapping[str, Floats] = field(default_factory=dict)
    norms: Mapping[str, Floats] = field(default_factory=dict)
    gate: Mapping[str, Floats] = field(default_factory=dict)
    gate_square: Mapping[str, Floats] = field(default_factory=dict)
    group_square: Mapping[str, Floats] = field(default_factory=dict)
    active: Mapping[str, Floats] = field(default_factory=dict)
    activation: Mapping[str, Floats] = field(default_factory=dict)
    examples: int = 0
    batches: int = 0
    microbatch: int = 0
    graph: Graph | None = None
    scales: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    seed: int = 0


class Gatherer(Protocol):
    """Sums over the data for some fields of :class:`Statistics`."""

    def take(self, parts: Parts, *, whole: bool) -> float:
        """One chunk, where ``whole`` all of its micro-batch; the mean loss of its examples."""
        ...

    def close(self) -> None:
        """A micro-batch ends."""
        ...

    def clear(self) -> None:
        """What was seen is forgotten."""
        ...

    def found(self, examples: int) -> Mapping[str, Mapping[str, Floats]]:
        """By field of :class:`Statistics`, its value for so many examples."""
        ...


def values_of(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The model's kernels by name, as float32."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(kernel.variable), np.float32)
        for name, kernel in kernels(model).items()
    }


def gather(
    model: Any,
    batches: Iterable[Any],
    objective: Objective,
    gatherers: Iterable[Gatherer],
    *,
    microbatch: int | None = None,
    chunk: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """One pass over ``batches`` in inference mode; keywords of :class:`Statistics`.

    Sums are float64 and go over the chunks in order, so the result does not depend on anything but
    model, data and micro-batches. Memory: the sums, and what one chunk needs.

    Raises:
        DataError: no batches, no labels, or shapes that do not fit.
        TrainingError: a loss that is NaN or infinite, or that no kernel has an influence on.
    """
    gatherers = list(gatherers)
    seen: list[int] = []
    length = operator.length_hint(batches, 0) or None
    with progress.task("score", length if microbatch is None else None) as task:
        for number, chunks in enumerate(
            micro_batches(batches, model, size=microbatch, chunk=chunk), start=1
        ):
            for parts in chunks:
                for gatherer in gatherers:
                    loss = gatherer.take(parts, whole=len(chunks) == 1)
                    if not math.isfinite(loss):
                        raise TrainingError(
                            f"scoring: loss {objective.name!r} is {loss} in batch {number}; "
                            f"{CAUSES}"
                        )
            for gatherer in gatherers:
                gatherer.close()
            seen.append(sum(map(examples_of, chunks)))
            task.advance()
    if not sum(seen):
        raise DataError("scoring: the calibration data is empty")
    found: dict[str, Any] = {}
    for gatherer in gatherers:
        found |= gatherer.found(sum(seen))
    for value in ("gradient", "square", "curvature"):
        if value in found:
            _check(found[value], objective)
    return {
        **found, "examples": sum(seen), "batches": len(seen), "microbatch": max(seen),
    }  # fmt: skip


def _check(gradient: Mapping[str, Floats], objective: Objective) -> None:
    for name, value in gradient.items():
        if not np.isfinite(value).all():
            raise TrainingError(
                f"scoring: the gradient of loss {objective.name!r} is NaN or infinite in "
                f"{name!r}; {CAUSES}"
            )
    if gradient and not any(value.any() for value in gradient.values()):
        raise TrainingError(
            f"scoring: loss {objective.name!r} does not change with any kernel; are the outputs "
            "saturated, or is it a loss without a gradient?"
        )
