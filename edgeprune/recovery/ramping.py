"""Sparsity that grows within one training, its masks taken anew from the running scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.errors import InputError, PlanError
from edgeprune.models import Kernel, architecture_digest, kernels
from edgeprune.plans import Mask, Plan
from edgeprune.recovery.checkpoints import Array
from edgeprune.recovery.zeros import Held
from edgeprune.scores import Scores

MEMORY = 0.99
"""Of a running mean, a step."""
UPDATES = 20
"""At least so many on a ramp, where its steps allow."""
Planner = Callable[[Scores, float, Plan | None], Plan]
"""From scores, a share of zeros, and the plan whose zeros stay, to a plan."""


@dataclass(frozen=True)
class Ramp:
    """How zeros grow.

    Attributes:
        share: of the steps of a training over which they do, above 0 and below 1.
        every: steps from one choice of masks to the next; ``None``: 100, or a twentieth of the
            ramp where that is less.
        regrow: share of the kept weights that change their place when masks are chosen, from 0 to
            below 1; it falls to 0 over the ramp.

    Raises:
        PlanError: a number out of range.
    """

    share: float
    every: int | None = None
    regrow: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise PlanError(f"ramp = {self.share}: a share above 0 and below 1 is needed")
        if self.every is not None and self.every < 1:
            raise PlanError(f"ramp_every = {self.every}: at least 1 step is needed")
        if not 0 <= self.regrow < 1:
            raise PlanError(f"regrow = {self.regrow}: a share from 0 to below 1 is needed")


class Growing:
    """A ramp on its way; see :class:`~edgeprune.recovery.growth.Growth`.

    By the end of step t of the R on the ramp, the share of zeros is

        s_t = s + (s_0 - s) · (1 - t/R)³

    with s_0 what is zero at first and s the goal (Zhu and Gupta, "To prune, or not to prune",
    2017). The scores are |w|, or running means over the steps of |w · ∂E/∂w| or |∂E/∂w|, E the
    loss that is trained (a teacher's, too) on one batch.

    With ``regrow``, at step t a share f_t = regrow/2 · (1 + cos(π t/R)) of the weights that are
    left goes beside, the lowest scores first, and as many come back where the running mean of
    |∂E/∂w| is largest; they start at zero (Evci et al., "Rigging the Lottery", ICML 2020, with the
    scores above in place of the magnitude, and running means in place of one batch).

    Args:
        method: one of :data:`edgeprune.recoveries.RUNNING`.
        ramp: see there.
        target: s.
        planner: chooses the masks.
        within: the plan before; its zeros stay.
        asked: JSON values of what else the planner goes by; part of a checkpoint's key.
    """

    def __init__(
        self,
        method: str,
        ramp: Ramp,
        target: float,
        planner: Planner,
        within: Plan | None = None,
        asked: Any = None,
    ) -> None:
        self.plan: Plan | None = None
        self.scores: Scores | None = None
        self._method = method
        self._ramp = ramp
        self._target = target
        self._planner = planner
        self._within = within
        self._asked = asked

    def facts(self) -> Any:
        ramp = [self._ramp.share, self._ramp.every, self._ramp.regrow]
        return [self._method, ramp, self._target, self._asked]

    def begin(self, model: Any, held: Sequence[Held], steps: int) -> list[Held]:
        self._digest = architecture_digest(model)
        self._kernels: Mapping[str, Kernel] = kernels(model)
        self._end = min(max(1, round(self._ramp.share * steps)), max(1, steps - 1))
        self._every = self._ramp.every or max(1, min(100, self._end // UPDATES))
        self._fixed = {item.name: item.keep for item in held}
        self._start = self._gone(held)
        self._places = self._trained(model)
        shapes = {name: tuple(kernel.variable.shape) for name, kernel in self._kernels.items()}
        running = self._places if self._method != "magnitude" else {}
        self._means = {name: _zeros(shapes[name]) for name in running}
        pulled = self._places if self._ramp.regrow else {}
        self._pulls = {name: _zeros(shapes[name]) for name in pulled}
        self._keeps = {name: tf.Variable(np.ones(shape, bool)) for name, shape in shapes.items()}
        for name, keep in self._fixed.items():
            if name in self._keeps:
                self._keeps[name].assign(keep)
        growing = [
            Held(name, self._kernels[name].variable, keep) for name, keep in self._keeps.items()
        ]
        return [*growing, *(item for item in held if item.name not in self._keeps)]

    def see(self, variables: Sequence[Any], gradients: Sequence[Any]) -> None:
        for name in {**self._means, **self._pulls}:
            gradient = gradients[self._places[name]]
            variable = variables[self._places[name]]
            if gradient is None:  # nothing of the loss depends on it
                continue
            pull = tf.abs(tf.cast(tf.convert_to_tensor(gradient), tf.float32))
            value = tf.abs(tf.cast(tf.convert_to_tensor(variable), tf.float32))
            if name in self._means:
                _follow(self._means[name], pull * value if self._method == "taylor" else pull)
            if name in self._pulls:
                _follow(self._pulls[name], pull)

    def after(self, step: int) -> bool:
        if step > self._end or (step % self._every and step != self._end):
            return False
        done = step / self._end
        share = self._target + (self._start - self._target) * (1 - done) ** 3
        moved = self._ramp.regrow / 2 * (1 + math.cos(math.pi * done)) if step < self._end else 0.0
        self.scores = self._scored()
        gone = self.plan or self._within
        self.plan = self._planner(self.scores, max(share, 0.0) + moved * (1 - share), gone)
        if moved:
            self.plan = self._planner(self._regrown(self.plan), share, self._within)
        self._hold(self.plan)
        return True

    def ends_in(self, steps: int) -> int:
        return -(-self._end // steps)

    def state(self) -> tuple[Any, list[Array]]:
        facts = None
        chosen: list[Array] = []
        if self.plan is not None and self.scores is not None:
            facts = {
                "why": dict(self.plan.why),
                "masks": {mask.weight: mask.pattern for mask in self.plan.masks},
                "scores": dict(self.scores.facts),
            }
            chosen = [mask.keep for mask in self.plan.masks]
            chosen += [self.scores.weights[name] for name in self._kernels]
        return facts, [*(each.numpy() for each in self._running()), *chosen]

    def restore(self, facts: Any, arrays: Sequence[Array]) -> None:
        running = self._running()
        for variable, value in zip(running, arrays, strict=False):
            variable.assign(value)
        if facts is None:
            return
        rest = list(arrays[len(running) :])
        masks = tuple(
            Mask(name, rest[place].astype(bool), pattern)
            for place, (name, pattern) in enumerate(facts["masks"].items())
        )
        cuts = self._within.cuts if self._within is not None else ()
        self.plan = Plan(self._digest, cuts, masks, facts["why"])
        weights = dict(zip(self._kernels, rest[len(masks) :], strict=True))
        self.scores = self._as_scores(weights)
        self._hold(self.plan)

    def _running(self) -> list[Any]:
        return [*self._means.values(), *self._pulls.values()]

    def _trained(self, model: Any) -> dict[str, int]:
        """By kernel, where it stands among the variables that are trained."""
        places = {id(variable): at for at, variable in enumerate(model.trainable_variables)}
        found = {
            name: places[id(kernel.variable)]
            for name, kernel in self._kernels.items()
            if id(kernel.variable) in places
        }
        frozen = [name for name in self._kernels if name not in found]
        if frozen and (self._method != "magnitude" or self._ramp.regrow):
            raise InputError(
                f"{frozen[0]!r} is not trained, so this ramp finds no gradient for it; set "
                "trainable = True, or score by 'magnitude' without regrow"
            )
        return found

    def _gone(self, held: Sequence[Held]) -> float:
        total = sum(int(np.prod(kernel.variable.shape)) for kernel in self._kernels.values())
        zeros = sum(
            int((~np.asarray(item.keep)).sum()) for item in held if item.name in self._kernels
        )
        return zeros / max(1, total)

    def _scored(self) -> Scores:
        if self._method == "magnitude":
            return self._as_scores(
                {name: np.abs(_value(each.variable)) for name, each in self._kernels.items()}
            )
        return self._as_scores({name: mean.numpy() for name, mean in self._means.items()})

    def _regrown(self, plan: Plan) -> Scores:
        """Scores by which all that is left stays, and of the rest the strongest pulls come back."""
        left = {mask.weight: mask.keep for mask in plan.masks}
        most = max((float(pull.numpy().max()) for pull in self._pulls.values()), default=0.0)
        weights = {}
        for name, pull in self._pulls.items():
            wanted = pull.numpy() / (2 * most or 1.0)
            weights[name] = np.where(left[name], 1.0, wanted) if name in left else wanted * 0 + 1
        return self._as_scores(weights)

    def _as_scores(self, weights: Mapping[str, npt.NDArray[Any]]) -> Scores:
        return Scores(
            self._method,
            self._digest,
            {name: np.asarray(value, np.float32) for name, value in weights.items()},
            kinds={name: kernel.kind for name, kernel in self._kernels.items()},
            facts={"unit": "batch", "memory": MEMORY},
        )

    def _hold(self, plan: Plan) -> None:
        masks = {mask.weight: mask.keep for mask in plan.masks}
        for name, keep in self._keeps.items():
            now = masks.get(name, np.ones(tuple(keep.shape), bool))
            keep.assign(now & np.asarray(self._fixed.get(name, True)))


def _follow(mean: Any, value: Any) -> None:
    mean.assign(MEMORY * mean + (1 - MEMORY) * value)


def _zeros(shape: Sequence[int]) -> Any:
    return tf.Variable(tf.zeros(shape, tf.float32))


def _value(variable: Any) -> npt.NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
