"""One layer in both models: where it is compared, and what is seen of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.models.values import array_of
from edgeprune.recovery.reconstruction.aiming import OWN, Aim
from edgeprune.recovery.reconstruction.probing import Ear, heard_in
from edgeprune.recovery.reconstruction.sums import Sums

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer that can be solved.

    Attributes:
        name: of the layer.
        ours, theirs: its sums in the two models.
        aim, far: where it is compared, in the two models.
        calls: of the layer, in one call of the model.
        free: ``(blocks, features, columns)``, what may change.
        scale: what the dense layer's output is multiplied with.
        picks: by axis of its output, the positions of the dense layer's that are left.
    """

    name: str
    ours: Sums
    theirs: Sums
    aim: Aim
    far: Aim
    calls: int
    free: Bools
    scale: float
    picks: Mapping[int, Ids]

    @property
    def alive(self) -> Bools:
        """The channels that read anything, ``(blocks, columns)``."""
        return np.asarray(self.free.any(axis=1))

    @property
    def shift(self) -> Any | None:
        """The variable that takes a constant: the bias, or a batch norm's mean."""
        if self.ours.bias is not None:
            return self.ours.bias
        return self.aim.norms[0].moving_mean if self.aim.norms else None

    def compared(self, theirs: Ear, ours: Ear) -> list[tuple[Any, Any]]:
        """For each call, what the dense layer gives, of the channels that are left, and what the
        pruned one gives."""
        if self.aim is OWN:
            gives = [one.y for one in theirs.layers[self.name]]
            given = [one.y for one in ours.layers[self.name]]
        else:
            gives, given = theirs.marks[id(self.far.at)], ours.marks[id(self.aim.at)]
        return [
            (self._left(one), tf.cast(two, tf.float32))
            for one, two in zip(gives, given, strict=True)
        ]

    def _left(self, tensor: Any) -> Any:
        for axis, keep in self.picks.items():
            tensor = tf.gather(tensor, keep, axis=axis % len(tensor.shape))
        return tf.cast(tensor, tf.float32) * self.scale

    def squares(self, theirs: Ear, ours: Ear) -> tuple[Any, Any]:
        """The sums of squares of what is wrong, and of what is right."""
        return squares(self.compared(theirs, ours), self._mask)

    def _mask(self, rank: int) -> Any:
        """One where a channel reads anything."""
        shape = [1] * rank
        for axis, made in self.ours.made:
            shape[axis] = math.prod(self.ours.kernel.shape[one] for one in made)
        return self.alive.astype(np.float32).reshape(shape)

    def looked(self, dense: Any, new: Any, inputs: Sequence[Any]) -> list[Any]:
        """For each call: input, output before the activation, and what is compared."""
        theirs = self._heard(dense, inputs, self.theirs, self.far)
        ours = self._heard(new, inputs, self.ours, self.aim)
        mine = ours.layers[self.name]
        return [
            (tf.cast(one.x, tf.float32), tf.cast(one.y, tf.float32), wanted - given)
            for one, (wanted, given) in zip(mine, self.compared(theirs, ours), strict=True)
        ]

    def _heard(self, model: Any, inputs: Sequence[Any], sums: Sums, aim: Aim) -> Ear:
        def enough(ear: Ear) -> bool:
            if aim is OWN or self.aim is OWN:
                return len(ear.layers[self.name]) == self.calls
            return bool(ear.marks)

        marked = [] if self.aim is OWN else [aim.at]
        return heard_in(model, inputs, {self.name: sums}, marked, enough)

    def write(self, change: Array) -> None:
        """Add ``change``, ``(blocks, features, columns)``, to the kernel; its last feature is the
        constant where there is a variable that takes one."""
        sums, shift = self.ours, self.shift
        if shift is not None:
            constant, change = change[:, -1].reshape(-1), change[:, :-1]
            sign = 1 if shift is sums.bias else -1
            old = array_of(shift)
            shift.assign((old + sign * constant.reshape(old.shape)).astype(old.dtype))
        kernel = array_of(sums.kernel)
        sums.kernel.assign((kernel + sums.back(change)).astype(kernel.dtype))


def squares(
    pairs: Sequence[tuple[Any, Any]], mask: Callable[[int], Any] = lambda rank: 1.0
) -> tuple[Any, Any]:
    """The sums of squares of what is wrong and of what is right, of pairs of tensors (right,
    given); ``mask`` makes of a rank what both are multiplied with."""
    wrong = right = tf.zeros(())
    for one, two in pairs:
        kept = mask(len(one.shape))
        wrong += tf.reduce_sum(tf.square((one - two) * kept))
        right += tf.reduce_sum(tf.square(one * kept))
    return wrong, right
