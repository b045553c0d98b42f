"""The compile state of a model, given to another one."""

from __future__ import annotations

from typing import Any

import keras


def dropped(model: Any) -> str | None:
    """For people: that the state of a trained optimiser is not carried over; ``None`` where there
    is none."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not int(optimizer.iterations):
        return None
    return (
        f"the optimiser ({optimizer.name}) starts fresh: what it had after "
        f"{int(optimizer.iterations):,} steps is left out"
    )


def compile_like(model: Any, new: Any) -> None:
    """Compile ``new`` as ``model`` is; without the state of optimiser, metrics and losses."""
    if not getattr(model, "compiled", False) or not hasattr(model, "_compile_config"):
        return
    # The optimiser as it is now: its learning rate may have been set after compile, and an .h5
    # being written takes it out of the config. One that scales the loss is not wrapped again.
    config = {**model._compile_config.config, "optimizer": model.optimizer}
    new.compile(**{key: _fresh(value) for key, value in config.items()})
    if model.optimizer is not None and model.optimizer.built:
        # As Keras does after a load; saved without its slots, an optimiser warns when loaded.
        new.optimizer.build(new.trainable_variables)


def _fresh(value: Any) -> Any:
    """Optimisers, metrics and losses without their state; containers walked, the rest as it is."""
    if isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric | keras.losses.Loss):
        try:
            return type(value).from_config(value.get_config())
        except Exception:
            return value
    if isinstance(value, dict):
        return {key: _fresh(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        # Keras and TensorFlow track lists in classes of their own.
        return (tuple if isinstance(value, tuple) else list)(map(_fresh, value))
    return value
