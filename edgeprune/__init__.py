"""Prune trained Keras models by sensitivity; export, verify and measure what you ship.

Names are loaded when they are first used: ``import edgeprune`` loads no framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from edgeprune.api import (
        bench,
        cut,
        distill,
        export,
        fine_tune,
        front,
        hold,
        load,
        plan,
        prune,
        reconstruct,
        reestimate_batchnorm,
        run,
        scan,
        score,
        score_all,
        search,
        strip,
        trace,
        verify,
        zero,
    )
    from edgeprune.artifacts import Artifact
    from edgeprune.errors import EdgepruneError
    from edgeprune.graphs import Graph, Group, Member
    from edgeprune.measurements import Measurement
    from edgeprune.plans import Cut, Mask, Plan
    from edgeprune.results import Result
    from edgeprune.scans import Scan
    from edgeprune.scores import Scores
    from edgeprune.searches import Search
    from edgeprune.targets import Target

__all__ = [
    "Artifact",
    "Cut",
    "EdgepruneError",
    "Graph",
    "Group",
    "Mask",
    "Measurement",
    "Member",
    "Plan",
    "Result",
    "Scan",
    "Scores",
    "Search",
    "Target",
    "bench",
    "cut",
    "distill",
    "export",
    "fine_tune",
    "front",
    "hold",
    "load",
    "plan",
    "prune",
    "reconstruct",
    "reestimate_batchnorm",
    "run",
    "scan",
    "score",
    "score_all",
    "search",
    "strip",
    "trace",
    "verify",
    "zero",
]

_NOUNS = {
    "Artifact": "artifacts",
    "Cut": "plans",
    "EdgepruneError": "errors",
    "Graph": "graphs",
    "Group": "graphs",
    "Mask": "plans",
    "Measurement": "measurements",
    "Member": "graphs",
    "Plan": "plans",
    "Result": "results",
    "Scan": "scans",
    "Scores": "scores",
    "Search": "searches",
    "Target": "targets",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_NOUNS.get(name, 'api')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
