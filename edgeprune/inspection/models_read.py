"""Facts of a Keras model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from edgeprune import models
from edgeprune.graphs import Graph
from edgeprune.models.works import estimated
from edgeprune.surgery import trace


def inspect_model(model: Any, *, groups: bool = False, inexact: bool = False) -> dict[str, Any]:
    """What ``model`` is; JSON values only.

    Args:
        model: any built Keras model.
        groups: whether to list every channel group; without it they are only counted.
        inexact: take groups for free too whose channels are mixed without weights, and mark them.

    Returns:
        Single facts (``parameters``, ``macs`` per example, ``macs_estimated``: the layers whose
        class does not say what it multiplies, ``sparsity`` of all connections …) and lists of
        records: ``layers``, ``kernels`` (density is the share of non-zeros, prunable_channels the
        side on which channels may leave), and ``groups`` where asked for.

    Raises:
        ModelError: a model that was never built.
    """
    graph = trace(model, inexact=inexact)
    facts: dict[str, Any] = {
        "name": model.name,
        "class": type(model).__name__,
        "architecture": models.architecture_digest(model),
        "values": models.values_digest(model),
        "inputs": [_port(tensor) for tensor in getattr(model, "inputs", None) or ()],
        "outputs": [_port(tensor) for tensor in getattr(model, "outputs", None) or ()],
        "parameters": models.parameters(model),
        "nonzero": models.nonzero(model),
        "connections": models.kernel_elements(model),
        "sparsity": models.sparsity(model, model),
        "macs": models.macs(model),
        "macs_estimated": [
            name for name, layer in models.named_layers(model).items() if estimated(layer)
        ],
        "channel_groups": len(graph.groups),
        "free_groups": len(graph.free),
        "layers": _layers(model),
        "kernels": _kernels(model, graph),
    }
    if groups:
        facts["groups"] = graph.facts()["groups"]
    return facts


def _port(tensor: Any) -> dict[str, Any]:
    return {
        "name": tensor._keras_history.operation.name,
        "shape": [-1 if length is None else length for length in tensor.shape],
        "dtype": str(tensor.dtype),
    }


def _layers(model: Any) -> list[dict[str, Any]]:
    macs = models.layer_macs(model)
    rows = []
    for name, layer in models.named_layers(model).items():
        # Only the top level: what lies in a nested model is counted with it.
        if not name or "/" in name:
            continue
        weights = {id(weight): weight for weight in layer.weights}
        rows.append(
            {
                "layer": name,
                "class": type(layer).__name__,
                "parameters": int(sum(np.prod(weight.shape) for weight in weights.values())),
                "macs": macs.get(name, 0),
                "trainable": bool(layer.trainable),
            }
        )
    return rows


def _kernels(model: Any, graph: Graph) -> list[dict[str, Any]]:
    free: dict[str, set[str]] = {}
    for group in graph.free:
        for member in group.members:
            free.setdefault(member.weight, set()).add(member.role)
    rows = []
    for name, kernel in models.kernels(model).items():
        value = keras.ops.convert_to_numpy(kernel.variable)
        rows.append(
            {
                "kernel": name,
                "kind": kernel.kind,
                "shape": [int(length) for length in value.shape],
                "density": float(np.count_nonzero(value) / max(value.size, 1)),
                "prunable_channels": _sides(free.get(name, set())),
            }
        )
    return rows


def _sides(roles: set[str]) -> str:
    """A kernel reads the channels of its inputs and makes those of its outputs."""
    reads, makes = "reads" in roles, bool(roles - {"reads"})
    if reads and makes:
        return "inputs and outputs"
    return "inputs only" if reads else "outputs only" if makes else "none"
