"""One training step over several devices: each takes a part of the batch, the gradients add up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Pull = Callable[[Any, Any, Any], tuple[Any, list[Any]]]
"""``(inputs, labels, weights)`` of some examples to their mean loss and its gradients."""


class Devices:
    """The devices that a training runs on: those of TensorFlow's first kind of which several are
    there (GPUs, else CPUs), or the one.

    Copies of the variables are kept alike by ``tf.distribute.MirroredStrategy``. A step is that of
    the whole batch: the loss of a part counts by its share of the examples. Only rounding differs
    from one device, and batch norms, which see their own part.
    """

    def __init__(self) -> None:
        self._strategy: Any = None
        current = tf.distribute.get_strategy()
        several = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        if isinstance(current, tf.distribute.MirroredStrategy):
            self._strategy = current
        elif len(several) > 1:
            self._strategy = tf.distribute.MirroredStrategy([each.name for each in several])

    @property
    def count(self) -> int:
        """How many."""
        return 1 if self._strategy is None else int(self._strategy.num_replicas_in_sync)

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables made inside are on all of them."""
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def pulled(self, pull: Pull, inputs: Any, labels: Any, weights: Any) -> tuple[Any, list[Any]]:
        """``pull`` of the whole batch."""
        if self._strategy is None:
            return pull(inputs, labels, weights)
        count, strategy = self.count, self._strategy
        total = tf.shape(inputs[0])[0]

        def part() -> tuple[Any, list[Any]]:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            start, stop = total * number // count, total * (number + 1) // count
            share = tf.cast(stop - start, tf.float32) / tf.cast(total, tf.float32)
            # Fewer examples than devices: who has none looks at the first, which counts nothing.
            stop = tf.maximum(stop, start + 1)
            mine = [[array[start:stop] for array in each] for each in (inputs, labels, weights)]
            loss, gradients = pull(*map(tuple, mine))
            scaled = [
                None if g is None else tf.convert_to_tensor(g) * tf.cast(share, g.dtype)
                for g in gradients
            ]
            return loss * tf.cast(share, loss.dtype), scaled

        losses, gradients = strategy.run(part)
        sums = [
            None if g is None else strategy.reduce(tf.distribute.ReduceOp.SUM, g, axis=None)
            for g in gradients
        ]
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None), sums

    def apply(self, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """One update by the gradients of the whole batch."""
        if self._strategy is None:
            optimizer.apply(gradients, variables)
            return

        def mine() -> None:
            # Divided on each device, as Keras adds up what the devices bring.
            parts = [None if g is None else g / self.count for g in gradients]
            optimizer.apply(parts, variables)

        self._strategy.run(mine)
