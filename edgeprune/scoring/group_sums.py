"""Signed sums of w · ∂E/∂w over all weights that make a channel, squared per micro-batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from edgeprune.graphs import Graph, Member
from edgeprune.models import named_weights
from edgeprune.scoring.statistics import Floats, emptied


class GroupSums:
    """Gathers the field ``group_square`` of :class:`~edgeprune.scoring.statistics.Statistics` from
    gradients that are taken elsewhere.

    The sum is linear in the gradient, so that chunks of a micro-batch add up before the square.

    Args:
        model: to score.
        graph: of it.
    """

    def __init__(self, model: Any, graph: Graph) -> None:
        weights = named_weights(model)
        self._makers: dict[str, list[Member]] = {
            group.name: [member for member in group.members if member.role == "makes"]
            for group in graph.free
        }
        names = {member.weight for members in self._makers.values() for member in members}
        self.variables = {name: weights[name].value for name in sorted(names)}
        sizes = {group.name: group.size for group in graph.free}
        self._batch = {name: _zeros(size) for name, size in sizes.items()}
        self._sums = {name: _zeros(size) for name, size in sizes.items()}

    def take(self, gradients: Mapping[str, Any]) -> None:
        """What a chunk adds to the gradients of n E, by name of the weight; E is the loss of the n
        examples of the micro-batch."""
        products = {
            name: tf.cast(gradients[name], tf.float64) * tf.cast(variable, tf.float64)
            for name, variable in self.variables.items()
            if gradients.get(name) is not None
        }
        for group, members in self._makers.items():
            total = self._batch[group]
            for member in members:
                if member.weight in products:
                    summed = _along(products[member.weight], member)
                    total.assign_add(_by_channel(summed, member, total.shape[0]))

    def close(self, examples: int) -> None:
        """A micro-batch of so many examples ends."""
        for group, batch in self._batch.items():
            # The sum for E, squared, weighted by the examples.
            self._sums[group].assign_add(tf.square(batch) / max(examples, 1))
            batch.assign(tf.zeros_like(batch))

    def drained(self) -> dict[str, Floats]:
        """By group, the sums since the last time; they begin anew."""
        return emptied(self._sums)


def _zeros(size: int) -> Any:
    return tf.Variable(tf.zeros([size], tf.float64), trainable=False)


def _along(product: Any, member: Member) -> Any:
    """Summed over all axes but the member's."""
    axes = [axis for axis in range(len(product.shape)) if axis != member.axis]
    return tf.reduce_sum(product, axis=axes)


def _by_channel(summed: Any, member: Member, size: int) -> Any:
    """A position that holds no channel (-1) counts nowhere."""
    return tf.math.unsorted_segment_sum(summed, member.channel.reshape(-1), size)
