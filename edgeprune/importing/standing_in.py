"""A user's own Keras 3 layer inside a model of Keras 2, so that the rest can be compared."""

from __future__ import annotations

from typing import Any

import keras
import tf_keras


def stand_in(kind: type) -> type:
    """A layer class for tf_keras that runs ``kind``, a layer class of Keras 3, inside.

    tf_keras puts the file's values into its variables, in the order in which Keras 2 saved them:
    trainable ones first.
    """

    class StandIn(tf_keras.layers.Layer):
        own = kind

        def __init__(self, **config: Any) -> None:
            super().__init__(name=config.get("name"), trainable=config.get("trainable", True))
            self._given = dict(config)
            # Past tf_keras' __setattr__, which would look for variables in it.
            object.__setattr__(self, "inner", kind.from_config(dict(config)))  # type: ignore[attr-defined]

        def build(self, input_shape: Any) -> None:
            def symbol(shape: Any) -> Any:
                return keras.KerasTensor(tuple(shape), dtype="float32")

            with _eagerly():
                self.inner(_mapped(input_shape, symbol))
            self._trainable_weights = [v.value for v in self.inner.trainable_variables]
            self._non_trainable_weights = [v.value for v in self.inner.non_trainable_variables]
            for name, variable in vars(self.inner).items():
                # A SavedModel knows variables by the attribute that holds them.
                if isinstance(variable, keras.Variable):
                    self._track_trackable(variable.value, name)
            super().build(input_shape)

        def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            kwargs.pop("training", None)
            return self.inner(inputs, *args, training=False, **kwargs)

        def get_config(self) -> dict[str, Any]:
            return dict(self._given)

    StandIn.__name__ = kind.__name__
    return StandIn


def is_stand_in(layer: Any) -> bool:
    """Whether ``layer`` was made by :func:`stand_in`."""
    return hasattr(type(layer), "own") and hasattr(layer, "inner")


def _mapped(shape: Any, make: Any) -> Any:
    nested = isinstance(shape, list) and any(hasattr(each, "as_list") for each in shape)
    return [make(each) for each in shape] if nested else make(shape)


def _eagerly() -> Any:
    import tensorflow as tf

    return tf.init_scope()
