"""Sparsity that grows within one training, its masks taken anew from the running scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from edgeprune.errors import PlanError
from edgeprune.plans import Mask, Plan
from edgeprune.recovery.checkpoints import Array
from edgeprune.recovery.running_scores import Running
from edgeprune.recovery.zeros import Held
from edgeprune.scores import Scores

UPDATES = 20
"""At least so many on a ramp, where its steps allow."""
Planner = Callable[[Scores, float, Plan | None], Plan]
"""From scores, a share of zeros, and the plan whose zeros stay, to a plan."""
Gauge = Callable[[Any], Callable[[], Scores]]
"""From the model in training to what scores it as it is by then."""


@dataclass(frozen=True)
class Ramp:
    """How zeros grow.

    Attributes:
        share: of the steps of a training over which they do, above 0 and below 1.
        every: steps from one choice of masks to the next; ``None``: 100, or a twentieth of the
            ramp where that is less.
        regrow: share of the kept weights that change their place when masks are chosen, from 0 to
            below 1; it falls to 0 over the ramp.
        shrink: of every kernel element while the ramp lasts, the weight of its magnitude in the
            loss, 0 or more.

    Raises:
        PlanError: a number out of range.
    """

    share: float
    every: int | None = None
    regrow: float = 0.0
    shrink: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise PlanError(f"ramp = {self.share}: a share above 0 and below 1 is needed")
        if self.every is not None and self.every < 1:
            raise PlanError(f"ramp_every = {self.every}: at least 1 step is needed")
        if not 0 <= self.regrow < 1:
            raise PlanError(f"regrow = {self.regrow}: a share from 0 to below 1 is needed")
        if not 0 <= self.shrink < math.inf:
            raise PlanError(f"shrink = {self.shrink}: a finite number, 0 or more, is needed")


class Growing:
    """A ramp on its way; see :class:`~edgeprune.recovery.growth.Growth`.

    By the end of step t of the R on the ramp, the share of zeros is

        s_t = s + (s_0 - s) · (1 - t/R)³

    with s_0 what is zero at first and s the goal (Zhu and Gupta, "To prune, or not to prune",
    2017). The scores are |w|, or running means over the steps of |w · ∂E/∂w| or |∂E/∂w|, E the
    loss that is trained (a teacher's, too) on one batch; or those of a gauge, taken whenever masks
    are chosen.

    With ``regrow``, at step t a share f_t = regrow/2 · (1 + cos(π t/R)) of the weights that are
    left (and may go) goes beside, the lowest scores first, and as many come back where the running
    mean of |∂E/∂w| is largest; they start at zero (Evci et al., "Rigging the Lottery", ICML 2020,
    with the scores above in place of the magnitude, and running means in place of one batch).

    With ``shrink`` = λ the loss has λ · Σ|w| more until step R (Tibshirani, "Regression shrinkage
    and selection via the lasso", 1996), so that what is to go is small before it goes; behind the
    ramp what is left recovers without it. The scores do not see it.

    Args:
        method: name of the score.
        ramp: see there.
        target: s.
        planner: chooses the masks.
        within: the plan before; its zeros stay.
        asked: JSON values of what else the planner goes by; part of a checkpoint's key.
        movable: the share of the weights that may go at all; of its rest none moves.
        gauge: takes the scores; absent where ``method`` is one of
            :data:`edgeprune.recoveries.RUNNING`.
    """

    def __init__(
        self,
        method: str,
        ramp: Ramp,
        target: float,
        planner: Planner,
        within: Plan | None = None,
        asked: Any = None,
        movable: Callable[[Scores], float] = lambda scores: 1.0,
        gauge: Gauge | None = None,
    ) -> None:
        self.plan: Plan | None = None
        self.scores: Scores | None = None
        self._method = method
        self._ramp = ramp
        self._target = target
        self._planner = planner
        self._within = within
        self._asked = asked
        self._movable = movable
        self._gauge = gauge

    def facts(self) -> Any:
        ramp = [self._ramp.share, self._ramp.every, self._ramp.regrow, self._ramp.shrink]
        return [self._method, ramp, self._target, self._asked]

    def begin(self, model: Any, held: Sequence[Held], steps: int) -> list[Held]:
        self._fixed = {item.name: np.asarray(item.keep) for item in held}
        self._running = Running(model, self._method, pulls=self._ramp.regrow > 0, fixed=self._fixed)
        self._kernels = self._running.kernels
        self._gauged = self._gauge(model) if self._gauge is not None else None
        self._end = min(max(1, round(self._ramp.share * steps)), max(1, steps - 1))
        self._every = self._ramp.every or max(1, min(100, self._end // UPDATES))
        self._start = self._gone()
        self._shrink = tf.Variable(self._ramp.shrink, dtype=tf.float32)
        self._shrinking = {id(kernel.variable) for kernel in self._kernels.values()}
        self._keeps = {
            name: tf.Variable(
                np.ones(tuple(kernel.variable.shape), bool) & self._fixed.get(name, True)
            )
            for name, kernel in self._kernels.items()
        }
        growing = [
            Held(name, self._kernels[name].variable, keep) for name, keep in self._keeps.items()
        ]
        return [*growing, *(item for item in held if item.name not in self._keeps)]

    def see(self, variables: Sequence[Any], gradients: Sequence[Any]) -> list[Any]:
        self._running.see(variables, gradients)
        if not self._ramp.shrink:
            return list(gradients)
        return [self._shrunk(*pair) for pair in zip(variables, gradients, strict=True)]

    def after(self, step: int) -> bool:
        if step > self._end or (step % self._every and step != self._end):
            return False
        done = step / self._end
        share = self._target + (self._start - self._target) * (1 - done) ** 3
        moved = self._ramp.regrow / 2 * (1 + math.cos(math.pi * done)) if step < self._end else 0.0
        self.scores = self._scored()
        gone = self.plan or self._within
        beside = moved * max(0.0, self._movable(self.scores) - share) if moved else 0.0
        self.plan = self._planner(self.scores, max(share, 0.0) + beside, gone)
        if beside:
            self.plan = self._planner(self._running.returning(self.plan), share, self._within)
        self._hold(self.plan)
        if step == self._end:
            self._shrink.assign(0.0)
        return True

    def ends_in(self, steps: int) -> int:
        return -(-self._end // steps)

    def state(self) -> tuple[Any, list[Array]]:
        facts = None
        chosen: list[Array] = []
        if self.plan is not None and self.scores is not None:
            masks = self.plan.masks
            facts = {
                "why": dict(self.plan.why),
                "masks": {mask.weight: mask.pattern for mask in masks},
                "scored": dict(self.scores.facts),
            }
            chosen = [mask.keep for mask in masks]
            chosen += [self.scores.weights[name] for name in self._kernels]
        return facts, [*(each.numpy() for each in self._kept), *chosen]

    def restore(self, facts: Any, arrays: Sequence[Array]) -> None:
        count = len(self._kept)
        for variable, value in zip(self._kept, arrays[:count], strict=True):
            variable.assign(value)
        if facts is None:
            return
        patterns, rest = facts["masks"], arrays[count:]
        masks = tuple(
            Mask(name, keep.astype(bool), patterns[name])
            for name, keep in zip(patterns, rest, strict=False)
        )
        cuts = self._within.cuts if self._within is not None else ()
        self.plan = Plan(self._running.digest, cuts, masks, facts["why"])
        weights = dict(zip(self._kernels, rest[len(masks) :], strict=True))
        self.scores = replace(self._running.as_scores(weights), facts=facts["scored"])
        self._hold(self.plan)

    @property
    def _kept(self) -> list[Any]:
        """The variables of a checkpoint, in an order that is always the same."""
        return [self._shrink, *self._running.variables]

    def _scored(self) -> Scores:
        if self._gauged is None:
            return self._running.scores()
        scores = self._gauged()
        return replace(scores, weights=self._running.lowest(scores.weights, 0.0))

    def _shrunk(self, variable: Any, gradient: Any) -> Any:
        if gradient is None or id(variable) not in self._shrinking:
            return gradient
        gradient = tf.convert_to_tensor(gradient)
        sign = tf.sign(tf.convert_to_tensor(variable))
        return gradient + tf.cast(self._shrink, gradient.dtype) * tf.cast(sign, gradient.dtype)

    def _gone(self) -> float:
        total = sum(int(np.prod(kernel.variable.shape)) for kernel in self._kernels.values())
        zeros = sum(
            int((~self._fixed[name]).sum()) for name in self._kernels if name in self._fixed
        )
        return zeros / max(1, total)

    def _hold(self, plan: Plan) -> None:
        masks = {mask.weight: mask.keep for mask in plan.masks}
        for name, keep in self._keeps.items():
            now = masks.get(name, np.ones(tuple(keep.shape), bool))
            keep.assign(now & self._fixed.get(name, True))
