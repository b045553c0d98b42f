"""One function of one example, over many: together, or one after the other where that cannot be.

``tf.vectorized_map`` takes all at once, and knows no rule for some operations: the gradient through
a recurrent layer's loop (by what it reads), some losses. ``tf.map_fn`` computes the same numbers,
an example at a time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tensorflow as tf

from edgeprune.errors import EdgepruneError
from edgeprune.models.forward import FreeBatch

Over = Callable[[Callable[[Any], Any], Any, Any], Any]
"""A function of one example, the examples (nested, along axis 0), and the specs of its result."""


def together(function: Callable[[Any], Any], examples: Any, specs: Any) -> Any:
    """An :data:`Over` that takes all at once."""
    return tf.vectorized_map(function, examples)


def alone(function: Callable[[Any], Any], examples: Any, specs: Any) -> Any:
    """An :data:`Over` that takes one after the other."""
    return tf.map_fn(function, examples, fn_output_signature=specs)


class EachStep:
    """``function(over, *arguments)`` as a :class:`~edgeprune.models.forward.FreeBatch`, with
    :func:`together` where TensorFlow can trace that, and else with :func:`alone`.

    Raises:
        DataError: as there. What ``function`` raises in both ways comes out as it is.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._step = FreeBatch(partial(function, together))
        self._alone = False

    def __call__(self, *arguments: Any) -> Any:
        if not self._alone:
            try:
                with _quiet():
                    self._step.traced(*arguments)
            except EdgepruneError:
                raise
            except Exception:  # of whatever kind: each missing rule has its own
                self._alone = True
                self._step = FreeBatch(partial(self._function, alone))
        return self._step(*arguments)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the page that TensorFlow writes of an operation that it knows no rule for."""
    log = tf.get_logger()
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
