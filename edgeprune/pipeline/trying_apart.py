"""Points of a scan that other processes try: by paths, digests and numbers, never by a model.

Model, scores and inputs are written to a folder that is there for the time of the scan. What comes
back are the answers, batch by batch; they are judged where the metric is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.graphs import Graph
from edgeprune.models.forward import flat, input_names
from edgeprune.models.marks import BATCH
from edgeprune.models.sending import Sent
from edgeprune.npz import write_npz
from edgeprune.planning import from_group, from_weight
from edgeprune.plans import Plan
from edgeprune.scans import Of
from edgeprune.scores import Scores
from edgeprune.surgery import Trial, trace

Answers = list[Any]
"""Of each batch, in order."""


@dataclass(frozen=True)
class Point:
    """One place that loses a share.

    Attributes:
        model: in a folder with scores and inputs.
        of, pattern: what the place loses.
        place: its name.
        ratio: the share.
    """

    model: Sent
    of: Of
    pattern: str
    place: str = ""
    ratio: float = 0.0

    def at(self, place: str, ratio: float) -> Point:
        """Another point of the same scan."""
        return replace(self, place=place, ratio=ratio)


def plan_of(scores: Scores, graph: Graph, of: Of, pattern: str, place: str, ratio: float) -> Plan:
    """What one place loses."""
    if of == "channels":
        return from_group(scores, graph, place, ratio)
    return from_weight(scores, place, ratio, pattern)


@contextmanager
def prepared(model: Any, scores: Scores, data: Dataset, of: Of, pattern: str) -> Iterator[Point]:
    """A point without a place, whose folder holds all that :func:`answers` needs."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as name:
        folder = Path(name)
        sent = Sent.to(folder, model)
        scores.save(folder / "scores.npz")
        names = input_names(model)
        for number, batch in enumerate(data.batches(BATCH)):
            arrays = {
                f"{place:04d}": np.asarray(keras.ops.convert_to_numpy(array))
                for place, array in enumerate(flat(batch[0], names))
            }
            write_npz(folder / f"batch-{number:07d}.npz", arrays)
        yield Point(sent, of, pattern)


def answers(point: Point) -> Answers:
    """The model's answers with the place silenced."""
    trial, graph, scores = _tried(point)
    trial.silence(plan_of(scores, graph, point.of, point.pattern, point.place, point.ratio))
    return [trial.predict(inputs) for inputs in _batches(point.model.folder)]


def _tried(point: Point) -> tuple[Trial, Graph, Scores]:
    def make(model: Any) -> tuple[Trial, Graph, Scores]:
        graph = trace(model)
        return Trial(model, graph), graph, Scores.load(point.model.folder / "scores.npz")

    return point.model.once(make)


def _batches(folder: Path) -> Iterator[tuple[Any, ...]]:
    for path in sorted(folder.glob("batch-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            yield tuple(file[name] for name in sorted(file.files))
