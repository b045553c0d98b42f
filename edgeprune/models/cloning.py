"""A new plain model from an old one: same names, values, flags and compile state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.models.functional import Functional
from keras.src.saving.serialization_lib import SafeModeScope

from edgeprune.errors import ModelError
from edgeprune.models.names import named_layers, named_weights
from edgeprune.models.references import one_line

Array = npt.NDArray[Any]
Edit = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""From a layer's name and config to the config of the new layer."""


def clone(model: Any) -> Any:
    """A new model with the same architecture, values, names, ``trainable`` flags and compile
    state (the optimiser starts fresh); ``model`` is left as it was.

    Raises:
        ModelError: a subclassed model that its own config does not rebuild.
    """
    return rebuilt(model)


def rebuilt(model: Any, values: Mapping[str, Array] | None = None, edit: Edit | None = None) -> Any:
    """A new model from ``model``, with other values and layer configs where given.

    Args:
        model: any Keras 3 model that can be rebuilt from its config.
        values: by name of the weight, what replaces its value; the rest is copied.
        edit: changes layer configs; needs a Sequential or Functional model.

    Raises:
        ModelError: the model cannot be rebuilt, or a value does not fit the rebuilt weight.
    """
    layers = named_layers(model)
    scope = {type(layer).__name__: type(layer) for layer in layers.values() if _custom(layer)}
    try:
        # Its code is running here already: a Lambda's trust was settled when the model was loaded.
        with keras.saving.custom_object_scope(scope), SafeModeScope(False), _uncompiled(layers):
            new = _built(model, {id(layer): name for name, layer in layers.items()}, edit)
    except RecursionError as error:
        raise ModelError(
            f"model {model.name!r}: Keras gives up rebuilding it, its chain of layers is too long"
        ) from error
    except Exception as error:
        raise ModelError(
            f"model {model.name!r} cannot be rebuilt from its config "
            f"({type(error).__name__}: {one_line(error)}); give its layers get_config and "
            "from_config, or prune the Functional model inside it"
        ) from error
    _set_flags(layers, named_layers(new))
    _set_values(model, new, values or {})
    _compile_like(model, new)
    return new


def _built(model: Any, names: Mapping[int, str], edit: Edit | None) -> Any:
    if not _is_graph(model):
        new = type(model).from_config(model.get_config())
        config = model.get_build_config()
        if not new.built and config:
            new.build_from_config(config)
        return new

    made: dict[int, Any] = {}

    def copied(layer: Any) -> Any:
        if id(layer) not in made:
            made[id(layer)] = nested(layer) if _is_graph(layer) else single(layer)
        return made[id(layer)]

    def single(layer: Any) -> Any:
        config = layer.get_config()
        if edit is not None and id(layer) in names:
            config = dict(edit(names[id(layer)], config))
        if type(layer) is keras.layers.Lambda:
            return _same_lambda(layer)
        return type(layer).from_config(config)

    def nested(graph: Any) -> Any:
        if isinstance(graph, keras.Sequential):
            return keras.models.clone_model(graph, clone_function=copied)
        inputs = keras.tree.map_structure(_same_input, graph.input)
        return keras.models.clone_model(graph, input_tensors=inputs, clone_function=copied)

    return nested(model)


def _is_graph(layer: Any) -> bool:
    return isinstance(layer, Functional | keras.Sequential)


def _same_input(tensor: Any) -> Any:
    """Keras' own cloning names an input after its tensor, which is not its layer's name."""
    layer = tensor._keras_history.operation
    return keras.Input(
        batch_shape=tensor.shape,
        dtype=tensor.dtype,
        sparse=tensor.sparse,
        name=layer.name,
        optional=getattr(layer, "optional", False),
    )


def _same_lambda(layer: Any) -> Any:
    """The function itself: its serialised code would lose the names that it refers to."""
    return keras.layers.Lambda(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=dict(layer.arguments),
        name=layer.name,
        dtype=layer.dtype_policy,
    )


def _custom(layer: Any) -> bool:
    return not type(layer).__module__.startswith("keras.")


@contextlib.contextmanager
def _uncompiled(layers: Mapping[str, Any]) -> Iterator[None]:
    """Keras' cloning compiles from a serialised config, which knows no function of the user's."""
    compiled = [layer for layer in layers.values() if getattr(layer, "compiled", False)]
    for layer in compiled:
        layer.compiled = False
    try:
        yield
    finally:
        for layer in compiled:
            layer.compiled = True


def _set_flags(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name, layer in old.items():
        # Containers come first, so what lies inside has the last word.
        if name in new and new[name].trainable != layer.trainable:
            new[name].trainable = layer.trainable


def _set_values(model: Any, new: Any, values: Mapping[str, Array]) -> None:
    old_weights, weights = named_weights(model), named_weights(new)
    missing = (set(old_weights) | set(values)) ^ set(weights)
    if missing:
        raise ModelError(
            f"model {model.name!r}: rebuilt from its config it has other weights "
            f"({sorted(missing)[0]!r} is not in both)"
        )
    for name, variable in weights.items():
        value = values.get(name)
        if value is None:
            value = keras.ops.convert_to_numpy(old_weights[name])
        if tuple(variable.shape) != np.shape(value):
            raise ModelError(
                f"model {model.name!r}: weight {name!r} has shape {tuple(variable.shape)} after "
                f"the rebuild, its value {np.shape(value)}"
            )
        variable.assign(value)
    for layer in named_layers(new).values():
        # Normalization computes with tensors that it derives from its weights.
        if isinstance(layer, keras.layers.Normalization) and layer.built:
            layer.finalize_state()


def _compile_like(model: Any, new: Any) -> None:
    if not getattr(model, "compiled", False) or not hasattr(model, "_compile_config"):
        return
    # The optimiser as it is now: its learning rate may have been set after compile. Keras wraps it
    # again for mixed precision, and an .h5 being written takes it out of the config.
    optimizer = model.optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    config = {**model._compile_config.config, "optimizer": optimizer}
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
        return type(value)(_fresh(item) for item in value)
    return value
