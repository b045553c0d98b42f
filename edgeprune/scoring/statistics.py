"""What the formulas need of a model and its calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.graphs import Graph
from edgeprune.models import kernels
from edgeprune.models.forward import Parts

Floats = npt.NDArray[np.float64]
Sums = Mapping[str, Mapping[str, Floats]]
"""By field, by kernel or group: float64 sums over examples."""


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

    def begin(self, example: int) -> None:
        """What comes next begins with this example of all, counted from 0."""
        ...

    def take(self, chunks: Sequence[Parts]) -> float:
        """One micro-batch, as its chunks; its loss."""
        ...

    def drained(self) -> Sums:
        """The sums since the last time; they begin anew."""
        ...

    def found(self, sums: Sums, examples: int) -> Mapping[str, Mapping[str, Floats]]:
        """By field of :class:`Statistics`, its value for sums over so many examples."""
        ...


def values_of(model: Any) -> dict[str, npt.NDArray[np.float32]]:
    """The model's kernels by name, as float32."""
    return {
        name: np.asarray(keras.ops.convert_to_numpy(kernel.variable), np.float32)
        for name, kernel in kernels(model).items()
    }


def emptied(sums: Mapping[str, Any]) -> dict[str, Floats]:
    """The values of variables, which are zero afterwards."""
    found = {name: np.array(total.numpy(), np.float64) for name, total in sums.items()}
    for total in sums.values():
        total.assign(np.zeros(total.shape))
    return found
