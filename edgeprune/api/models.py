"""From a file to a model, and from a model to a smaller one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeprune.api.given import as_model, as_plan
from edgeprune.graphs import Graph
from edgeprune.plans import Plan


def load(path: Path | str, *, trust: bool = False) -> Any:
    """Open a ``.keras`` or ``.h5`` file, or a SavedModel with layers; files of Keras 2 too.

    Args:
        path: the file, or the folder of a SavedModel.
        trust: load Lambda layers, which run code from the file.

    Returns:
        A plain Keras 3 model; what Keras 2 wrote is carried over and compared with its source.

    Raises:
        ModelError: not a model, a custom layer that is not registered, weights with NaN or Inf, a
            layer of Keras 2 that does something else in Keras 3.
    """
    from edgeprune.importing import open_model

    return open_model(path, trust=trust).model


def trace(model: Any, *, inexact: bool = False) -> Graph:
    """Which channels of ``model`` live or die together.

    Args:
        model: a Keras 3 model.
        inexact: free the groups too whose channels are mixed without weights (layer norm, softmax,
            means over channels); they are marked, and only :func:`cut` takes them out.
    """
    from edgeprune.surgery import trace as trace_model

    return trace_model(as_model(model), inexact=inexact)


def zero(model: Any, plan: Plan) -> Any:
    """A new model of the same shapes with zeros where ``plan`` says.

    Raises:
        PlanError: the plan was made for another architecture.
    """
    from edgeprune.surgery import zero as zero_model

    return zero_model(as_model(model), as_plan(plan))


def hold(plan: Plan | None = None) -> Any:
    """A Keras callback that keeps zeros zero while a model trains.

    With a plan: what it removes, on the model that it was made for, whatever its values have
    become. Without: every kernel element that is exactly zero when training begins.

    Raises:
        PlanError: it is none; when training begins, one of another model.
    """
    from edgeprune.recovery import hold as hold_zeros
    from edgeprune.surgery import trace as trace_model

    return hold_zeros(None if plan is None else as_plan(plan), trace=trace_model)


def strip(model: Any, *, fold_batchnorm: bool = False) -> Any:
    """A new, smaller model: every channel that is structurally dead has left; same outputs.

    Args:
        model: a Keras 3 model.
        fold_batchnorm: let the dense layer or convolution before a batch norm do its work too.
    """
    from edgeprune.surgery import strip as strip_model

    return strip_model(as_model(model), fold_batchnorm=fold_batchnorm)


def cut(model: Any, plan: Plan) -> Any:
    """A new, smaller model without the channels that ``plan`` cuts, stripped.

    ``strip(zero(model, plan))`` where the plan is exact. Groups that are free only by
    ``trace(model, inexact=True)`` leave too: the outputs change, and training has to set that
    right.

    Raises:
        PlanError: the plan was made for another architecture, or names what cannot leave.
    """
    from edgeprune.surgery import cut as cut_model

    return cut_model(as_model(model), as_plan(plan))
