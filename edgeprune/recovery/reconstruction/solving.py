"""Least squares from sums over rows, with a ridge towards the weights as they are.

With rows x and what is missing r (what the dense layer answers, less what the weights as they are
answer), the change D of the weights solves

    (G + λ diag G) D = Xᵀ R,    G = Xᵀ X,

in float64. TensorFlow multiplies and solves, whose threads are set; numpy's would fight with them.
λ is in the unit of the features' own squares, so it is a plain number; with λ → ∞ the
weights stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
COARSE = (-7, -5, -3, -1, 1)
"""Powers of ten of the ridge that are tried first; then the neighbours of the best."""
EXACT = 2e10
"""Multiplications of one solution by kept weights alone; where it is more, and more than three
inverses, the others are taken out one after the other."""
_CUBES = 3.0


@dataclass(eq=False)
class Moments:
    """Sums over rows.

    Attributes:
        gram: ``(blocks, features, features)``.
        cross: ``(blocks, features, columns)``, of features and what is missing.
        square: ``(blocks, columns)``, of what is missing.
        rows: that were added.
    """

    gram: Array
    cross: Array
    square: Array
    rows: int = 0

    @classmethod
    def of(cls, blocks: int, features: int, columns: int) -> Moments:
        """No rows yet."""
        return cls(
            np.zeros((blocks, features, features)),
            np.zeros((blocks, features, columns)),
            np.zeros((blocks, columns)),
        )

    def add(self, rows: Array, missing: Array) -> None:
        """Rows ``(blocks, n, features)`` and what they miss ``(blocks, n, columns)``."""
        beside = tf.convert_to_tensor(rows)
        self.gram += tf.matmul(beside, beside, transpose_a=True).numpy()
        self.cross += tf.matmul(beside, tf.convert_to_tensor(missing), transpose_a=True).numpy()
        self.square += np.einsum("bnc,bnc->bc", missing, missing)
        self.rows += rows.shape[1]

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
            self.rows + other.rows,
        )

    def left(self, change: Array) -> Array:
        """The sum of squares that ``change`` leaves missing, ``(blocks, columns)``."""
        gain = np.einsum(
            "bfc,bfc->bc", change, 2 * self.cross - tf.matmul(self.gram, change).numpy()
        )
        return self.square - gain


@dataclass(frozen=True, eq=False)
class Solution:
    """What the rows say.

    Attributes:
        change: of the weights, ``(blocks, features, columns)``.
        ridge: λ; ``None`` where the weights stay as they are.
    """

    change: Array
    ridge: float | None


def solved(halves: tuple[Moments, Moments], free: Bools, weight: Array) -> Solution:
    """The change that the rows ask for, only where ``free``.

    The ridge is the power of ten with the least error on the half that was not solved on, taken
    over both halves; a column for which no change does better there than none stays as it is.

    Args:
        halves: sums over two halves of the examples.
        free: ``(blocks, features, columns)``, what may change.
        weight: ``(blocks, columns)``, how much an error of the column counts.
    """
    first, second = halves
    tried: dict[int, tuple[float, Array]] = {}

    def error(power: int) -> float:
        if power not in tried:
            left = second.left(ridged(first, free, 10.0**power))
            left = left + first.left(ridged(second, free, 10.0**power))
            tried[power] = (float((left * weight).sum()), left)
        return tried[power][0]

    power = min(COARSE, key=error)
    power = min((power, power - 1, power + 1), key=error)
    both = first + second
    better = tried[power][1] < both.square
    if not better.any():
        return Solution(np.zeros_like(both.cross), None)
    change = ridged(both, free & better[:, None], 10.0**power)
    return Solution(change, 10.0**power)


def ridged(moments: Moments, free: Bools, ridge: float) -> Array:
    """The change of the weights where they are ``free``; elsewhere it is zero."""
    change = np.zeros_like(moments.cross)
    for block, gram in enumerate(moments.gram):
        own = np.diagonal(gram)
        alive = own > 1e-12 * own.max(initial=0.0)
        scale = 1 / np.sqrt(np.where(alive, own, 1.0))
        system = gram * scale[:, None] * scale + ridge * np.eye(len(own))
        right = moments.cross[block] * scale[:, None]
        found = _constrained(system, right, free[block] & alive[:, None])
        change[block] = found * scale[:, None]
    return change


def _constrained(system: Array, right: Array, free: Bools) -> Array:
    """The solution of each column with zeros where it is not free."""
    supports, which = np.unique(free.T, axis=0, return_inverse=True)
    which = which.reshape(-1)
    cost = (supports.sum(axis=1, dtype=float) ** 3).sum()
    if len(supports) > 1 and cost > max(EXACT, _CUBES * len(system) ** 3):
        return one_by_one(system, right, free)
    found = np.zeros_like(right)
    for number, support in enumerate(supports):
        kept, columns = np.flatnonzero(support), np.flatnonzero(which == number)
        if kept.size:
            part = _factor(system[np.ix_(kept, kept)])
            there = np.ix_(kept, columns)
            found[there] = tf.linalg.cholesky_solve(part, right[there]).numpy()
    return found


def one_by_one(system: Array, right: Array, free: Bools) -> Array:
    """The solution without any zeros, out of which the weights that must be zero are taken one
    after the other, each making the later ones adapt: the update of the Optimal Brain Surgeon with
    one order for all columns (Frantar and Alistarh, "SparseGPT", 2023, section 3.2; the rows of
    the Cholesky factor of the inverse are all the inverses that it needs). Not the least error
    that these zeros allow, but close, in the time of one inverse for all columns.
    """
    factor = _factor(system)
    found = tf.linalg.cholesky_solve(factor, right).numpy()
    upper = _factor(tf.linalg.cholesky_solve(factor, np.eye(len(system)))).numpy().T
    for place in range(len(system)):
        gone = np.where(free[place], 0.0, found[place]) / upper[place, place]
        found[place:] -= np.outer(upper[place, place:], gone)
        found[place, ~free[place]] = 0.0
    return found


def _factor(system: Any) -> Any:
    """The Cholesky factor of a positive definite matrix."""
    return tf.linalg.cholesky(tf.convert_to_tensor(system, tf.float64))
