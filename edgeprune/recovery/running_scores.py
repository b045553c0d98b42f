"""Scores of a training on its way: magnitudes, or running means of what its gradients say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.errors import InputError
from edgeprune.models import architecture_digest, kernels
from edgeprune.plans import Plan
from edgeprune.scores import Scores

_FOLLOWED = frozenset({"taylor", "gradient"})
MEMORY = 0.99
"""Of a running mean, a step."""


class Running:
    """Of one model's kernels.

    Args:
        model: in training.
        method: name of the score; of those that are no :data:`edgeprune.recoveries.RUNNING` none
            is taken here.
        pulls: keep the running mean of |∂E/∂w| too, for what comes back.
        fixed: by name of kernel, False where a zero stands for good; it scores lowest.

    Attributes:
        kernels: every kernel by name.
        digest: of the architecture.

    Raises:
        InputError: a kernel that is not trained, where its gradient is asked for.
    """

    def __init__(
        self, model: Any, method: str, *, pulls: bool, fixed: Mapping[str, npt.NDArray[np.bool_]]
    ) -> None:
        self.kernels = kernels(model)
        self.digest = architecture_digest(model)
        self._method = method
        self._fixed = fixed
        follows = method in _FOLLOWED
        self._places = self._trained(model, needed=follows or pulls)
        self._means = self._zeros() if follows else {}
        self._pulls = self._zeros() if pulls else {}

    @property
    def variables(self) -> list[Any]:
        """The running means, in an order that is always the same."""
        return [*self._means.values(), *self._pulls.values()]

    def see(self, variables: Sequence[Any], gradients: Sequence[Any]) -> None:
        """Take note of a step; in the compiled step too."""
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

    def scores(self) -> Scores:
        """As they stand."""
        values = {name: mean.numpy() for name, mean in self._means.items()}
        if self._method == "magnitude":
            values = {name: np.abs(_value(each.variable)) for name, each in self.kernels.items()}
        return self.as_scores(self.lowest(values, 0.0))

    def returning(self, plan: Plan) -> Scores:
        """Scores by which all that ``plan`` leaves stays, and of the rest the strongest pulls come
        back."""
        left = {mask.weight: mask.keep for mask in plan.masks}
        most = max((float(pull.numpy().max()) for pull in self._pulls.values()), default=0.0)
        weights = {}
        for name, pull in self._pulls.items():
            wanted = pull.numpy() / (2 * most or 1.0)
            weights[name] = np.where(left.get(name, True), 1.0, wanted)
        return self.as_scores(self.lowest(weights, -1.0))

    def as_scores(self, weights: Mapping[str, npt.NDArray[Any]]) -> Scores:
        """Values by name of kernel, with what goes with them."""
        return Scores(
            self._method,
            self.digest,
            {name: np.asarray(value, np.float32) for name, value in weights.items()},
            kinds={name: kernel.kind for name, kernel in self.kernels.items()},
            facts={"unit": "batch", "memory": MEMORY},
        )

    def lowest(
        self, values: Mapping[str, npt.NDArray[Any]], least: float
    ) -> dict[str, npt.NDArray[Any]]:
        """``values`` by kernel, ``least`` where a zero stands for good."""
        return {
            name: np.where(self._fixed.get(name, True), value, least)
            for name, value in values.items()
        }

    def _trained(self, model: Any, *, needed: bool) -> dict[str, int]:
        """By kernel, where it stands among the variables that are trained."""
        places = {id(variable): at for at, variable in enumerate(model.trainable_variables)}
        found = {
            name: places[id(kernel.variable)]
            for name, kernel in self.kernels.items()
            if id(kernel.variable) in places
        }
        frozen = [name for name in self.kernels if name not in found]
        if frozen and needed:
            raise InputError(
                f"{frozen[0]!r} is not trained, so this ramp finds no gradient for it; set "
                "trainable = True, or score by 'magnitude' without regrow"
            )
        return found

    def _zeros(self) -> dict[str, Any]:
        return {
            name: tf.Variable(tf.zeros(tuple(kernel.variable.shape), tf.float32))
            for name, kernel in self.kernels.items()
        }


def _follow(mean: Any, value: Any) -> None:
    mean.assign(MEMORY * mean + (1 - MEMORY) * value)


def _value(variable: Any) -> npt.NDArray[Any]:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
