"""A model of Keras 2 built again in Keras 3: every call of a layer, in the order of the graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras
from keras.src.backend import get_keras_mask

from edgeprune.errors import ModelError
from edgeprune.importing.configs import HARD_SIGMOID, SLOPE, made_layer, own_layer
from edgeprune.importing.operations import operation
from edgeprune.importing.standing_in import is_stand_in
from edgeprune.models.references import one_line

Steps = tuple[Callable[..., Any], ...]
"""What takes the place of one layer: mostly one, each called with what the one before gave."""


@dataclass(frozen=True)
class Call:
    """One call of a layer in the source's graph, and what does it now."""

    where: str
    layer: Any
    steps: Steps
    args: Any
    kwargs: Mapping[str, Any]
    outputs: tuple[Any, ...]

    def again(self, tensors: Mapping[int, Any], *, infer: bool = False) -> list[Any]:
        """Do it with Keras 3; ``tensors`` has what each symbol of the source is now. ``infer``: as
        at inference, also where a layer called by itself would train."""
        args, kwargs = filled(self.args, tensors), filled(self.kwargs, tensors)
        if infer and self.steps:
            kwargs = inferring(self.steps[0], kwargs)
        result: Any = None
        for number, step in enumerate(self.steps):
            result = _called(step, args, kwargs) if number == 0 else step(result)
        return keras.tree.flatten(result)


@dataclass
class Replay:
    """A source, the Keras 3 model that does the same, and its calls.

    Attributes:
        pairs: layers with values to carry: name, source, new.
        notes: what was done beside carrying over.
    """

    source: Any
    model: Any = None
    calls: list[Call] = field(default_factory=list)
    inner: dict[int, Replay] = field(default_factory=dict)
    pairs: list[tuple[str, Any, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def replay(source: Any) -> Replay:
    """Build ``source``, a Sequential or Functional model of tf_keras, again with Keras 3.

    Raises:
        ModelError: a subclassed model, or a layer without counterpart.
    """
    return _Builder(Replay(source), "", {}).built()


def filled(value: Any, tensors: Mapping[int, Any]) -> Any:
    """``value`` with Keras 2's symbols replaced, and its constants as numpy or plain values."""
    if id(value) in tensors:
        return tensors[id(value)]
    if isinstance(value, Mapping):
        return {key: filled(each, tensors) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(filled(each, tensors) for each in value)
    if isinstance(value, tf.TensorShape):
        return value.as_list()
    if isinstance(value, tf.DType):
        return value.name
    return np.asarray(value) if isinstance(value, tf.Tensor | tf.Variable) else value


class _Builder:
    def __init__(self, result: Replay, prefix: str, made: dict[int, Steps]) -> None:
        self._result, self._prefix, self._made = result, prefix, made
        self._names: set[str] = set()

    def built(self) -> Replay:
        source, result = self._result.source, self._result
        graph = isinstance(source, tf_keras.Sequential) or hasattr(source, "_nodes_by_depth")
        if not graph:
            raise ModelError(
                f"model {source.name!r} is subclassed ({type(source).__name__}): Keras 3 cannot "
                "take its layers over; write its call as a Functional model"
            )
        if not source.inputs:
            raise ModelError(f"model {source.name!r} has no inputs yet; build it and save it again")
        self._list_calls()
        name = self._fresh(source.name)
        if isinstance(source, tf_keras.Sequential):
            result.model = self._sequential(name)
        else:
            result.model = self._functional(name)
        if not source.trainable:
            result.model.trainable = False
        return result

    def _list_calls(self) -> None:
        source = self._result.source
        for depth in sorted(source._nodes_by_depth, reverse=True):
            for node in source._nodes_by_depth[depth]:
                if isinstance(node.layer, tf_keras.layers.InputLayer):
                    continue
                where = f"{self._prefix}{node.layer.name}"
                call = Call(
                    where,
                    node.layer,
                    self._steps(node.layer, where),
                    node.call_args,
                    {k: v for k, v in node.call_kwargs.items() if v is not None},
                    tuple(tf.nest.flatten(node.outputs)),
                )
                self._result.calls.append(call)

    def _sequential(self, name: str) -> Any:
        layers: list[Any] = [self._input(tensor) for tensor in self._result.source.inputs]
        for layer in self._result.source.layers:
            layers.extend(self._steps(layer, f"{self._prefix}{layer.name}"))
        return keras.Sequential(layers, name=name)

    def _functional(self, name: str) -> Any:
        source = self._result.source
        tensors = {id(tensor): self._input(tensor) for tensor in source.inputs}
        for call in self._result.calls:
            try:
                outputs = call.again(tensors)
            except ModelError:
                raise
            except Exception as error:
                raise _no_call(call, error) from error
            if isinstance(call.layer, tf_keras.layers.Layer) and _is_operation(call.layer):
                # Automatic names of operations may be those of layers.
                outputs[0]._keras_history.operation.name = self._fresh(call.layer.name)
            tensors.update(zip(map(id, call.outputs), outputs, strict=True))
        return keras.Model(
            filled(source._nested_inputs, tensors),
            filled(source._nested_outputs, tensors),
            name=name,
        )

    def _input(self, tensor: Any) -> Any:
        layer = tensor._keras_history.layer
        if getattr(layer, "sparse", False) or getattr(layer, "ragged", False):
            raise ModelError(
                f"input {layer.name!r} is sparse or ragged, which Keras 3 does not take; give the "
                "model a dense input where it was made"
            )
        return keras.Input(
            batch_shape=tuple(tensor.shape), dtype=tensor.dtype.name, name=self._fresh(layer.name)
        )

    def _steps(self, layer: Any, where: str) -> Steps:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new_steps(layer, where)
        return self._made[id(layer)]

    def _new_steps(self, layer: Any, where: str) -> Steps:
        if isinstance(layer, tf_keras.Model):
            inner = _Builder(Replay(layer), f"{where}/", {}).built()
            inner.model.name = self._fresh(layer.name)
            self._result.inner[id(layer)] = inner
            self._result.pairs += inner.pairs
            self._result.notes += inner.notes
            return (inner.model,)
        if _is_operation(layer):
            return (operation(layer, where),)
        config = {**layer.get_config(), "name": self._fresh(layer.name)}
        if isinstance(layer, tf_keras.layers.TimeDistributed):
            first, *rest = self._new_steps(layer.layer, f"{where}/{layer.layer.name}")
            kept = {key: config[key] for key in ("name", "trainable")}
            steps: Steps = (keras.layers.TimeDistributed(first, **kept), *rest)
            return steps
        if isinstance(layer, tf_keras.layers.Lambda):
            return (_lambda(layer, config),)
        if is_stand_in(layer):
            self._result.notes.append(f"layer {where!r}: the class registered for it does its work")
            made = own_layer(type(layer).own, config)
            self._result.pairs.append((where, layer, made))
            return (made,)
        return self._plain_steps(layer, config, where)

    def _plain_steps(self, layer: Any, config: dict[str, Any], where: str) -> Steps:
        if config.get("activation") != HARD_SIGMOID or "recurrent_activation" in config:
            made = made_layer(type(layer).__name__, config, where)
            self._result.pairs.append((where, layer, made))
            return (made,)
        # Its slope is another one in Keras 3.
        self._result.notes.append(
            f"layer {where!r}: hard_sigmoid rises by 0.2 in Keras 2 and by 1/6 in Keras 3; a "
            f"Rescaling by {SLOPE} stands before it"
        )
        scale = keras.layers.Rescaling(SLOPE, name=self._fresh(f"{config['name']}_slope"))
        if isinstance(layer, tf_keras.layers.Activation):
            return (scale, keras.layers.Activation(HARD_SIGMOID, name=config["name"]))
        made = made_layer(type(layer).__name__, {**config, "activation": "linear"}, where)
        self._result.pairs.append((where, layer, made))
        activation = keras.layers.Activation(
            HARD_SIGMOID, name=self._fresh(f"{config['name']}_activation")
        )
        return (made, scale, activation)

    def _fresh(self, name: str) -> str:
        """``name`` without what Keras 3 forbids in one, and unlike the others of this model."""
        base = found = name.replace("/", "_")
        number = 0
        while found in self._names:
            number += 1
            found = f"{base}_{number}"
        self._names.add(found)
        return found


def inferring(layer: Any, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call at inference: layers that change images train by default."""
    call = getattr(layer, "call", layer)
    if kwargs.get("training") is None and "training" in inspect.signature(call).parameters:
        return {**kwargs, "training": False}
    return kwargs


def _called(step: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    recurrent = isinstance(step, keras.layers.RNN | keras.layers.Bidirectional)
    if recurrent and args and isinstance(args[0], list) and len(args[0]) > 1:
        # Keras 2 hands the initial state over as further inputs.
        sequence, *state = args[0]
        given = {**kwargs, "initial_state": state}
        # Keras 3 hands a mask on by itself only to a layer with one tensor.
        if (mask := get_keras_mask(sequence)) is not None:
            given.setdefault("mask", mask)
        return step(sequence, *args[1:], **given)
    return step(*args, **kwargs)


def _is_operation(layer: Any) -> bool:
    return type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda")


def _lambda(layer: Any, config: Mapping[str, Any]) -> Any:
    shape = layer.output_shape
    return keras.layers.Lambda(
        layer.function,
        output_shape=tuple(shape[1:]) if isinstance(shape, tuple) else None,
        arguments=layer.arguments,
        name=config["name"],
        trainable=config["trainable"],
    )


def _no_call(call: Call, error: Exception) -> ModelError:
    return ModelError(
        f"layer {call.where!r} ({type(call.layer).__name__}): Keras 3 does not call it as Keras 2 "
        f"did ({type(error).__name__}: {one_line(error)}); replace it where the model was made"
    )
