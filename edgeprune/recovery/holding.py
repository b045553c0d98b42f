"""``hold``: a plain Keras callback that keeps pruned weights at zero while a model trains.

No wrapper and no layer: nothing of it is in the model, so nothing of it is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from edgeprune.graphs import Graph
from edgeprune.plans import Plan
from edgeprune.recovery.zeros import Held, exact_zeros, planned_zeros, write_zeros


def hold(plan: Plan | None = None, *, trace: Callable[[Any], Graph] | None = None) -> Any:
    """A callback for ``model.fit(…, callbacks=[hold(plan)])`` that keeps zeros at zero.

    ``hold(plan)`` holds what the plan masks and cuts, whatever the values have become; it fits the
    model that the plan was made for (same architecture). Which weights a cut takes ``trace`` tells
    (``edgeprune.hold`` passes that of :mod:`edgeprune.surgery`); without it the cuts must have been
    carried out, and their zeros are held. ``hold()`` holds every kernel element that is exactly
    zero when training begins, on any model, stripped ones too.

    Any optimiser, weight decay, ``use_ema``, ``steps_per_execution``, ``jit_compile``; its place
    among other callbacks does not matter. In a training loop of one's own::

        holding = hold(plan); holding.set_model(model); holding.on_train_begin()
        ...                                            # after every update of the weights:
        holding.on_train_batch_end(step)               # and holding.on_train_end() at the end

    Raises:
        PlanError: (when training begins) the plan is of another model, or, without ``trace``, its
            cuts are not carried out in this one.
    """
    return _Hold(plan, trace)


class _Hold(keras.callbacks.Callback):
    """Holds at three places, since each alone has a gap.

    As the variables' ``constraint`` the optimiser applies it inside the compiled step: also within
    one execution of several steps, and before any callback sees the batch end (a ModelCheckpoint
    that saves every batch may stand first). After each execution it writes the zeros again, for
    training steps that do not go through ``optimizer.apply``, and into the moving averages, which
    are taken before the constraint. At the end it writes them once more, since Keras then
    overwrites the weights with those averages.
    """

    def __init__(self, plan: Plan | None, trace: Callable[[Any], Graph] | None) -> None:
        super().__init__()
        self._plan = plan
        self._trace = trace
        self._held: list[Held] = []
        self._constraints: list[tuple[Any, Any]] = []
        self._pass: Callable[[], None] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        self._release()  # a training that was broken off never told us its end
        self._held = self._found(model)
        self._pass = None
        write_zeros(self._held)
        for item in self._held:
            self._constraints.append((item.variable, item.variable.constraint))
            item.variable.constraint = _Constrained(item.variable.constraint, item)
        self._retrace()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._pass is None:
            # Built now, not at the beginning: the optimiser makes its averages in the first step.
            self._pass = tf.function(self._write).get_concrete_function()
        self._pass()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        write_zeros(self._held)

    def on_train_end(self, logs: Any = None) -> None:
        write_zeros(self._held)
        self._release()
        self._retrace()

    def _found(self, model: Any) -> list[Held]:
        if self._plan is None:
            return exact_zeros(model)
        traced = self._trace(model) if self._trace is not None and self._plan.cuts else None
        return planned_zeros(model, self._plan, traced)

    def _write(self) -> None:
        write_zeros(self._held)
        by_variable = {id(item.variable): item for item in self._held}
        for variable, average in _averages(getattr(self.model, "optimizer", None)):
            item = by_variable.get(id(variable))
            if item is not None:
                average.assign(item.held(tf.convert_to_tensor(average)))

    def _release(self) -> None:
        for variable, constraint in self._constraints:
            variable.constraint = constraint
        self._constraints = []

    def _retrace(self) -> None:
        """Constraints are read when the step is traced: drop a step traced under others."""
        if getattr(self.model, "train_function", None) is not None:
            self.model.make_train_function(force=True)


class _Constrained(keras.constraints.Constraint):
    """A variable's own constraint, then its zeros; there while a model trains, never saved."""

    def __init__(self, constraint: Any, item: Held) -> None:
        self._constraint = constraint
        self._item = item

    def __call__(self, value: Any) -> Any:
        if self._constraint is not None:
            value = self._constraint(value)
        return self._item.held(tf.convert_to_tensor(value))


def _averages(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """Variables and their moving averages, through a loss-scaling optimiser too."""
    while optimizer is not None:
        if getattr(optimizer, "use_ema", False):
            averages = getattr(optimizer, "_model_variables_moving_average", ())
            variables = getattr(optimizer, "_trainable_variables", ())
            for variable, average in zip(variables, averages, strict=False):
                if average is not None:
                    yield variable, average
        optimizer = getattr(optimizer, "inner_optimizer", None)
