"""The task's metric: which Keras metric, on which output, and whether more is better."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from edgeprune.errors import InputError
from edgeprune.files import nearest
from edgeprune.models.fitting import is_sparse
from edgeprune.models.forward import output_names
from edgeprune.models.objectives import compile_state
from edgeprune.models.references import is_reference, one_line, referred

LOSS = "loss"
"""The metric that is the loss itself."""

_MORE = """
    accuracy acc binaryaccuracy categoricalaccuracy sparsecategoricalaccuracy
    topkcategoricalaccuracy sparsetopkcategoricalaccuracy auc precision recall f1score fbetascore
    r2score iou binaryiou meaniou onehotiou onehotmeaniou cosinesimilarity truepositives
    truenegatives sensitivityatspecificity specificityatsensitivity precisionatrecall
    recallatprecision concordancecorrelation pearsoncorrelation
"""
_LESS = """
    loss mse meansquarederror mae meanabsoluteerror mape meanabsolutepercentageerror msle
    meansquaredlogarithmicerror rmse rootmeansquarederror logcosh logcosherror huber kldivergence
    kld poisson binarycrossentropy categoricalcrossentropy sparsecategoricalcrossentropy
    binaryfocalcrossentropy categoricalfocalcrossentropy hinge squaredhinge categoricalhinge
    falsepositives falsenegatives
"""
_HIGHER = frozenset(_MORE.split())
_LOWER = frozenset(_LESS.split())


@dataclass(frozen=True, eq=False)
class Measure:
    """A metric before it meets data.

    Attributes:
        name: as it was asked for, or as Keras calls it.
        output: which output of the model it judges.
        make: from labels and outputs of the first batch to a fresh Keras metric; ``None`` for the
            loss itself.
        known: whether more is better, where the name tells.
        asked: what was asked for, found where it was a ``module:function``.
    """

    name: str
    output: int
    make: Callable[[Any, Any], Any] | None
    known: bool | None
    asked: Any = None


def make_measure(metric: Any = None, *, model: Any, base: Path | None = None) -> Measure:
    """The metric by name.

    Args:
        metric: a Keras name, ``"accuracy"`` (binary, categorical or sparse as labels and outputs
            have it), ``"loss"`` (the task's loss), ``"module:function"`` (a function of
            ``(y_true, y_pred)``, or of nothing that returns a Keras metric), any of these after
            ``"output:"`` for an output other than the first, a Keras metric, or ``None`` for the
            first compiled one (``"loss"`` where the model is compiled without).
        model: names its outputs and carries its compile state.
        base: comes first on the path when a module is imported.

    Raises:
        InputError: no such metric, or ``None`` and the model is not compiled.
    """
    names = output_names(model)
    if metric is None:
        output, metric = _compiled(model, names)
    else:
        output, metric = _split(metric, names)
    prefix = f"{names[output]}:" if output else ""
    name = prefix + _name(metric)
    if isinstance(metric, str) and metric == LOSS:
        return Measure(LOSS, 0, None, False, LOSS)
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return Measure(name, output, _accuracy, True, "accuracy")
    make = _factory(metric, base)
    own = isinstance(metric, str) and is_reference(metric)
    asked = referred(metric, base, InputError) if own else metric
    return Measure(name, output, lambda y, out: make(), _direction(metric, make), asked)


def _compiled(model: Any, names: list[str]) -> tuple[int, Any]:
    state = compile_state(model)
    for key in ("metrics", "weighted_metrics"):
        given = state.get(key)
        if isinstance(given, Mapping):
            given = [given.get(name) for name in names]
        elif len(names) < 2 and given:
            given = [given]
        for output, entry in enumerate(given or ()):
            first = entry
            while isinstance(first, list | tuple):
                first = first[0] if first else None
            if first is not None:
                return output, first
    if state:
        return 0, LOSS
    raise InputError(
        "the model has no compiled metric; name one (--metric NAME, [task] metric), "
        "for example accuracy"
    )


def _split(metric: Any, names: list[str]) -> tuple[int, Any]:
    if isinstance(metric, str) and ":" in metric:
        head, _, rest = metric.partition(":")
        if head in names:
            return names.index(head), rest
    return 0, metric


def _accuracy(labels: Any, outputs: Any) -> Any:
    if outputs.shape[-1] == 1:
        return keras.metrics.BinaryAccuracy()
    if is_sparse(labels, outputs):
        return keras.metrics.SparseCategoricalAccuracy()
    return keras.metrics.CategoricalAccuracy()


def _factory(metric: Any, base: Path | None) -> Callable[[], Any]:
    if isinstance(metric, str) and is_reference(metric):
        return _factory_of(referred(metric, base, InputError), metric)
    if isinstance(metric, str):
        found = None
        with contextlib.suppress(ValueError):
            try:
                found = keras.metrics.get(metric)
            except TypeError as error:
                raise InputError(
                    f"metric {metric!r} needs arguments ({one_line(error)}); write a "
                    "module:function that returns it"
                ) from error
        if found is None:
            known = [name for name in dir(keras.metrics) if not name.startswith("_")]
            near = nearest(metric, [*known, "accuracy"])
            hint = f"; did you mean {near!r}?" if near else ""
            raise InputError(f"no metric {metric!r} in Keras{hint}; your own: module:function")
        return _factory_of(found, metric)
    return _factory_of(metric, _name(metric))


def _factory_of(found: Any, name: str) -> Callable[[], Any]:
    if isinstance(found, type) and issubclass(found, keras.metrics.Metric):
        return found
    if isinstance(found, keras.metrics.Metric):
        return lambda: type(found).from_config(found.get_config())
    if not callable(found):
        raise InputError(f"metric {name!r} is neither a Keras metric nor a function")
    if _takes_nothing(found):
        made = found()
        if not isinstance(made, keras.metrics.Metric):
            raise InputError(f"metric {name!r}: {name}() returns no Keras metric")
        return found
    return lambda: keras.metrics.MeanMetricWrapper(found, name=name.rpartition(":")[2])


def _takes_nothing(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return not any(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)


def _direction(metric: Any, make: Callable[[], Any]) -> bool | None:
    made = make()
    candidates = [_name(metric).rpartition(":")[2], type(made).__name__, made.name]
    for candidate in candidates:
        plain = candidate.lower().replace("_", "")
        if plain in _HIGHER or plain in _LOWER:
            return plain in _HIGHER
    return None


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    return str(getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__))
