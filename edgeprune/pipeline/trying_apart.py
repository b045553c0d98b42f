"""Points of a scan that other processes try: by paths, digests and numbers, never by a model.

Model, scores and inputs are written to a folder that is there for the time of the scan. What comes
back are the answers, batch by batch; they are judged where the metric is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.errors import ModelError
from edgeprune.graphs import Graph
from edgeprune.models import load_model, save_model, values_digest
from edgeprune.models.engine import running_threads, set_up
from edgeprune.models.forward import flat, input_names
from edgeprune.models.marks import BATCH
from edgeprune.planning import from_group, from_weight
from edgeprune.plans import Plan
from edgeprune.scans import Of
from edgeprune.scores import Scores
from edgeprune.scoring.shards import own_modules
from edgeprune.surgery import Trial, trace

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[tuple[int, Any]]]
"""``map(fn, items)`` gives (index, result) in whatever order the results come."""
Answers = list[Any]
"""Of each batch, in order."""
_ready: dict[str, tuple[Trial, Graph, Scores]] = {}
"""Of this process, by folder and digest: what tries the points of the last scan."""


@dataclass(frozen=True)
class Point:
    """One place that loses a share.

    Attributes:
        folder: with model, scores and inputs.
        digest: of the model's values.
        threads: of TensorFlow; ``None`` where nobody set them.
        modules: where the model's own layers are defined.
        of, pattern: what the place loses.
        place: its name.
        ratio: the share.
    """

    folder: Path
    digest: str
    threads: int | None
    modules: tuple[str, ...]
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
        save_model(model, folder / "model.keras")
        scores.save(folder / "scores.npz")
        names = input_names(model)
        for number, batch in enumerate(data.batches(BATCH)):
            arrays = {
                f"{place:04d}": np.asarray(keras.ops.convert_to_numpy(array))
                for place, array in enumerate(flat(batch[0], names))
            }
            np.savez(folder / f"batch-{number:07d}.npz", allow_pickle=False, **arrays)
        digest = values_digest(model)
        yield Point(folder, digest, running_threads(), own_modules(model), of, pattern)


def answers(point: Point) -> Answers:
    """The model's answers with the place silenced."""
    trial, graph, scores = _tried(point)
    trial.silence(plan_of(scores, graph, point.of, point.pattern, point.place, point.ratio))
    return [trial.predict(inputs) for inputs in _batches(point.folder)]


def _tried(point: Point) -> tuple[Trial, Graph, Scores]:
    key = f"{point.folder}/{point.digest}"
    if key not in _ready:
        _ready.clear()
        if point.threads is not None:
            set_up(point.threads)
        for module in point.modules:
            __import__(module)
        # Written a moment ago by this package: what code it holds, the parent runs too.
        model = load_model(point.folder / "model.keras", trust=True)
        if values_digest(model) != point.digest:
            raise ModelError(
                "scanning in other processes: the model does not come back from its file as it "
                "was; scan with one worker"
            )
        graph = trace(model)
        _ready[key] = (Trial(model, graph), graph, Scores.load(point.folder / "scores.npz"))
    return _ready[key]


def _batches(folder: Path) -> Iterator[tuple[Any, ...]]:
    for path in sorted(folder.glob("batch-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            yield tuple(file[name] for name in sorted(file.files))
