"""The compile state of a Keras 2 file, as far as Keras 3 knows its parts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from edgeprune.models.references import one_line


def compile_as(model: Any, training: Mapping[str, Any] | None) -> list[str]:
    """Compile ``model`` with loss, metrics and learning rate of the file; the optimiser is fresh.

    Returns:
        Notes: what was lost. A model whose loss Keras does not know is left uncompiled.
    """
    if not training:
        return []
    try:
        loss = _loss(training.get("loss"))
        metrics = _metrics(training.get("metrics"))
        optimizer, notes = _optimizer(training.get("optimizer_config") or training.get("optimizer"))
        weights = training.get("loss_weights")
        model.compile(optimizer=optimizer, loss=loss, metrics=metrics, loss_weights=weights)
    except Exception as error:
        return [
            f"not compiled: Keras 3 does not know its loss or metrics ({one_line(error)}); name "
            "them (--loss, --metric, or [task] in the recipe)"
        ]
    return notes


def _loss(given: Any) -> Any:
    if isinstance(given, list):
        return [_loss(each) for each in given]
    if not isinstance(given, Mapping):
        return given if given is None else keras.losses.get(given)
    if "class_name" not in given:
        return {name: _loss(each) for name, each in given.items()}
    if given["class_name"] in ("LossFunctionWrapper", "function"):
        config = given["config"]
        return keras.losses.get(config if isinstance(config, str) else config["fn"])
    config = dict(given["config"])
    if config.get("reduction") in ("auto", None):
        config["reduction"] = "sum_over_batch_size"
    return _made(keras.losses, given["class_name"], config)


def _metrics(given: Any) -> Any:
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
        # Keras 2 wrote a list an output, and an older Keras 3 takes one only for several.
        given = given[0]
    if isinstance(given, list):
        return [_metrics(each) for each in given if each is not None]
    if not isinstance(given, Mapping):
        return given
    if "class_name" not in given:
        return {name: _metrics(each) for name, each in given.items()}
    config = dict(given["config"])
    if given["class_name"] != "MeanMetricWrapper":
        return _made(keras.metrics, given["class_name"], config)
    if config.get("name") in ("accuracy", "acc"):
        return "accuracy"
    return keras.metrics.get(config["fn"])


def _optimizer(given: Any) -> tuple[Any, list[str]]:
    if isinstance(given, str) or not isinstance(given, Mapping):
        return keras.optimizers.get(given or "rmsprop"), []
    name = str(given["class_name"]).split(">")[-1]
    found = getattr(keras.optimizers, name, None)
    rate = given["config"].get("learning_rate")
    lost = ["the state of its optimiser is left out"]
    if found is None or not isinstance(rate, int | float):
        kept = rate if isinstance(rate, int | float) else 1e-3
        return keras.optimizers.Adam(kept), [
            f"its optimiser ({name}) is replaced by Adam with the learning rate {kept:g}"
        ]
    config = {k: v for k, v in given["config"].items() if isinstance(v, int | float | None)}
    return _made(keras.optimizers, name, {**config, "weight_decay": None}), lost


def _made(module: Any, name: str, config: Mapping[str, Any]) -> Any:
    """An object of Keras 3 with those settings of Keras 2's that it has."""
    found = getattr(module, str(name).split(">")[-1], None)
    if found is None:
        raise ValueError(f"no {name}")
    accepted = inspect.signature(found.__init__).parameters
    return found(**{key: value for key, value in config.items() if key in accepted and key != "fn"})
