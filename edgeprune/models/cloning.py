"""A new plain model from an old one: same names, values, flags and compile state."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from types import FunctionType
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.layers.preprocessing.index_lookup import IndexLookup
from keras.src.models.functional import Functional
from keras.src.saving.serialization_lib import SafeModeScope

from edgeprune.errors import ModelError
from edgeprune.models.calls import calls, function_of
from edgeprune.models.compiled import compile_like
from edgeprune.models.names import named_layers, named_states, named_weights
from edgeprune.models.references import one_line
from edgeprune.models.values import array_of

Array = npt.NDArray[Any]
_ADVICE = (
    "where a class of your own holds a model, its get_config must serialise that model "
    "(keras.saving.serialize_keras_object); or prune the Functional model inside by itself"
)
_DRAWING = threading.RLock()
_RANDOM = (
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.VarianceScaling,
    keras.initializers.Orthogonal,
)
Edit = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""From a layer's name and config to the config of the new layer."""


def clone(model: Any) -> Any:
    """A new model with the same architecture, values, names, ``trainable`` flags and compile
    state (the optimiser starts fresh); ``model`` is left as it was.

    Raises:
        ModelError: a subclassed model that its own config does not rebuild.
    """
    return rebuilt(model)


def rebuilt(
    model: Any,
    values: Mapping[str, Array] | None = None,
    edit: Edit | None = None,
    instead: Mapping[int, Callable[..., Any]] | None = None,
    shapes: Mapping[int, tuple[int | None, ...]] | None = None,
    passed: Mapping[int, int] | None = None,
) -> Any:
    """A new model from ``model``, with other values, layer configs and calls where given.

    Args:
        model: any Keras 3 model that can be rebuilt from its config.
        values: by name of the weight, what replaces its value; the rest is copied.
        edit: changes layer configs; needs a Sequential or Functional model.
        instead: by ``id`` of a call's first output tensor, what is called in its place.
        shapes: by ``id`` of a nested model's input tensor, its shape without the batch.
        passed: by ``id`` of a call's first output tensor, which of its input tensors takes its
            place; layers that are called nowhere then are left out.

    Raises:
        ModelError: the model cannot be rebuilt, or a value does not fit the rebuilt weight.
    """
    layers = named_layers(model)
    scope = {type(layer).__name__: type(layer) for layer in layers.values() if _custom(layer)}
    try:
        # Its code is running here already: a Lambda's trust was settled when the model was loaded.
        with (
            keras.saving.custom_object_scope(scope),
            SafeModeScope(False),
            _uncompiled(layers),
            _empty(),
        ):
            names = {id(layer): name for name, layer in layers.items()}
            calls = {**(instead or {}), **{key: _chosen(n) for key, n in (passed or {}).items()}}
            new = _Builder(names, edit, calls, shapes or {}).built(model)
    except RecursionError as error:
        raise ModelError(
            f"model {model.name!r}: Keras gives up rebuilding it, its chain of layers is too long"
        ) from error
    except Exception as error:
        raise ModelError(
            f"model {model.name!r} cannot be rebuilt from its config "
            f"({type(error).__name__}: {one_line(error)}); give its classes get_config and "
            f"from_config; {_ADVICE}"
        ) from error
    _set_flags(layers, named_layers(new))
    _set_values(model, new, values or {}, fewer=bool(passed))
    compile_like(model, new)
    return new


class _Builder:
    """Builds the layers of a new model, each old one once, and calls them as they were called."""

    def __init__(
        self,
        names: Mapping[int, str],
        edit: Edit | None,
        instead: Mapping[int, Callable[..., Any]],
        shapes: Mapping[int, tuple[int | None, ...]],
    ) -> None:
        self._names = names
        self._edit = edit
        self._instead = instead
        self._shapes = shapes
        self._made: dict[int, Any] = {}

    def built(self, model: Any) -> Any:
        if _is_graph(model):
            return self._graph(model)
        new = type(model).from_config(self._config(model))
        config = model.get_build_config()
        if not new.built and config:
            new.build_from_config(config)
        if model.built:
            # As Keras does after a load, so that it can be counted, shown and saved at once.
            new.built = True
        return new

    def _copied(self, layer: Any) -> Any:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._new(layer)
        return self._made[id(layer)]

    def _new(self, layer: Any) -> Any:
        if _is_graph(layer):
            return self._graph(layer)
        config = self._config(layer)
        if type(layer) is keras.layers.TimeDistributed:
            # What it holds may be a model, or changed by a name of its own.
            del config["layer"]
            return type(layer)(self._copied(layer.layer), **config)
        if self._edit is not None and id(layer) in self._names:
            config = dict(self._edit(self._names[id(layer)], config))
        if type(layer) is keras.layers.Lambda:
            return _same_lambda(layer)
        new = type(layer).from_config(config)
        # The configs that Keras finds out by itself, of operations and own layers, have no name.
        new.name = layer.name
        return new

    def _config(self, layer: Any) -> Any:
        """The config of a layer; the models that it serialises in it are the changed ones."""
        held = [one for one in named_layers(layer).values() if _is_graph(one)] if self._edit else []
        try:
            for graph in held:
                # Wherever the user's get_config serialises it, it asks the model for its config.
                vars(graph)["get_config"] = self._copied(graph).get_config
            return _with_functions(layer, layer.get_config())
        finally:
            for graph in held:
                vars(graph).pop("get_config", None)

    def _graph(self, graph: Any) -> Any:
        if isinstance(graph, keras.Sequential):
            inputs = [self._input(tensor) for tensor in getattr(graph, "inputs", None) or ()]
            skipped = self._skipped(graph)
            layers = [self._copied(layer) for layer in graph.layers if id(layer) not in skipped]
            return keras.Sequential([*inputs, *layers], graph.trainable, graph.name)
        inputs = keras.tree.map_structure(self._input, graph.input)
        calls = self._calls(graph) if self._instead else None
        return keras.models.clone_model(
            graph, input_tensors=inputs, clone_function=self._copied, call_function=calls
        )

    def _input(self, tensor: Any) -> Any:
        """Keras' own cloning names an input after its tensor, which is not its layer's name."""
        layer = tensor._keras_history.operation
        shape = self._shapes.get(id(tensor), tensor.shape[1:])
        return keras.Input(
            batch_shape=(tensor.shape[0], *shape),
            dtype=tensor.dtype,
            sparse=tensor.sparse,
            name=layer.name,
            optional=getattr(layer, "optional", False),
        )

    def _skipped(self, graph: Any) -> set[int]:
        """Layers of a Sequential whose input takes the place of their output."""
        function = function_of(graph) if self._instead else None
        found = calls(function) if function is not None else []
        return {id(call.layer) for call in found if id(call.outputs[0]) in self._instead}

    def _calls(self, graph: Any) -> Callable[..., Any]:
        """Keras calls the nodes in the order in which they are listed, each once."""
        found = calls(graph)
        order = iter([call for call in found if call.inputs])
        taken = {call.layer.name for call in found}

        def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
            function = self._instead.get(id(next(order).outputs[0]))
            if function is None:
                return layer(*args, **kwargs)
            made = function(*args, **kwargs)
            _name_after(layer, made, (args, kwargs), taken)
            return made

        return called


def _name_after(operation: Any, made: Any, given: Any, taken: set[str]) -> None:
    """Operations called in place of another have its name, and numbers behind it that are not
    ``taken``, where Keras would number them by what the process made before."""
    known = {id(tensor) for tensor in keras.tree.flatten(given)}
    waiting = [tensor for tensor in keras.tree.flatten(made) if id(tensor) not in known]
    named = [operation]
    while waiting:
        tensor = waiting.pop(0)
        made_by = tensor._keras_history.operation
        if id(tensor) in known or any(made_by is one for one in named):
            continue
        made_by.name = operation.name if len(named) == 1 else _free(operation.name, taken)
        named.append(made_by)
        waiting += made_by._inbound_nodes[-1].input_tensors


def _free(name: str, taken: set[str]) -> str:
    """``name`` with the first number behind it that is not taken; it is then."""
    free = next(one for one in (f"{name}_{number}" for number in count(1)) if one not in taken)
    taken.add(free)
    return free


def _is_graph(layer: Any) -> bool:
    return isinstance(layer, Functional | keras.Sequential)


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


def _with_functions(layer: Any, config: Any) -> Any:
    """A config with the functions that the layer has: Keras spells them by name, and gives back its
    own of that name, or none."""
    own = {
        key: held
        for key, spelt in config.items()
        if isinstance(held := getattr(layer, str(key), None), FunctionType)
        and _names_another(spelt, held)
    }
    return {**config, **own}


def _names_another(spelt: Any, function: FunctionType) -> bool:
    if isinstance(spelt, str):
        return getattr(keras.activations, spelt, None) is not function
    return isinstance(spelt, dict) and spelt.get("class_name") in ("function", "__lambda__")


def _custom(layer: Any) -> bool:
    return not type(layer).__module__.startswith("keras.")


@contextlib.contextmanager
def _empty() -> Iterator[None]:
    """Random initialisers give zeros in this thread: each new weight is assigned its value at
    once, and to draw it first would cost as much time and memory as all the rest."""
    here = threading.get_ident()

    def quick(drawn: Any) -> Any:
        def call(self: Any, shape: Any, dtype: Any = None, **settings: Any) -> Any:
            if threading.get_ident() == here:
                return keras.ops.zeros(shape, dtype)
            return drawn(self, shape, dtype, **settings)

        return call

    with _DRAWING:
        before = {kind: kind.__call__ for kind in _RANDOM}
        try:
            for kind, drawn in before.items():
                kind.__call__ = quick(drawn)
            yield
        finally:
            for kind, drawn in before.items():
                kind.__call__ = drawn


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


def _chosen(place: int) -> Callable[..., Any]:
    return lambda *args, **kwargs: keras.tree.flatten((args, kwargs))[place]


def _set_values(model: Any, new: Any, values: Mapping[str, Array], *, fewer: bool) -> None:
    old_weights, weights = ({**named_weights(one), **named_states(one)} for one in (model, new))
    wanted = set(old_weights) | set(values)
    missing = set(weights) - wanted if fewer else wanted ^ set(weights)
    if missing and not _is_graph(model) and len(weights) == len(wanted):
        # Its own code made layers without names, which Keras numbers anew: they keep their order.
        weights = dict(zip(old_weights, weights.values(), strict=True))
    elif missing:
        raise ModelError(
            f"model {model.name!r}: rebuilt from its config it has other weights "
            f"({sorted(missing)[0]!r} is not in both)"
        )
    for name, variable in weights.items():
        value = values.get(name)
        if value is None:
            value = array_of(old_weights[name])
        if tuple(variable.shape) != np.shape(value):
            raise ModelError(
                f"model {model.name!r}: weight {name!r} has shape {tuple(variable.shape)} after "
                f"the rebuild, its value {np.shape(value)}; {_advice(model, name)}"
            )
        variable.assign(value)
        if name in old_weights and variable.trainable != old_weights[name].trainable:
            variable.trainable = old_weights[name].trainable
    old = named_layers(model)
    for name, layer in named_layers(new).items():
        # Normalization computes with tensors that it derives from its weights.
        if isinstance(layer, keras.layers.Normalization) and layer.built:
            layer.finalize_state()
        if type(old.get(name)) is type(layer):
            _set_beside(old[name], layer)


def _advice(model: Any, weight: str) -> str:
    """What to do where a weight does not fit."""
    for name, layer in named_layers(model).items():
        rule = vars(type(layer)).get("edgeprune_rule")
        if rule is not None and weight.startswith(f"{name}/"):
            return (
                f"the rule of {type(layer).__name__} ({type(rule).__name__}) does not say which "
                "channels lie on its axes, or its resized gives another width"
            )
    return _ADVICE


def _set_beside(old: Any, new: Any) -> None:
    """What a layer keeps beside its weights: where its random numbers stand, and vocabularies."""
    # Keras has no public list of a layer's generators; classes of the user's hold them anywhere.
    for one, other in zip(old._seed_generators, new._seed_generators, strict=False):
        other.state.assign(one.state)
    if isinstance(old, IndexLookup) and old.input_vocabulary is None and old.vocabulary_size():
        if old.output_mode == "tf_idf":
            store: dict[str, Any] = {}
            old.save_own_variables(store)
            new.load_own_variables(store)
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
