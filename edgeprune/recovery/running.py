"""A training as it goes: the compiled step, the epoch, the best values so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError, TrainingError
from edgeprune.models.forward import FreeBatch, examples_of, parts_of
from edgeprune.progress import Progress
from edgeprune.progress import Task as Shown
from edgeprune.recovery.aims import Aim, Pace
from edgeprune.recovery.checkpoints import Array, Checkpoint, State, assign, values
from edgeprune.recovery.growth import Growth
from edgeprune.recovery.histories import Epoch, History
from edgeprune.recovery.mirroring import Devices
from edgeprune.recovery.randomness import callers_state_kept, reseed
from edgeprune.recovery.zeros import Held, write_zeros
from edgeprune.seeds import derived_seed


class Run:
    """A model in training: its compiled step, its optimiser, its best values so far."""

    def __init__(
        self,
        model: Any,
        aim: Aim,
        pace: Pace,
        held: list[Held],
        growth: Growth | None,
        steps: int,
        devices: Devices,
    ) -> None:
        self.best: list[Array] = []
        self._model = model
        self._aim = aim
        self._pace = pace
        self._held = held
        self._growth = growth
        self._steps = steps
        self._first = growth.ends_in(steps) if growth is not None else 0
        rate: Any = pace.learning_rate
        if pace.decay == "cosine":
            cycle = max(1, pace.epochs * steps)
            rate = keras.optimizers.schedules.CosineDecay(pace.learning_rate, cycle)
        self._devices = devices
        self._optimizer = keras.optimizers.Adam(rate)
        self._optimizer.build(model.trainable_variables)
        self._step = FreeBatch(_step(model, aim, self._optimizer, held, growth, devices))

    def through(
        self,
        data: Dataset,
        validation: Dataset | None,
        store: Checkpoint | None,
        progress: Progress,
        title: str,
    ) -> History:
        """Every epoch, from the state in ``store`` where there is one."""
        epochs = self._pace.epochs
        with callers_state_kept(), progress.task(title, epochs * self._steps) as shown:
            history = self.resumed(store)
            if history is None:
                history = self.begun(validation)
            shown.advance(self._steps * history.epochs[-1].number)
            while history.epochs[-1].number < epochs and not history.stopped_early:
                history = self.epoch(history, data, validation, shown)
                history = replace(history, stopped_early=self.out_of_patience(history))
                if store is not None:
                    self.save(store, history)
        return history

    def begun(self, validation: Dataset | None) -> History:
        """The history before the first epoch."""
        self.best = values(self._model.variables)
        start = Epoch(0, None, self._judged(validation))
        return History(self._aim.metric, self._aim.higher_is_better, (start,), 0)

    def resumed(self, store: Checkpoint | None) -> History | None:
        """The history that ``store`` holds, everything set to its state; or ``None``."""
        state = store.load() if store is not None else None
        if state is None:
            return None
        count = len(self._variables)
        assign(self._variables, state.variables[:count])
        if self._growth is not None:
            self._growth.restore(state.facts["growth"], state.variables[count:])
        self.best = list(state.best)
        return History.from_json(state.facts["history"])

    def save(self, store: Checkpoint, history: History) -> None:
        """Keep the state after the last epoch."""
        facts, arrays = self._growth.state() if self._growth is not None else (None, [])
        told = {"history": history.to_json(), "growth": facts}
        store.save(State(told, [*values(self._variables), *arrays], self.best))

    def epoch(
        self, history: History, data: Dataset, validation: Dataset | None, shown: Shown
    ) -> History:
        """One pass over ``data``."""
        number = history.epochs[-1].number + 1
        seed, aim = self._pace.seed, self._aim
        reseed(self._model, derived_seed(seed, "epoch", number))
        total, seen = 0.0, 0
        order = derived_seed(seed, "shuffle", number)
        for place, batch in enumerate(data.batches(self._pace.batch_size, shuffle=order), 1):
            parts = parts_of(batch, self._model)
            loss = float(self._step(*parts))
            if not math.isfinite(loss):
                raise TrainingError(
                    f"{aim.word}: loss {aim.name!r} is {loss} in epoch {number}; "
                    "usual causes: a learning rate too high (lower [finetune] learning_rate), "
                    "inputs not scaled, labels outside the outputs, from_logits the wrong way"
                )
            if self._growth is not None and self._growth.after(self._steps * (number - 1) + place):
                write_zeros(self._held)
            count = examples_of(parts)
            total += loss * count
            seen += count
            shown.advance()
        if not seen:
            raise DataError(f"{data.name}: no batches to train on")
        done = Epoch(number, total / seen, self._judged(validation))
        best = history.best
        if number <= self._first or self._better(done, history):
            best, self.best = number, values(self._model.variables)
        shown.advance(0, _note(done, self._pace.epochs, aim.metric))
        return replace(history, epochs=(*history.epochs, done), best=best)

    def out_of_patience(self, history: History) -> bool:
        """Whether the last epochs brought nothing."""
        last, patience = history.epochs[-1].number, self._pace.patience
        if patience is None or last >= self._pace.epochs:
            return False
        best = history.best_metric
        reached = min(
            each.number
            for each in history.epochs
            if each.number == history.best or (each.metric == best and each.number >= self._first)
        )
        return last > self._first and last - reached >= patience

    @property
    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _judged(self, validation: Dataset | None) -> float | None:
        if validation is None:
            return None
        return self._aim.judge(validation.batches(max(self._pace.batch_size, 256)))

    def _better(self, done: Epoch, history: History) -> bool:
        best = history.best_metric
        if done.metric is None or self._aim.improves(done.metric, best):
            return True
        # Of equals the one of the lower rate has settled more.
        return self._pace.decay == "cosine" and done.metric == best


def _step(
    model: Any,
    aim: Aim,
    optimizer: Any,
    held: list[Held],
    growth: Growth | None,
    devices: Devices,
) -> Callable[[Any, Any, Any], Any]:
    variables = list(model.trainable_variables)

    def pull(inputs: Any, labels: Any, weights: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            loss = aim.loss(inputs, labels, weights)
            for extra in model.losses:
                loss = loss + tf.cast(extra, loss.dtype)
            scaled = optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, [variable.value for variable in variables])

    def step(inputs: Any, labels: Any, weights: Any) -> Any:
        loss, gradients = devices.pulled(pull, inputs, labels, weights)
        if growth is not None:
            gradients = growth.see(variables, gradients)
        devices.apply(optimizer, gradients, variables)
        write_zeros(held)
        return loss

    return step


def _note(done: Epoch, epochs: int, metric: str) -> str:
    note = f"epoch {done.number}/{epochs}, loss {done.loss:.4f}"
    return note if done.metric is None else f"{note}, {metric} {done.metric:.4f}"
