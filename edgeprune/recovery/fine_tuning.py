"""Fine-tuning with the zeros held: the same bytes whether it ran through or was killed between."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from edgeprune.datasets import Dataset
from edgeprune.errors import DataError, InputError, TrainingError
from edgeprune.files import digest_of
from edgeprune.graphs import Graph
from edgeprune.models import Task, clone, values_digest
from edgeprune.models.forward import FreeBatch, examples_of, outputs_of, parts_of
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.progress import Task as Shown
from edgeprune.recovery.checkpoints import Array, Checkpoint, State, assign, values
from edgeprune.recovery.histories import Epoch, History
from edgeprune.recovery.randomness import callers_state_kept, reseed
from edgeprune.recovery.zeros import Held, exact_zeros, merged, planned_zeros, write_zeros
from edgeprune.seeds import derived_seed

Decay = Literal["none", "cosine"]


def fine_tune(
    model: Any,
    train: Dataset,
    validation: Dataset | None,
    *,
    task: Task,
    epochs: int,
    learning_rate: float,
    batch_size: int = 128,
    patience: int | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    decay: Decay = "none",
    trace: Callable[[Any], Graph] | None = None,
    checkpoint: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[Any, History]:
    """Train a copy of ``model`` with Adam; ``model`` is left as it was.

    Every kernel element that is exactly zero at the start, or that ``plan`` masks, is zero after
    every step. The order of examples and all random state of an epoch are a function of ``seed``
    and the epoch's number, so a run that was killed and goes on from ``checkpoint`` ends with the
    same bytes as one that was not (same machine, threads and versions).

    Args:
        model: any Keras model; its compile state does not matter.
        train: batches may carry sample weights.
        validation: chooses the best epoch; ``None`` keeps the last.
        task: its loss is trained (with the model's own regularisers), its metric judges.
        epochs: at most; each sees every example once.
        learning_rate: of Adam, > 0.
        batch_size: examples a step; the last step of an epoch may have fewer.
        patience: stop after that many epochs without a better metric; ``None``: never.
        seed: of everything random.
        plan: of this architecture; see :func:`edgeprune.recovery.hold`.
        decay: ``"cosine"`` lets the rate fall to 0 over all steps (Loshchilov and Hutter, "SGDR",
            2017, one cycle); ``"none"`` keeps it.
        trace: as :func:`edgeprune.recovery.hold` has it.
        checkpoint: folder of the state after each epoch; a state of the same inputs is resumed.
        progress: one task of ``epochs`` times the steps of an epoch; a note after each epoch.

    Returns:
        The new model with the weights of the best epoch (the start, number 0, competes too), and
        the history.

    Raises:
        InputError: a number out of range, patience without validation data, nothing trainable.
        DataError: no examples, or shapes that do not fit.
        PlanError: the plan is of another model, or, without ``trace``, its cuts are not carried
            out.
        TrainingError: the loss became NaN or infinite.
        OutputError: the checkpoint cannot be written.
    """
    _check(epochs, learning_rate, batch_size, patience, validation, decay)
    if not train.examples:
        raise DataError(f"{train.name}: no examples to fine-tune on")
    key = digest_of(
        {
            "model": values_digest(model),
            "train": train.digest,
            "validation": validation.digest if validation else None,
            "plan": plan.digest() if plan else None,
            "loss": task.loss.name,
            "metric": [task.metric_name, task.higher_is_better],
            "numbers": [epochs, learning_rate, batch_size, patience, seed, decay],
            "versions": [keras.__version__, tf.__version__],
        }
    )
    new = clone(model)
    if not new.trainable_variables:
        raise InputError("nothing of this model is trainable; set layer.trainable = True")
    held = exact_zeros(new)
    if plan is not None:
        traced = trace(new) if trace is not None and plan.cuts else None
        held = merged(held, planned_zeros(new, plan, traced))
        write_zeros(held)
    steps = math.ceil(train.examples / batch_size)
    rate: Any = learning_rate
    if decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, max(1, epochs * steps))
    run = _Run(new, task, keras.optimizers.Adam(rate), held, batch_size, seed)
    store = Checkpoint(checkpoint, key) if checkpoint is not None else None
    with callers_state_kept(), progress.task("fine-tune", epochs * steps) as shown:
        history = run.resumed(store)
        if history is None:
            history = run.begun(validation)
        shown.advance(steps * history.epochs[-1].number)
        while history.epochs[-1].number < epochs and not history.stopped_early:
            history = run.epoch(history, train, validation, epochs, shown)
            history = replace(history, stopped_early=_out_of_patience(history, patience, epochs))
            if store is not None:
                run.save(store, history)
    assign(new.variables, run.best)
    return new, history


def _check(
    epochs: int,
    learning_rate: float,
    batch_size: int,
    patience: int | None,
    validation: Dataset | None,
    decay: str,
) -> None:
    if epochs < 0:
        raise InputError(f"epochs = {epochs}: 0 or more are needed")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"learning_rate = {learning_rate}: a finite number above 0 is needed")
    if batch_size < 1:
        raise InputError(f"batch_size = {batch_size}: at least 1 is needed")
    if patience is not None and patience < 1:
        raise InputError(f"patience = {patience}: at least 1 epoch is needed")
    if patience is not None and validation is None:
        raise InputError("patience needs validation data to judge by; give some or leave it out")
    if decay not in ("none", "cosine"):
        raise InputError(f"decay = {decay!r}: 'none' or 'cosine'")


def _out_of_patience(history: History, patience: int | None, epochs: int) -> bool:
    last = history.epochs[-1].number
    return patience is not None and last < epochs and last - history.best >= patience


class _Run:
    """A model in training: its compiled step, its optimiser, its best values so far."""

    def __init__(
        self, model: Any, task: Task, optimizer: Any, held: list[Held], batch_size: int, seed: int
    ) -> None:
        optimizer.build(model.trainable_variables)
        self.best: list[Array] = []
        self._model = model
        self._task = task
        self._optimizer = optimizer
        self._batch_size = batch_size
        self._seed = seed
        self._step = FreeBatch(_step(model, task, optimizer, held))
        self._predict = task.model_predict(model)

    def begun(self, validation: Dataset | None) -> History:
        """The history before the first epoch."""
        self.best = values(self._model.variables)
        start = Epoch(0, None, self._judged(validation))
        return History(self._task.metric_name, self._task.higher_is_better, (start,), 0)

    def resumed(self, store: Checkpoint | None) -> History | None:
        """The history that ``store`` holds, the variables set to its state; or ``None``."""
        state = store.load() if store is not None else None
        if state is None:
            return None
        assign(self._variables, state.variables)
        self.best = list(state.best)
        return History.from_json(state.facts)

    def save(self, store: Checkpoint, history: History) -> None:
        store.save(State(history.to_json(), values(self._variables), self.best))

    def epoch(
        self,
        history: History,
        train: Dataset,
        validation: Dataset | None,
        epochs: int,
        shown: Shown,
    ) -> History:
        """One pass over ``train``."""
        number = history.epochs[-1].number + 1
        reseed(self._model, derived_seed(self._seed, "epoch", number))
        total, seen = 0.0, 0
        order = derived_seed(self._seed, "shuffle", number)
        for batch in train.batches(self._batch_size, shuffle=order):
            parts = parts_of(batch, self._model)
            loss = float(self._step(*parts))
            if not math.isfinite(loss):
                raise TrainingError(
                    f"fine-tuning: loss {self._task.loss.name!r} is {loss} in epoch {number}; "
                    "usual causes: a learning rate too high (lower [finetune] learning_rate), "
                    "inputs not scaled, labels outside the outputs, from_logits the wrong way"
                )
            count = examples_of(parts)
            total += loss * count
            seen += count
            shown.advance()
        if not seen:
            raise DataError(f"{train.name}: no batches to fine-tune on")
        done = Epoch(number, total / seen, self._judged(validation))
        best = history.best
        if self._better(done, history):
            best, self.best = number, values(self._model.variables)
        shown.advance(0, _note(done, epochs, self._task.metric_name))
        return replace(history, epochs=(*history.epochs, done), best=best)

    @property
    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]

    def _judged(self, validation: Dataset | None) -> float | None:
        if validation is None:
            return None
        return self._task.evaluate(self._predict, validation.batches(max(self._batch_size, 256)))

    def _better(self, done: Epoch, history: History) -> bool:
        return done.metric is None or self._task.improves(done.metric, history.best_metric)


def _step(
    model: Any, task: Task, optimizer: Any, held: list[Held]
) -> Callable[[Any, Any, Any], Any]:
    variables = list(model.trainable_variables)

    def step(inputs: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            loss = task.loss(labels, outputs_of(model, inputs, training=True), weights)
            for extra in model.losses:
                loss = loss + tf.cast(extra, loss.dtype)
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        write_zeros(held)
        return loss

    return step


def _note(done: Epoch, epochs: int, metric: str) -> str:
    note = f"epoch {done.number}/{epochs}, loss {done.loss:.4f}"
    return note if done.metric is None else f"{note}, {metric} {done.metric:.4f}"
