"""Batch-norm statistics taken anew: pruning shifts what flows into a layer, not what it expects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from edgeprune.errors import DataError, TrainingError
from edgeprune.models import clone, named_layers
from edgeprune.models.forward import FreeBatch, examples_of, outputs_of, parts_of
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery.randomness import callers_state_kept, reseed


def reestimate_batchnorm(model: Any, batches: Iterable[Any], *, progress: Progress = SILENT) -> Any:
    """A new model whose batch-norm statistics are those of ``batches``; nothing else changes.

    One pass in training mode (each batch normalised by itself, as in training; dropout and noise
    off). With n_b examples in batch b, of mean m_b and variance v_b at a layer's input,

        mean = Σ n_b m_b / Σ n_b,    variance = Σ n_b (v_b + m_b²) / Σ n_b - mean²,

    the exact moments of all batches together (law of total variance), in float64; not the moving
    average that Keras keeps. For the first batch-norm layer, this is the population variance of
    all examples. Layers that are not trainable are re-estimated too. A model without batch norm
    comes back as an equal copy.

    Args:
        model: any Keras model.
        batches: ``(x, …)``; labels are not read.
        progress: told every batch.

    Raises:
        DataError: fewer than two examples, or shapes that do not fit.
        TrainingError: a statistic that is NaN or infinite.
    """
    new, worker = clone(model), clone(model)
    found = batch_norms(worker)
    if not found:
        return new
    for layer in named_layers(worker).values():
        _quiet(layer)
    forward = FreeBatch(lambda inputs: outputs_of(worker, inputs, training=True))
    totals = {name: np.zeros((2, *layer.moving_mean.shape)) for name, layer in found.items()}
    seen = 0
    with callers_state_kept(), progress.task("batch norm", None) as task:
        reseed(worker, 0)
        for batch in batches:
            parts = parts_of(batch, worker)
            forward(parts[0])
            count = examples_of(parts)
            seen += count
            for name, layer in found.items():
                mean, variance = _moments(layer)
                totals[name] += count * np.stack([mean, variance + mean**2])
            task.advance()
    if not seen:
        raise DataError("batch-norm statistics: the data is empty")
    if seen < 2:
        raise DataError("batch-norm statistics: one example has no spread; give at least two")
    for name, layer in batch_norms(new).items():
        mean, square = totals[name] / seen
        if not (np.isfinite(mean).all() and np.isfinite(square).all()):
            raise TrainingError(
                f"batch-norm statistics of {name!r} are NaN or infinite; check the data's scaling"
            )
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(np.maximum(square - mean**2, 0).astype(np.float32))
    return new


def batch_norms(model: Any) -> dict[str, Any]:
    """By name, the batch-norm layers of ``model``; without any, there is nothing to take anew."""
    return {
        name: layer
        for name, layer in named_layers(model).items()
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def _quiet(layer: Any) -> None:
    """Make a layer of the worker show its batch's own statistics, and add no noise."""
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.trainable = True  # a frozen one would keep its old statistics
        layer.momentum = 0.0  # after a batch, the moving statistics are the batch's
        return
    for noise in ("rate", "stddev", "dropout", "recurrent_dropout"):
        # A recurrent layer shows its cell's as a property; the cell is a layer too.
        shown = isinstance(getattr(type(layer), noise, None), property)
        if not shown and isinstance(getattr(layer, noise, None), float | int):
            setattr(layer, noise, 0.0)


def _moments(layer: Any) -> tuple[Any, Any]:
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(value), np.float64)
        for value in (layer.moving_mean, layer.moving_variance)
    )
    return mean, variance
