"""The source: a model of Keras 2, opened by tf_keras and freed of what tfmot wrapped around it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from edgeprune.errors import ModelError
from edgeprune.importing.architectures import Architecture, described, holds_code
from edgeprune.importing.standing_in import stand_in
from edgeprune.models.references import one_line

_GRAPH = {"Functional", "Model", "Sequential", "TFOpLambda", "SlicingOpLambda"}
_PRUNED = "PruneLowMagnitude"
_OTHER_WRAPPERS = {
    "QuantizeWrapper": "quantize_model",
    "QuantizeWrapperV2": "quantize_model",
    "QuantizeLayer": "quantize_model",
    "QuantizeAnnotate": "quantize_annotate",
    "ClusterWeights": "cluster_weights",
}


@dataclass(frozen=True)
class Source:
    """A model of Keras 2.

    Attributes:
        loaded: as its file has it.
        plain: the same without wrappers of tfmot; the same object where there were none.
        unwrapped: how many layers were wrapped.
    """

    loaded: Any
    plain: Any
    unwrapped: int


def open_source(path: Path, architecture: Architecture, *, trust: bool) -> Source:
    """Open a file of Keras 2 with tf_keras, uncompiled.

    Raises:
        ModelError: it holds Python code and is not trusted, a layer is not known, a wrapper is not
            one of pruning, or tf_keras cannot read it.
    """
    if holds_code(architecture) and not trust:
        raise ModelError(
            f"{path}: holds Python code (a Lambda layer) that loading would run; "
            "if you trust its author, say so with --trust-model (trust=True)"
        )
    kinds = _checked_kinds(path, architecture)
    wrapper = _pruning_wrapper() if _PRUNED in kinds else None
    scope = {_PRUNED: wrapper} if wrapper else {}
    scope.update(_own(architecture))
    loaded = _loaded(path, scope, trust)
    if wrapper is None:
        return Source(loaded, loaded, 0)
    wrappers = [layer for layer in loaded._flatten_layers() if isinstance(layer, wrapper)]
    return Source(loaded, _stripped(path, loaded, wrappers), len(wrappers))


def _checked_kinds(path: Path, architecture: Architecture) -> list[str]:
    kinds: list[str] = []
    for layer in described(architecture):
        if layer.kind in _OTHER_WRAPPERS:
            raise ModelError(
                f"{path}: layer {layer.name!r} is a {layer.kind} of tfmot; give the model from "
                f"before {_OTHER_WRAPPERS[layer.kind]}"
            )
        if not _known(layer.kind) and not kinds:
            raise ModelError(
                f"{path}: a subclassed model ({layer.kind}): Keras 3 cannot take its layers over; "
                "write its call as a Functional model"
            )
        if not _known(layer.kind) and _registered(layer.registered) is None:
            raise ModelError(
                f"{path}: layer {layer.name!r} is a {layer.kind}, which Keras does not know; write "
                "it for Keras 3, decorate it with @keras.saving.register_keras_serializable(), and "
                'import its module first (a recipe: model = "module:function" of a function '
                f"there that returns edgeprune.load({path.name!r}))"
            )
        kinds.append(layer.kind)
    return kinds


def _known(kind: str) -> bool:
    short = kind[:-2] if kind.endswith(("V1", "V2")) else kind
    return kind in _GRAPH or kind == _PRUNED or hasattr(tf_keras.layers, short)


def _registered(name: str) -> Any:
    """What the user registered with Keras 3 under ``name``, with or without its package."""
    found = keras.saving.get_registered_object(name)
    if found is not None:
        return found
    short = name.split(">")[-1]
    for key, value in keras.saving.get_custom_objects().items():
        if key.split(">")[-1] == short:
            return value
    return None


def _own(architecture: Architecture) -> dict[str, Any]:
    """What the user registered, as tf_keras can use it."""
    scope: dict[str, Any] = {}
    for key, value in keras.saving.get_custom_objects().items():
        if not (isinstance(value, type) and issubclass(value, keras.layers.Layer)):
            scope[key] = scope[key.split(">")[-1]] = value
    for layer in described(architecture):
        if not _known(layer.kind):
            scope[layer.kind] = scope[layer.registered] = stand_in(_registered(layer.registered))
    return scope


def _loaded(path: Path, scope: Mapping[str, Any], trust: bool) -> Any:
    try:
        with _hushed(), _seeded():
            return tf_keras.models.load_model(
                path, custom_objects=dict(scope), compile=False, safe_mode=not trust
            )
    except Exception as error:
        if "bad marshal data" in str(error):
            raise ModelError(
                f"{path}: its Lambda layer was compiled by another Python and does not run in this "
                "one; put a layer of Keras in its place where the model was made, and save it again"
            ) from error
        raise ModelError(
            f"{path}: tf_keras cannot read it ({type(error).__name__}: {one_line(error)}); "
            "open it where it was made and save it again, as .h5"
        ) from error


def _pruning_wrapper() -> Any:
    (scope,) = _tfmot().sparsity.keras.prune_scope().custom_objects
    return scope[_PRUNED]


def _stripped(path: Path, model: Any, wrappers: list[Any]) -> Any:
    try:
        for wrapper in wrappers:
            # A wrapped layer masks its weights whenever it is called; taking the wrapper off does
            # not, and a file from the middle of training holds weights from before the mask.
            wrapper.pruning_obj.weight_mask_op()
        return _tfmot().sparsity.keras.strip_pruning(model)
    except Exception as error:
        raise ModelError(
            f"{path}: tfmot cannot take its pruning wrappers off "
            f"({type(error).__name__}: {one_line(error)}); call strip_pruning where it was made"
        ) from error


def _tfmot() -> Any:
    """tfmot, imported without what its import does to the process.

    It sets TF_USE_LEGACY_KERAS, after which ``tf.keras`` and every child process would be Keras 2;
    and it takes ``tf.keras`` for its own unless that is bound to Keras 3 already.
    """
    name = "TF_USE_LEGACY_KERAS"
    before = os.environ.pop(name, None)
    try:
        _ = tf.keras.__version__
        import tensorflow_model_optimization as tfmot
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
    return tfmot


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """A layer draws initial values before the file's are put in, and where operations have to be
    deterministic, TensorFlow refuses to draw without a seed."""
    from tensorflow.python.eager import context

    unseeded = context.global_seed() is None
    if unseeded:
        tf.random.set_seed(0)
    try:
        yield
    finally:
        if unseeded:
            tf.random.set_seed(None)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """tf_keras warns of all that it leaves out, the compile state above all."""
    from absl import logging

    before = logging.get_verbosity()
    level = tf.get_logger().level
    logging.set_verbosity(logging.ERROR)
    tf.get_logger().setLevel("ERROR")
    try:
        yield
    finally:
        logging.set_verbosity(before)
        tf.get_logger().setLevel(level)
