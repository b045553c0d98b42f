"""The untouched set is opened here, once for each cell, when nothing is left to decide."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import edgeprune
from benchmarks.sensitivity.sets import Examples, Set, untouched
from edgeprune.benchmarking import bench_files
from edgeprune.models import (
    kernel_elements,
    kernel_nonzero,
    macs,
    parameters,
    values_digest,
)
from edgeprune.models.forward import predictor
from edgeprune.targets import Target

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


def started(dense: Any, measured: float) -> dict[str, Any]:
    """The dense model that a cell started from: its digest, its accuracy, its error in %."""
    return {
        "dense_weights": values_digest(dense)[:16],
        "dense": measured,
        "dense_error": round(100 * (1 - measured), 4),
    }


def speedup(dense: Any, pruned: Any) -> dict[str, float]:
    """How many times as fast the sparse TFLite file of ``pruned`` is as the dense one of ``dense``:
    medians of runs that take turns, on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "dense.tflite", Path(folder) / "sparse.tflite"]
        edgeprune.export(dense, files[0])
        edgeprune.export(pruned, files[1], sparse=True)
        before, after = bench_files(files, Target.load("host"), runs=200)
    return {"speedup": before.median_ms / after.median_ms}


def judged(dense: Any, pruned: Any, data: Set) -> dict[str, Any]:
    """Both on the 10,000 test images, and what is left of the dense model's weights and MACs.

    ``error`` is in % of the images, ``lost`` in points of accuracy, ``kept`` the share of the
    kernels' weights that are not zero, ``macs`` the share of the MACs.
    """
    test = _opened(data)
    before, after = accuracy(dense, test), accuracy(pruned, test)
    return {
        **started(dense, before),
        "accuracy": after,
        "error": round(100 * (1 - after), 4),
        "lost": round(100 * (before - after), 4),
        "kept": kernel_nonzero(pruned) / kernel_elements(dense),
        "macs": macs(pruned) / macs(dense),
        "parameters": parameters(pruned) / parameters(dense),
    }
