"""One pass over the data, in shards; it writes no weight.

A shard is so many micro-batches, whoever gathers it: its sums begin at zero, and the sums of the
shards are added in their order. So the numbers are the same bits whether one process took all of
them or several took some each (:mod:`edgeprune.scoring.shards`).
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.errors import DataError, TrainingError
from edgeprune.models import Objective
from edgeprune.models.forward import Parts, examples_of
from edgeprune.progress import SILENT, Progress
from edgeprune.scoring.microbatches import micro_batches
from edgeprune.scoring.own_labels import OwnLabels
from edgeprune.scoring.statistics import Floats, Gatherer, Sums

SHARD = 16
"""Micro-batches of a shard."""
_SLOPES = {
    "gradient": "kernel", "square": "kernel", "curvature": "kernel", "gate": "channel",
    "gate_square": "channel",
}  # fmt: skip
"""Fields that are zero everywhere only where the loss has no gradient, and of what they are."""
_ALONE = {"channel": ", or one that is nothing for a single example"}
CAUSES = "usual causes: inputs not scaled, labels outside the outputs, from_logits the wrong way"


@dataclass(frozen=True, eq=False)
class Shard:
    """What was gathered of some micro-batches.

    Attributes:
        sums: over their examples.
        seen: examples of each of them.
    """

    sums: Sums
    seen: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Start:
    """Where a shard begins.

    Attributes:
        batch: number of its first micro-batch, from 0.
        example: number of its first example, from 0.
    """

    batch: int = 0
    example: int = 0

    def after(self, shard: Shard) -> Start:
        """Where the next one does."""
        return Start(self.batch + len(shard.seen), self.example + sum(shard.seen))


@dataclass(frozen=True, eq=False)
class Hands:
    """What gathers, of one model.

    Attributes:
        objective: the loss.
        gatherers: each for some fields of the statistics.
        own: draws the labels, where the data's do not count.
    """

    objective: Objective
    gatherers: Sequence[Gatherer]
    own: OwnLabels | None = None

    def shard(
        self, batches: Iterable[list[Parts]], start: Start, told: Callable[[], None] = lambda: None
    ) -> Shard:
        """The sums over micro-batches, each as its chunks.

        Raises:
            TrainingError: a loss that is NaN or infinite.
        """
        for gatherer in self.gatherers:
            gatherer.begin(start.example)
        seen: list[int] = []
        at = start.example
        for number, chunks in enumerate(batches, start.batch + 1):
            labelled = []
            for parts in chunks:
                labelled.append(self.own.labelled(parts, at) if self.own is not None else parts)
                at += examples_of(parts)
            self._take(labelled, number)
            seen.append(sum(map(examples_of, chunks)))
            told()
        sums: dict[str, Any] = {}
        for gatherer in self.gatherers:
            sums |= gatherer.drained()
        return Shard(sums, tuple(seen))

    def _take(self, chunks: Sequence[Parts], number: int) -> None:
        for gatherer in self.gatherers:
            loss = gatherer.take(chunks)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"scoring: loss {self.objective.name!r} is {loss} in batch {number}; {CAUSES}"
                )

    def found(self, shards: Iterable[Shard]) -> dict[str, Any]:
        """Keywords of :class:`~edgeprune.scoring.statistics.Statistics` from all shards, in order.

        Raises:
            DataError: they hold no example.
            TrainingError: a gradient that is NaN or infinite, or a loss that no kernel has an
                influence on.
        """
        total: dict[str, dict[str, Any]] = {}
        seen: list[int] = []
        for shard in shards:
            seen += shard.seen
            for name, sums in shard.sums.items():
                mine = total.setdefault(name, {})
                for key, value in sums.items():
                    mine[key] = mine[key] + value if key in mine else value
        if not sum(seen):
            raise DataError("scoring: the calibration data is empty")
        found: dict[str, Any] = {}
        for gatherer in self.gatherers:
            found |= gatherer.found(total, sum(seen))
        for name, of in _SLOPES.items():
            if name in found:
                _check(found[name], of, self.objective)
        return {**found, "examples": sum(seen), "batches": len(seen), "microbatch": max(seen)}


def gather(
    model: Any,
    batches: Iterable[Any],
    hands: Hands,
    *,
    microbatch: int | None = None,
    chunk: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """One pass over ``batches`` in inference mode; keywords of
    :class:`~edgeprune.scoring.statistics.Statistics`.

    Sums are float64 and go over the chunks in order, so the result does not depend on anything but
    model, data and micro-batches. Memory: the sums twice, and what one chunk needs.

    Raises:
        DataError: no batches, no labels, or shapes that do not fit.
        TrainingError: a loss that is NaN or infinite, or that no kernel has an influence on.
    """
    length = operator.length_hint(batches, 0) or None
    waiting = micro_batches(batches, model, size=microbatch, chunk=chunk)
    with progress.task("score", length if microbatch is None else None) as task:
        return hands.found(_shards(hands, waiting, task.advance))


def _shards(
    hands: Hands, waiting: Iterator[list[Parts]], told: Callable[[], None]
) -> Iterator[Shard]:
    start = Start()
    while True:
        shard = hands.shard(itertools.islice(waiting, SHARD), start, told)
        if not shard.seen:
            return
        yield shard
        start = start.after(shard)


def _check(gradient: Mapping[str, Floats], of: str, objective: Objective) -> None:
    for name, value in gradient.items():
        if not np.isfinite(value).all():
            raise TrainingError(
                f"scoring: the gradient of loss {objective.name!r} is NaN or infinite in "
                f"{name!r}; {CAUSES}"
            )
    if gradient and not any(value.any() for value in gradient.values()):
        raise TrainingError(
            f"scoring: loss {objective.name!r} does not change with any {of}; are the outputs "
            f"saturated, or is it a loss without a gradient{_ALONE.get(of, '')}?"
        )
