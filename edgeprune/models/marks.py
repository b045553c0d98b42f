"""What each example adds to a metric, so that two models can be compared example by example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.datasets import Dataset
from edgeprune.drops import Drop, paired, resampled
from edgeprune.errors import DataError
from edgeprune.models.forward import flat
from edgeprune.models.objectives import per_example
from edgeprune.models.tasks import Predict, Task

BATCH = 256
SAME = 1e-4
"""By how much the mean over the examples may miss the metric, as a share of it."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Marks:
    """What a model's answers are worth.

    Attributes:
        each: float64, what every example adds to a metric that is a mean over them; or
        outputs: the answers, where the metric is no such mean.
    """

    each: Floats | None
    outputs: tuple[Any, ...] = ()


class Judge:
    """Compares models on the same examples.

    Args:
        task: loss and metric.
        data: with labels; read once for each model. Where the metric is no mean over examples,
            labels and answers are held in memory.
        model: the one that others are compared with.
        seed: of the bootstrap.

    Raises:
        DataError: no labels.
        InputError: as :meth:`Task.evaluate`.
    """

    def __init__(self, task: Task, data: Dataset, model: Any, *, seed: int = 0) -> None:
        self.task = task
        self.data = data
        self._seed = seed
        self._labels: tuple[Any, ...] = ()
        self._means = True
        self._known: dict[bytes, float] = {}
        """Of a metric that is no mean: its worth by the examples, as samples come again."""
        predict = task.model_predict(model)
        self.metric = task.evaluate(predict, data.batches(BATCH))
        self.before = self.marks(predict)
        mean = None if self.before.each is None else float(self.before.each.mean())
        if mean is None or not abs(mean - self.metric) <= SAME * max(1.0, abs(self.metric)):
            self._means = False
            self._labels = _stacked(
                flat(_labels(batch), task.outputs) for batch in data.batches(BATCH)
            )
            self.before = self.marks(predict)

    @property
    def examples(self) -> int:
        """How many."""
        return self.data.examples

    def marks(self, predict: Predict, index: npt.NDArray[np.int64] | None = None) -> Marks:
        """What the answers to the examples at ``index`` (all where absent) are worth, in order."""
        data = self.data if index is None else self.data.subset(index)
        each: list[Floats] = []
        outputs: list[tuple[Any, ...]] = []
        for batch in data.batches(BATCH):
            labels = flat(_labels(batch), self.task.outputs)
            answers = flat(predict(batch[0]), self.task.outputs)
            values = self._each(labels, answers) if self._means else None
            if values is None:
                outputs.append(answers)
            else:
                each.append(values)
        if outputs:
            return Marks(None, _stacked(outputs))
        return Marks(np.concatenate(each))

    def drop(self, after: Marks, index: npt.NDArray[np.int64] | None = None) -> Drop:
        """How much worse than the model that this was made with, and how surely.

        Args:
            after: of the examples at ``index``, in their order.
            index: all where absent.
        """
        rows = np.arange(self.examples) if index is None else index
        difference = self._difference(after, rows)
        if difference is not None:
            return paired(difference, counted=self._counts(after))
        return resampled(lambda chosen: self._lost(after, rows, chosen), rows.size, self._seed)

    def lost(self, after: Marks, index: npt.NDArray[np.int64]) -> float:
        """The value of :meth:`drop` alone, which for some metrics is much less work."""
        difference = self._difference(after, index)
        if difference is not None:
            return float(difference.mean())
        return self._lost(after, index, np.arange(index.size))

    def _difference(self, after: Marks, rows: npt.NDArray[np.int64]) -> Floats | None:
        if after.each is None or self.before.each is None:
            return None
        sign = 1 if self.task.higher_is_better else -1
        return sign * (self.before.each[rows] - after.each)

    def _counts(self, after: Marks) -> bool:
        """Whether the metric says of each example that it is right or wrong, and no more."""
        both = (self.before.each, after.each)
        return all(each is not None and bool(np.isin(each, (0, 1)).all()) for each in both)

    def _lost(self, after: Marks, rows: npt.NDArray[np.int64], chosen: Any) -> float:
        """Of a metric that is no mean: the drop on ``chosen`` of ``rows``."""
        picked = rows[chosen]
        labels = tuple(value[picked] for value in self._labels)
        key = picked.tobytes()
        if key not in self._known:
            before = tuple(value[picked] for value in self.before.outputs)
            self._known[key] = self._worth(before, labels)
        new = self._worth(tuple(value[chosen] for value in after.outputs), labels)
        return self.task.drop(self._known[key], new)

    def _worth(self, answers: tuple[Any, ...], labels: tuple[Any, ...]) -> float:
        # The answers stand in the place of the inputs, and are passed on as they are.
        return self.task.evaluate(lambda given: given, [(answers, labels)])

    def _each(self, labels: tuple[Any, ...], answers: tuple[Any, ...]) -> Floats | None:
        """By example; ``None`` where the metric is no mean over examples."""
        measure = self.task.measure
        if measure.make is None:
            return per_example(self.task.loss, labels, answers)
        place = measure.output
        mine = labels[place if len(labels) > 1 else 0]
        metric = measure.make(mine, answers[place])
        if not isinstance(metric, keras.metrics.MeanMetricWrapper):
            return None
        values = metric._fn(mine, answers[place], **metric._fn_kwargs)
        return _by_example(values, len(answers[place]))


def joined(parts: Iterable[Marks]) -> Marks:
    """Marks of several parts, one behind the other."""
    parts = list(parts)
    if any(part.each is None for part in parts):
        return Marks(None, _stacked(part.outputs for part in parts))
    return Marks(np.concatenate([part.each for part in parts if part.each is not None]))


def _labels(batch: Any) -> Any:
    if len(batch) < 2:
        raise DataError("no labels in the data; models are compared by a metric, which needs them")
    return batch[1]


def _by_example(values: Any, examples: int) -> Floats | None:
    array = np.asarray(keras.ops.convert_to_numpy(values), np.float64)
    if not array.ndim or len(array) != examples:
        return None
    return array.reshape(examples, -1).mean(axis=1)


def _stacked(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
