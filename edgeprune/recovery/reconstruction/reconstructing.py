"""The verb: layer by layer in the order of the data, each solved on what the layers before give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.errors import DataError, TrainingError
from edgeprune.models import clone, kernels, named_layers
from edgeprune.models.forward import FreeBatch, parts_of
from edgeprune.models.values import array_of
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery.reconstruction.aiming import OWN, aims, marks
from edgeprune.recovery.reconstruction.gathering import gathered
from edgeprune.recovery.reconstruction.kinds import sums_of
from edgeprune.recovery.reconstruction.layers import Layer, squares
from edgeprune.recovery.reconstruction.matching import Matched
from edgeprune.recovery.reconstruction.probing import Ear, heard_in
from edgeprune.recovery.reconstruction.reports import LayerFit, Reconstruction
from edgeprune.recovery.reconstruction.solving import solved
from edgeprune.recovery.reconstruction.sums import Sums

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]
CHUNK = 64
"""Examples that go through both models at once."""
MOST = 8192
"""Features of one Gram matrix (in float64, half a gigabyte)."""
EXACT = 1e-6
"""Relative error below which a layer answers as the dense one."""


def reconstruct_with_report(
    pruned: Any,
    dense: Any,
    batches: Iterable[Any],
    matched: Matched,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Any, Reconstruction]:
    """A new model like ``pruned`` whose layers answer as those of ``dense``, as far as the weights
    that are left can; no labels are read.

    Layer by layer in the order of the data, from rows x (of a convolution, patches) that the
    layers solved before give, to what the dense layer answers to the same examples (He, Zhang and
    Sun 2017, section 3.2, and :mod:`.solving` for the ridge). Weights that are zero stay zero.
    Where a layer has no bias and a batch norm follows, the constant goes into its moving mean.

    Memory: one chunk of 64 examples through both models up to one layer, its rows 4 million
    numbers at a time, and some Gram matrices of it in float64 (each half a gigabyte at the most).
    Time: for each layer one pass through both models up to it, and its Gram matrix of 65,536
    positions or 200 for each feature (fewer where that would be more than 4·10¹⁰ multiplications,
    but four for each feature), drawn by ``seed`` where there are more.

    Args:
        pruned: zeroed or stripped.
        dense: what it was made of.
        batches: re-iterable, ``(x, …)``; at least two examples.
        matched: where its channels stand in ``dense``.
        seed: of the positions that are drawn.
        progress: told every layer.

    Raises:
        DataError: too few examples, or inputs that do not fit.
        TrainingError: answers that are NaN or infinite.
    """
    new = clone(pruned)
    return new, _Work(new, dense, batches, matched, seed).done(progress)


@dataclass(frozen=True, eq=False)
class _Pair:
    """A layer in both models; see :class:`Layer`."""

    weight: str
    ours: Sums
    theirs: Sums
    free: Bools


class _Work:
    def __init__(
        self, new: Any, dense: Any, batches: Iterable[Any], matched: Matched, seed: int
    ) -> None:
        self._new, self._dense, self._batches = new, dense, batches
        self._matched, self._seed = matched, seed
        self._skipped: dict[str, str] = {}
        self._layers: list[Layer] = []
        self._examples = 0

    def done(self, progress: Progress) -> Reconstruction:
        sums = self._summed()
        errors = FreeBatch(lambda inputs: self._errors(inputs, sums))
        before = self._measured(errors)
        fits = {name: LayerFit(name, reason=reason) for name, reason in self._skipped.items()}
        with progress.task("reconstruct", len(self._layers)) as task:
            for number, layer in enumerate(self._layers):
                fits[layer.name] = self._solve(layer, number, before[layer.name])
                task.advance(note=layer.name)
        after = self._measured(errors)
        for layer in self._layers:
            one = fits[layer.name]
            fits[layer.name] = replace(one, before=before[layer.name], after=after[layer.name])
        order = dict.fromkeys([*(layer.name for layer in self._layers), *fits])
        found = tuple(fits[name] for name in order)
        return Reconstruction(found, before[""], after[""], self._examples)

    def _summed(self) -> dict[str, _Pair]:
        """By name, the layers that can be solved."""
        theirs = named_layers(self._dense)
        names = {id(layer): name for name, layer in named_layers(self._new).items()}
        found: dict[str, _Pair] = {}
        for kernel in kernels(self._new).values():
            name = names[id(kernel.layer)]
            if kernel.kind == "embedding":
                continue
            one, other = sums_of(kernel.layer), sums_of(theirs[name])
            if isinstance(one, str) or isinstance(other, str):
                self._skipped[name] = one if isinstance(one, str) else str(other)
            elif kernel.variable is one.kernel:
                free = one.matrix(array_of(one.kernel) != 0)
                found[name] = _Pair(kernel.name, one, other, free)
        return found

    def _errors(
        self, inputs: Sequence[Any], sums: Mapping[str, _Pair]
    ) -> dict[str, tuple[Any, Any]]:
        """By layer (``""``: the outputs), the squares of what is wrong and of what is right."""
        dense, new = self._dense, self._new
        theirs = {name: pair.theirs for name, pair in sums.items()}
        ours = {name: pair.ours for name, pair in sums.items()}
        its, mine = (
            heard_in(dense, inputs, theirs, marks(dense)),
            heard_in(new, inputs, ours, marks(new)),
        )
        self._layers = list(self._found(its, mine, sums, inputs[0].graph))
        pairs = [
            (tf.cast(one, tf.float32), tf.cast(two, tf.float32))
            for one, two in zip(its.outputs, mine.outputs, strict=True)
        ]
        found = {layer.name: layer.squares(its, mine) for layer in self._layers}
        return {**found, "": squares(pairs)}

    def _found(
        self, theirs: Ear, ours: Ear, sums: Mapping[str, _Pair], graph: Any
    ) -> Iterator[Layer]:
        """What can be solved, in the order of the data."""
        heard = [name for name in ours.layers if name in theirs.layers]
        order = {name: place for place, name in enumerate(heard)}
        here = aims(self._new, {id(sums[name].ours.layer): at for name, at in order.items()})
        there = aims(self._dense, {id(sums[name].theirs.layer): at for name, at in order.items()})
        for name in sums:
            if name not in order:
                self._skipped[name] = "it is not called"
        for name in heard:
            pair, mine, its = sums[name], ours.layers[name], theirs.layers[name]
            if any(each.y.graph is not graph for each in [*mine, *its]):
                self._skipped[name] = "it is called within a loop"
                continue
            if len(mine) != len(its):
                self._skipped[name] = "it is called more often in one model than in the other"
                continue
            aim = here.get(id(pair.ours.layer), OWN)
            far = there.get(id(pair.theirs.layer), OWN)
            once = all(
                len(ear.marks.get(id(each.at), ())) == 1
                for ear, each in ((ours, aim), (theirs, far))
            )
            if len(mine) > 1 or aim.path != far.path or not once:
                aim = far = OWN
            scale = self._matched.scales.get(pair.weight, 1.0)
            picks = self._picks(pair.weight, pair.theirs)
            calls, free = len(mine), pair.free
            found = Layer(name, pair.ours, pair.theirs, aim, far, calls, free, scale, picks)
            if all(one.shape == two.shape for one, two in found.compared(theirs, ours)):
                yield found
            else:
                self._skipped[name] = "channels have left along the positions of its output"

    def _picks(self, weight: str, dense: Sums) -> dict[int, Ids]:
        """By axis of a dense layer's output, the channels that are left, where some are not."""
        found = {}
        shape = tuple(dense.kernel.shape)
        for axis, made in dense.made:
            lengths = [shape[one] for one in made]
            left = [
                self._matched.along(weight, one % len(shape), length)
                for one, length in zip(made, lengths, strict=True)
            ]
            index = np.arange(math.prod(lengths)).reshape(lengths)[np.ix_(*left)].reshape(-1)
            if not np.array_equal(index, np.arange(math.prod(lengths))):
                found[axis] = index
        return found

    def _measured(self, errors: FreeBatch) -> dict[str, float]:
        """By layer (``""``: the outputs), the relative error over all examples."""
        totals: dict[str, Array] = {}
        self._examples = 0
        for inputs in self._chunks():
            self._examples += len(inputs[0])
            for name, pair in errors(inputs).items():
                totals[name] = totals.get(name, np.zeros(2)) + np.asarray(pair, np.float64)
        if self._examples < 2:
            raise DataError(
                f"reconstruct: {self._examples} examples; give at least two, a hundred is better"
            )
        found = {}
        for name, (wrong, right) in totals.items():
            if not math.isfinite(wrong + right):
                where = f"layer {name!r}" if name else "the output"
                raise TrainingError(
                    f"reconstruct: {where} is NaN or infinite on these inputs; are they scaled as "
                    "in training?"
                )
            found[name] = math.sqrt(wrong / right) if right else math.inf if wrong else 0.0
        return found

    def _solve(self, layer: Layer, number: int, before: float) -> LayerFit:
        features = layer.free.shape[1]
        if before < EXACT:
            return LayerFit(layer.name, reason="it answers as the dense layer does")
        if features > MOST:
            reason = f"it reads {features:,} features, more than {MOST:,}"
            return LayerFit(layer.name, reason=reason)
        scale = layer.aim.scale(layer.alive.size).reshape(layer.alive.shape)
        columns = layer.alive & (np.abs(scale) > 1e-6 * np.abs(scale).max())
        free = layer.free & columns[:, None]
        if layer.shift is not None:
            free = np.concatenate([free, columns[:, None]], axis=1)
        halves = gathered(
            layer,
            self._dense,
            self._new,
            self._chunks(),
            examples=self._examples,
            scale=np.where(columns, scale, 1.0),
            seed=(self._seed, number),
        )
        if halves is None:
            return LayerFit(layer.name, reason="it does not give the sums that its kernel makes")
        found = solved(halves, free, np.where(columns, scale**2, 0.0))
        rows = halves[0].rows + halves[1].rows
        if found.ridge is None:
            return LayerFit(layer.name, rows=rows, reason="no change does better on other examples")
        layer.write(found.change)
        return LayerFit(layer.name, ridge=found.ridge, rows=rows)

    def _chunks(self) -> Iterator[tuple[Any, ...]]:
        """The inputs, a few examples at a time."""
        for batch in self._batches:
            inputs = parts_of(batch, self._new)[0]
            for start in range(0, len(inputs[0]), CHUNK):
                yield tuple(one[start : start + CHUNK] for one in inputs)
