"""How much may go: tried on data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from edgeprune.api.given import as_globs, as_model
from edgeprune.progress import SILENT, Progress
from edgeprune.scans import Scan
from edgeprune.searches import Search


def search(
    model: Any,
    data: Any,
    *,
    max_drop: float,
    of: Literal["sparsity", "channels"] = "sparsity",
    method: str = "taylor",
    loss: Any = None,
    metric: Any = None,
    pattern: str = "none",
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    folds: int = 5,
    grid: Sequence[float] = (),
    confidence: float = 0.95,
    recover: Sequence[str] = (),
    microbatch: int = 32,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Search:
    """The largest share that may go within a budget of the metric, by cross-validation; plans are
    tried in one shot.

    Args:
        model: never changed.
        data: with labels, as :func:`prune` takes it; best examples that the model was not trained
            on, as on those it does better than on any others.
        max_drop: most that the metric may lose, in its own unit, on another set of as many
            examples.
        of: whose share: ``"sparsity"`` or ``"channels"``.
        method, loss, metric: as :func:`prune`.
        pattern … most: as :func:`plan`.
        folds: each is judged by plans whose scores come from the others.
        grid: try these shares; bisection where absent.
        confidence: with which the drop on that other set is within ``max_drop``.
        recover: steps that do not train, after each plan that is tried.
        microbatch, seed: as :func:`prune`.

    Returns:
        The share, the plan made with it from scores of all data, what was tried, and each fold's
        own largest share.

    Raises:
        PlanError: no share is within the budget, or a number out of its range.
        DataError: no labels, or data that does not fit.
    """
    from edgeprune.feeding import as_dataset
    from edgeprune.models import make_task
    from edgeprune.pipeline.goals import Goal
    from edgeprune.pipeline.searching import Searching, Terms
    from edgeprune.planning import Constraints

    model = as_model(model)
    goal = Goal(
        pattern=pattern, scope=scope, exclude=as_globs(exclude),
        constraints=Constraints(multiple, minimum, most),
    )  # fmt: skip
    terms = Terms(max_drop, of, folds, tuple(grid), confidence)
    task = make_task(loss, metric, None, None, model=model, base=None).told(progress)
    return Searching(
        model, as_dataset(data, model), task, method, goal, terms, microbatch, seed,
        recover=tuple(recover), progress=progress,
    ).run()  # fmt: skip


def scan(
    model: Any,
    data: Any,
    *,
    of: Literal["channels", "weights"] = "channels",
    ratios: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    method: str = "taylor",
    loss: Any = None,
    metric: Any = None,
    pattern: str = "none",
    exclude: Sequence[str] = (),
    examples: int | None = None,
    confidence: float = 0.95,
    folder: Path | str | None = None,
    workers: int = 1,
    microbatch: int = 32,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Scan:
    """How much the metric suffers when one place loses more and more, all others being whole.

    Args:
        model: never changed.
        data: with labels, as :func:`prune` takes it. At most half of it, and 2048 examples, score;
            the others judge.
        of: places are groups that lose ``"channels"``, or kernels that lose single ``"weights"``.
        ratios: shares that go, the lowest scores first.
        method, loss, metric: as :func:`prune`; a score of channels only for channels.
        pattern: blocks, of weights.
        exclude: globs of layer, weight or group names to leave out.
        examples: most that judge.
        confidence: of the intervals.
        folder: every finished curve is written there, and found again by the same call.
        workers: processes that share the points; the curves are the same. With several, a script
            keeps its own work under ``if __name__ == "__main__":``.
        microbatch, seed: as :func:`prune`.

    Returns:
        A curve a place; each drop with its standard error, example by example against ``model``.

    Raises:
        PlanError: no place can lose anything, a glob that matches nothing, a number out of range.
        DataError: no labels, or data that does not fit.
    """
    from edgeprune.executors import shared
    from edgeprune.feeding import as_dataset
    from edgeprune.models import make_task
    from edgeprune.pipeline.scanning import Scanning, Sweep

    model = as_model(model)
    sweep = Sweep(of, tuple(ratios), pattern, as_globs(exclude), examples, confidence)
    task = make_task(loss, metric, None, None, model=model, base=None).told(progress)
    return Scanning(
        model, as_dataset(data, model), task, method, sweep, microbatch, seed,
        folder=None if folder is None else Path(folder),
        apart=shared(workers), progress=progress,
    ).run()  # fmt: skip
