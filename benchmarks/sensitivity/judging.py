"""The untouched set is opened here, once for each cell, when nothing is left to decide."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from benchmarks.sensitivity.sets import Examples, Set, untouched
from edgeprune.models import kernel_elements, kernel_nonzero, macs, parameters
from edgeprune.models.forward import predictor

_opened = cache(untouched)


def accuracy(model: Any, data: Examples) -> float:
    """Share of the images whose class has the largest output."""
    return answered(predictor(model), data)


def answered(predict: Callable[[Any], Any], data: Examples) -> float:
    """The same of what answers as a model does."""
    right = 0
    for start in range(0, len(data.x), 1000):
        part = slice(start, start + 1000)
        right += int((predict(data.x[part]).argmax(axis=1) == data.y[part]).sum())
    return right / len(data.x)


def judged(dense: Any, pruned: Any, data: Set) -> dict[str, Any]:
    """Both on the 10,000 test images, and what is left of the dense model's weights and MACs.

    ``error`` is in % of the images, ``lost`` in points of accuracy, ``kept`` the share of the
    kernels' weights that are not zero, ``macs`` the share of the MACs.
    """
    test = _opened(data)
    before, after = accuracy(dense, test), accuracy(pruned, test)
    return {
        "dense": before,
        "accuracy": after,
        "error": round(100 * (1 - after), 4),
        "lost": round(100 * (before - after), 4),
        "kept": kernel_nonzero(pruned) / kernel_elements(dense),
        "macs": macs(pruned) / macs(dense),
        "parameters": parameters(pruned) / parameters(dense),
    }
