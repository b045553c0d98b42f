"""What a model became, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.verbs.sources import Facts


def counts(before: Any, after: Any) -> Facts:
    """Parameters, non-zeros and MACs of both, and the share that is gone."""
    from edgeprune import models

    def of(model: Any) -> Mapping[str, int]:
        return {
            "parameters": models.parameters(model),
            "nonzero": models.nonzero(model),
            "macs": models.macs(model),
        }

    return {
        "model_before": of(before),
        "model_after": of(after),
        "sparsity": models.sparsity(after, before),
    }
