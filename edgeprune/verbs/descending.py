"""Scores that a verb takes by itself, anew on the way down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.errors import InputError
from edgeprune.progress import Progress
from edgeprune.verbs.asking import BUDGETS
from edgeprune.verbs.sources import Source

EXAMPLES = 2048
"""That scores are taken on."""


@dataclass(frozen=True)
class Anew:
    """How scores are taken on the way down.

    Attributes:
        method: name of the score; absent: what did best for such a goal.
        step: see :func:`edgeprune.planning.rescored`.
        microbatch: examples of one.
        examples: at most so many are scored, drawn by seed.
    """

    method: str | None = None
    step: float | None = None
    microbatch: int = 32
    examples: int = EXAMPLES


def descent_of(
    source: Source,
    opened: Any,
    data: Any,
    method: str,
    asked: Mapping[str, Any],
    anew: Anew,
    inexact: bool,
    progress: Progress,
) -> tuple[Any, dict[str, Any]]:
    """What scores on the way down, and what is asked of planning."""
    from edgeprune.models import make_objective
    from edgeprune.pipeline.descent import Descent
    from edgeprune.planning import Budgets, Constraints, Latency
    from edgeprune.scoring import METHODS, OWN
    from edgeprune.surgery import trace

    loss: Any = source.loss
    formula = METHODS[method]
    if formula.needs_data and formula.labels and loss not in OWN:
        loss = make_objective(loss, model=opened, base=Path.cwd())
    keywords = dict(asked)
    bounds = {name: keywords.pop(name) for name in ("multiple", "minimum", "most") if name in asked}
    table = keywords.pop("latency", None)
    budgets = {name: keywords.pop(name, None) for name in BUDGETS}
    keywords["constraints"] = Constraints(**bounds)
    keywords["budgets"] = Budgets(**budgets, latency=None if table is None else Latency.of(table))
    return (
        Descent(
            opened,
            trace(opened, inexact=inexact),
            method,
            None if data is None else data.batches(anew.microbatch),
            loss,
            source.seed,
            progress=progress,
        ),
        keywords,
    )


def given(model: Source | None) -> Source:
    if model is None:
        raise InputError(
            "no scores: give SCORES from 'edgeprune score', or --model and --data to score on the "
            "way down"
        )
    return model.found()


def method_of(anew: Anew, asked: Mapping[str, Any], *, front: bool = False) -> str:
    from edgeprune.recipes import BY_BUDGET
    from edgeprune.scoring import METHODS

    budget = front or any(asked.get(name) is not None for name in BUDGETS)
    method = anew.method or (BY_BUDGET if budget and asked.get("sparsity") is None else "taylor")
    assert method in METHODS
    return method


def few(data: Any, count: int, seed: int) -> Any:
    """At most so many examples, drawn by seed, in their order."""
    if data.examples <= count:
        return data
    drawn = np.random.default_rng(seed).permutation(data.examples)[:count]
    return data.subset(np.sort(drawn))
