"""The verbs that try plans on data: how much may go, and where it hurts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.files import check_folder, write_bytes
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.asking import planned, profiled
from edgeprune.verbs.sources import Facts, Source, plan_placed


def search_file(
    source: Source,
    scores: Path,
    out: Path,
    *,
    max_drop: float,
    of: str = "sparsity",
    folds: int = 5,
    grid: Sequence[float] = (),
    confidence: float = 0.95,
    targets: Sequence[str] = (),
    inexact: bool = False,
    pattern: str = "none",
    scope: Any = "global",
    exclude: Sequence[str] = (),
    multiple: int | None = None,
    minimum: int = 1,
    most: float = 1.0,
    progress: Progress = SILENT,
) -> Facts:
    """Find the largest share within ``max_drop`` and decide what goes; writes ``out`` (.json, and
    its masks beside it). The folds are scored by the formula of ``scores``, and the plan is made
    from these."""
    plan_placed(out, scores, *source.read)
    asked: Facts = {"channels": 1 if of == "channels" else None}
    asked |= {} if multiple is None else {"multiple": multiple}
    multiple = (asked | profiled(targets, None, asked)).get("multiple")
    from edgeprune.models import architecture_digest
    from edgeprune.pipeline.goals import Goal
    from edgeprune.pipeline.searching import Searching, Terms
    from edgeprune.planning import Constraints, shortfall
    from edgeprune.scores import Scores
    from edgeprune.scoring import METHODS
    from edgeprune.surgery import trace

    found = Scores.load(scores)
    if found.method not in METHODS:
        raise InputError(f"{scores}: scored by {found.method!r}, which cannot be scored anew here")
    terms = Terms(max_drop, of, folds, tuple(grid), confidence)  # type: ignore[arg-type]
    goal = Goal(
        channels=0.5 if of == "channels" else None,
        pattern=pattern,
        scope=scope,
        exclude=tuple(exclude),
        constraints=Constraints(multiple or 1, minimum, most),
        inexact=inexact,
    )
    model = source.found().opened()
    source.scored(architecture_digest(model), found, scores)
    search = Searching(
        model,
        source.fed("calibrate", model),
        source.judging(model, progress),
        found.method,
        goal,
        terms,
        int(found.facts.get("microbatch") or 32),
        source.seed,
        whole=found,
        progress=progress,
    ).run()
    search.plan.save(out)
    facts: Facts = {"file": str(out), **planned(search.plan), "search": search.facts()}
    if of == "channels":
        graph = trace(model, inexact=inexact)
        facts["shortfall"] = shortfall(search.plan, graph, search.share)
    return facts


SCAN, PLOT = "scan.json", "scan.svg"


def scan_file(
    source: Source,
    out: Path,
    *,
    of: str = "channels",
    method: str = "taylor",
    ratios: Sequence[float] | None = None,
    pattern: str = "none",
    exclude: Sequence[str] = (),
    examples: int | None = None,
    confidence: float = 0.95,
    workers: int = 1,
    microbatch: int = 32,
    progress: Progress = SILENT,
) -> Facts:
    """Scan every place; writes ``scan.json`` and ``scan.svg`` into the folder ``out``, where every
    finished curve is kept, so that a scan that was broken off goes on."""
    check_folder(out)
    source.found()
    from edgeprune import reporting
    from edgeprune.executors import shared
    from edgeprune.pipeline.scanning import RATIOS, Scanning, Sweep

    sweep = Sweep(
        of,  # type: ignore[arg-type]
        tuple(ratios or RATIOS),
        pattern,
        tuple(exclude),
        examples,
        confidence,
    )
    model = source.opened()
    scanning = Scanning(
        model,
        source.fed("calibrate", model),
        source.judging(model, progress),
        method,
        sweep,
        microbatch,
        source.seed,
        folder=out,
        apart=shared(workers),
        progress=progress,
    )
    scan = scanning.run()
    scan.save(out / SCAN)
    write_bytes(out / PLOT, reporting.curves_plot(scan).encode())
    return {
        "folder": str(out),
        "files": [str(out / SCAN), str(out / PLOT)],
        "kept": scanning.reused,
        "ranked": [curve.name for curve in scan.ranked],
        **scan.facts(),
    }
