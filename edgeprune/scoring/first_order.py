"""|∂E/∂w|, gates, and what the layers read: one forward pass a chunk, one backward for what is of
micro-batches and one for what is of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from edgeprune.graphs import Graph
from edgeprune.models import Objective, kernels
from edgeprune.models.forward import Parts, examples_of, outputs_of
from edgeprune.scoring.group_sums import GroupSums
from edgeprune.scoring.judging import Judge, Pull, faces_of, of_all, of_each, pulled
from edgeprune.scoring.listening import Ears, Heard, ears, listening
from edgeprune.scoring.one_each import EachStep, Over
from edgeprune.scoring.statistics import Floats, Sums, emptied

READING = ("norms", "gate", "gate_square", "active", "activation")
"""Fields of Statistics for which the layers are listened to."""


class FirstOrder:
    """Gathers ``gradient``, ``group_square`` and the fields of :data:`READING`, as far as they are
    asked for.

    Args:
        model: to score.
        objective: the loss.
        needs: fields of :class:`~edgeprune.scoring.statistics.Statistics`.
        graph: of the model, for the fields by group.
    """

    def __init__(
        self, model: Any, objective: Objective, needs: frozenset[str], graph: Graph | None
    ) -> None:
        self._model, self._objective, self._needs = model, objective, needs
        self._kernels = kernels(model)
        found = self._kernels if "gradient" in needs else {}
        variables = {name: kernel.variable.value for name, kernel in found.items()}
        self._batch = {name: _zeros(v.shape) for name, v in variables.items()}
        self._sums = {name: _zeros(v.shape) for name, v in variables.items()}
        self._made = GroupSums(model, graph) if graph and "group_square" in needs else None
        self._variables = {**(self._made.variables if self._made else {}), **variables}
        self._ears = ears(model, graph) if needs & set(READING) else Ears({})
        self._norms = self._ears.kernels if "norms" in needs else {}
        self._groups = self._ears.groups if needs & set(READING) - {"norms"} else {}
        self._gated = bool(needs & {"gate", "gate_square"})
        self._read = {name: _zeros([self._length(name)]) for name in self._norms}
        sizes = {name: graph[name].size for name in self._groups} if graph else {}
        fields = (*READING[1:], "count")
        self._told = {field: {n: _zeros([s]) for n, s in sizes.items()} for field in fields}
        self._judge = Judge(model, objective)
        self._steps = {whole: EachStep(partial(self._taken, whole)) for whole in (True, False)}

    def _length(self, name: str) -> int:
        reader = self._ears.kernels[name]
        kernel = self._kernels[name].variable
        groups = getattr(reader.layer, "groups", 1)
        shape = tuple(kernel.shape)
        rank = getattr(reader.layer, "rank", None)
        if rank is None:
            return int(shape[0])
        transposed = type(reader.layer).__name__.endswith("Transpose")
        return int(shape[rank + 1] if transposed else shape[rank] * groups)

    def take(self, chunks: Sequence[Parts]) -> float:
        whole = len(chunks) == 1
        total = 0.0
        pulls: list[tuple[Pull, ...]] = [()] * len(chunks)
        if self._variables and not whole:
            total, pulls = self._judge(chunks)
        for parts, pull in zip(chunks, pulls, strict=True):
            total += float(self._steps[whole](*parts, pull))
        examples = sum(map(examples_of, chunks))
        self._close(whole, examples)
        return total / max(examples, 1)

    def _taken(
        self,
        whole: bool,
        over: Over,
        inputs: Any,
        labels: Any,
        weights: Any,
        pulls: tuple[Pull, ...],
    ) -> Any:
        """One chunk; of one that is whole, or of which only the examples count, the sum of the
        losses of its examples."""
        reading = {reader for places in self._groups.values() for reader, _ in places}
        both = self._gated and bool(self._variables)
        with tf.GradientTape(persistent=both, watch_accessed_variables=False) as tape:
            tape.watch(list(self._variables.values()))
            with listening({*self._norms.values(), *reading}, tape) as heard:
                faces = faces_of(outputs_of(self._model, inputs, training=False))
        judged = self._objective, labels, faces, weights
        total: Any = 0.0
        if self._variables:
            if whole:
                total, pulls = of_all(*judged)
            self._sum(whole, pulled(tape, faces, pulls, list(self._variables.values())))
        gated = [one for one in heard if self._gated and one.reader in reading]
        slopes: list[Any] = []
        if self._gated:
            each, pulls = of_each(over, *judged)
            total = total if self._variables else each
            slopes = pulled(tape, faces, pulls, [one.x for one in gated])
        self._read_by(heard)
        told = {id(one): slope for one, slope in zip(gated, slopes, strict=True)}
        self._tell(heard, told, tf.shape(inputs[0])[0])
        return total

    def _sum(self, whole: bool, found: list[Any]) -> None:
        """The gradients of n E, E the loss of the n examples of the micro-batch."""
        # An embedding's comes as indexed slices.
        gradients = {
            name: tf.convert_to_tensor(gradient)
            for name, gradient in zip(self._variables, found, strict=True)
            if gradient is not None
        }
        for name, total in (self._sums if whole else self._batch).items():
            if name in gradients:
                dense = gradients[name]
                total.assign_add(tf.cast(tf.abs(dense) if whole else dense, tf.float64))
        if self._made is not None:
            self._made.take(gradients)

    def _read_by(self, heard: list[Heard]) -> None:
        """The squares of what is read, once for every reader."""
        squares = {
            reader: [_over(tf.square(one.last(one.x))) for one in heard if one.reader is reader]
            for reader in set(self._norms.values())
        }
        for name, reader in self._norms.items():
            for square in squares[reader]:
                self._read[name].assign_add(square)

    def _tell(self, heard: list[Heard], slopes: dict[int, Any], examples: Any) -> None:
        """What the groups' fields are of, each group over all that reads it."""
        sums = {id(one): self._summed(one, slopes.get(id(one)), examples) for one in heard}
        for name, places in self._groups.items():
            size = self._told["gate"][name].shape[0]
            gate = tf.zeros((examples, size), tf.float64)
            for reader, channel in places:
                for one in [one for one in heard if one.reader is reader]:
                    for field, value in sums[id(one)].items():
                        if field == "gate":
                            gate += _by_channel(value, channel, size)
                        else:
                            told = _by_channel(value[None], channel, size)[0]
                            self._told[field][name].assign_add(told)
            if self._gated:
                self._told["gate"][name].assign_add(tf.reduce_sum(tf.abs(gate), axis=0))
                self._told["gate_square"][name].assign_add(tf.reduce_sum(tf.square(gate), axis=0))

    def _summed(self, one: Heard, slope: Any, examples: Any) -> dict[str, Any]:
        """By field, sums over the positions of one call, for each place of the channels' axis."""
        found = {}
        if slope is not None:
            product = one.last(one.x * slope)
            # A layer inside TimeDistributed has more rows than there are examples.
            rows = tf.reshape(product, (examples, -1, product.shape[-1]))
            found["gate"] = tf.reduce_sum(rows, axis=1)
        if self._needs & {"active", "activation"}:
            x = one.last(one.x)
            found["active"] = _over(tf.cast(x != 0, tf.float32))
            found["activation"] = _over(tf.abs(x))
            positions = tf.size(x) // tf.shape(x)[-1]
            found["count"] = tf.fill([x.shape[-1]], tf.cast(positions, tf.float64))
        return found

    def _close(self, whole: bool, examples: int) -> None:
        """The micro-batch ends."""
        if self._made is not None:
            self._made.close(examples)
        if whole:
            return
        for name, batch in self._batch.items():
            self._sums[name].assign_add(tf.abs(batch))
            batch.assign(tf.zeros_like(batch))

    def begin(self, example: int) -> None:
        pass

    def drained(self) -> Sums:
        return {
            "gradient": emptied(self._sums),
            "group_square": self._made.drained() if self._made is not None else {},
            "norms": emptied(self._read),
            **{field: emptied(groups) for field, groups in self._told.items()},
        }

    def found(self, sums: Sums, examples: int) -> Mapping[str, Mapping[str, Floats]]:
        count = {name: np.maximum(value, 1) for name, value in sums["count"].items()}
        means = ("gradient", "group_square", "gate", "gate_square")
        fields: dict[str, Mapping[str, Floats]] = {
            **{
                field: {name: value / examples for name, value in sums[field].items()}
                for field in means
            },
            "norms": {name: self._spread(name, value) for name, value in sums["norms"].items()},
            **{
                field: {name: value / count[name] for name, value in sums[field].items()}
                for field in ("active", "activation")
            },
        }
        return {field: value for field, value in fields.items() if field in self._needs}

    def _spread(self, name: str, squares: Floats) -> Floats:
        """Norms in a shape that broadcasts to the kernel's."""
        norms: Floats = np.sqrt(squares)
        layer = self._ears.kernels[name].layer
        kernel = self._kernels[name].variable
        rank = getattr(layer, "rank", None)
        groups = getattr(layer, "groups", 1)
        if rank is None:  # dense, recurrent, einsum: the first axis reads
            return norms.reshape(-1, *[1] * (len(kernel.shape) - 1))
        if type(layer).__name__.endswith("Transpose"):
            return norms
        if groups > 1:
            filters = int(kernel.shape[-1]) // groups
            return np.repeat(norms.reshape(groups, -1).T, filters, axis=1)
        return norms[:, None]


def _zeros(shape: Any) -> Any:
    return tf.Variable(tf.zeros(shape, tf.float64), trainable=False)


def _over(x: Any) -> Any:
    """The sum over all axes but the last."""
    return tf.cast(tf.reduce_sum(x, axis=list(range(len(x.shape) - 1))), tf.float64)


def _by_channel(x: Any, channel: Any, size: int) -> Any:
    """(rows, positions) summed to (rows, channels); a position without a channel counts nowhere."""
    x = tf.transpose(tf.cast(x, tf.float64))
    return tf.transpose(tf.math.unsorted_segment_sum(x, channel, size))
