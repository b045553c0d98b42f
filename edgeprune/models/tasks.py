"""What a model is for: a loss to score and train with, a metric to judge by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from edgeprune.errors import DataError, InputError
from edgeprune.models.fitting import check_labels
from edgeprune.models.forward import flat, output_names, predictor
from edgeprune.models.identities import identity_of
from edgeprune.models.metrics import Measure, make_measure
from edgeprune.models.objectives import Objective, make_objective
from edgeprune.progress import Progress

Predict = Callable[[Any], Any]
"""From one batch's ``x`` to the outputs (an array, or arrays in the model's order)."""

ClassWeights = Mapping[str, float] | Literal["balanced"]


@dataclass(frozen=True, eq=False)
class Task:
    """A resolved task.

    Attributes:
        loss: over all outputs.
        metric_name: of the metric that everything is judged by.
        higher_is_better: its direction.
        class_weights: as the recipe has them; feeding turns them into sample weights.
        outputs: names of the model's outputs.
        measure: the metric itself.
    """

    loss: Objective
    metric_name: str
    higher_is_better: bool
    class_weights: ClassWeights | None
    outputs: tuple[str, ...]
    measure: Measure

    def facts(self) -> dict[str, Any]:
        """JSON values that tell this loss and this metric from others, whatever their names are:
        part of the key of whatever is kept for later."""
        return {
            "loss": [self.loss.name, identity_of([self.loss.losses, self.loss.weights])],
            "metric": [self.metric_name, identity_of(self.measure.asked)],
            "higher_is_better": self.higher_is_better,
        }

    @property
    def unjudged(self) -> str | None:
        """Of several outputs, which one the metric judges, and which it does not; ``None`` where it
        judges all."""
        if len(self.outputs) < 2 or self.measure.make is None:
            return None
        mine = self.outputs[self.measure.output]
        others = [repr(name) for name in self.outputs if name != mine]
        return (
            f"judged by {self.metric_name.removeprefix(mine + ':')} of {mine!r}; "
            f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} not judged (choose with "
            f"metric, as in --metric {others[0][1:-1]}:NAME, or loss for all)"
        )

    def told(self, progress: Progress) -> Task:
        """This task; what it does not judge is said."""
        if (line := self.unjudged) is not None:
            progress.say(f"note: {line}")
        return self

    def evaluate(self, predict: Predict, batches: Iterable[Any]) -> float:
        """The metric over all examples of ``batches``, each counted once (no sample weights).

        The metric's own streaming state goes over the batches, so that AUC and the like are those
        of the whole set. ``predict`` may be a model's or an exported file's.

        Raises:
            DataError: no batches, or none with labels.
            InputError: the metric is not one number, or refuses labels and outputs.
        """
        metric: Any = None
        seen = 0
        for batch in batches:
            labels = flat(batch[1], self.outputs) if len(batch) > 1 else ()
            if not labels:
                raise DataError(f"metric {self.metric_name!r} needs labels; the batches hold none")
            outputs = flat(predict(batch[0]), self.outputs)
            if metric is None:
                metric = self._metric(labels, outputs)
            self._update(metric, labels, outputs)
            seen += len(outputs[0])
        if not seen:
            raise DataError("no examples to evaluate on")
        value = np.asarray(keras.ops.convert_to_numpy(metric.result()))
        if value.size != 1:
            raise InputError(
                f"metric {self.metric_name!r} gives {value.size} numbers; one is needed to decide"
            )
        return float(value.reshape(()))

    def model_predict(self, model: Any) -> Predict:
        """``x -> outputs`` of a Keras model in inference mode, numpy in and out, compiled once for
        any number of examples."""
        return predictor(model)

    def improves(self, new: float, old: float | None) -> bool:
        """Whether ``new`` is better than ``old``; anything beats ``None`` and NaN, NaN nothing."""
        if np.isnan(new):
            return False
        if old is None or np.isnan(old):
            return True
        return new > old if self.higher_is_better else new < old

    def drop(self, before: float, after: float) -> float:
        """How much worse ``after`` is than ``before``, in the metric's unit; negative is better."""
        return before - after if self.higher_is_better else after - before

    def best(self, metrics: Mapping[str, float]) -> str:
        """The name with the best metric; the first of equals."""
        found, value = next(iter(metrics)), None
        for name, metric in metrics.items():
            if self.improves(metric, value):
                found, value = name, metric
        return found

    def at_chance(self, metric: float, y: Any) -> bool:
        """Whether an accuracy is no better than always answering the commonest class: at most two
        standard errors above that class's share. Where this reaches 1 (labels of one class, or too
        few examples), even a model without a fault could not show more, and nothing is said.

        Args:
            metric: on the examples of ``y``.
            y: labels, class numbers or one-hot.
        """
        share, examples = self._commonest(y)
        limit = share + 2 * (share * (1 - share) / max(examples, 1)) ** 0.5
        return metric <= limit < 1

    def fits(self, predict: Predict, batch: Any) -> None:
        """Try the loss on one batch.

        Raises:
            DataError: no labels, or none that this loss can be meant for.
        """
        labels = flat(batch[1], self.outputs) if len(batch) > 1 else ()
        self.loss(labels, flat(predict(batch[0]), self.outputs))

    def _commonest(self, y: Any) -> tuple[float, int]:
        """Share of the commonest class, and of how many labels; 1 for what is no accuracy."""
        if not self.metric_name.lower().rpartition(":")[2].endswith(("accuracy", "acc")):
            return 1.0, 0
        labels = flat(y, self.outputs)
        value = np.asarray(labels[self.measure.output if len(labels) > 1 else 0])
        if not value.size:
            return 1.0, 0
        if value.ndim > 1 and value.shape[-1] > 1:
            value = value.argmax(axis=-1)
        _, counts = np.unique(value, return_counts=True)
        return float(counts.max() / value.size), value.size

    def _metric(self, labels: tuple[Any, ...], outputs: tuple[Any, ...]) -> Any:
        if self.measure.make is None:
            return keras.metrics.Mean()
        place = self.measure.output
        return self.measure.make(labels[place if len(labels) > 1 else 0], outputs[place])

    def _update(self, metric: Any, labels: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        if self.measure.make is None:
            metric.update_state(self.loss(labels, outputs), sample_weight=len(outputs[0]))
            return
        place = self.measure.output
        mine = labels[place if len(labels) > 1 else 0]
        check_labels("metric", self.metric_name, metric, mine, outputs[place])
        try:
            metric.update_state(mine, outputs[place])
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise InputError(
                f"metric {self.metric_name!r} does not fit labels of shape {np.shape(mine)} and "
                f"outputs of shape {np.shape(outputs[place])}; name one that does"
            ) from error


def make_task(
    loss: Any = None,
    metric: Any = None,
    higher_is_better: bool | None = None,
    class_weights: ClassWeights | None = None,
    *,
    model: Any,
    base: Path | None = None,
) -> Task:
    """Resolve a task.

    Args:
        loss: see :func:`edgeprune.models.objectives.make_objective`; ``None`` takes the compiled.
        metric: see :func:`edgeprune.models.metrics.make_measure`; ``None`` takes the compiled.
            A model with several outputs is judged on its first, or by ``"output:metric"``.
        higher_is_better: ``None`` where the metric's name tells (accuracy, auc, mse, mae …).
        class_weights: carried along.
        model: names its outputs and carries its compile state.
        base: comes first on the path when a ``module:function`` is imported.

    Raises:
        InputError: an unknown loss or metric, none given and none compiled, or a metric whose
            direction no name tells.
    """
    objective = make_objective(loss, model=model, base=base)
    measure = make_measure(metric, model=model, base=base)
    better = measure.known if higher_is_better is None else higher_is_better
    if better is None:
        raise InputError(
            f"metric {measure.name!r}: is more better? its name does not tell; write "
            "higher_is_better = true or false under [task]"
        )
    return Task(
        loss=objective,
        metric_name=measure.name,
        higher_is_better=better,
        class_weights=class_weights,
        outputs=tuple(output_names(model)),
        measure=measure,
    )
