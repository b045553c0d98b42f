"""The verbs of the method on files: from scores to a model that is smaller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.asking import planned, profiled
from edgeprune.verbs.counting import counts
from edgeprune.verbs.recovering import check_read
from edgeprune.verbs.sources import MODELS, Facts, Source, plan_placed


def score_files(
    source: Source,
    out: Path,
    *,
    methods: Sequence[str] = ("taylor",),
    microbatch: int = 32,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    workers: int = 1,
    progress: Progress = SILENT,
) -> list[Facts]:
    """Score every connection, or every channel, by each method, in one pass; writes ``out`` (.npz),
    or where there are several methods a file for each beside it (``scores-taylor.npz`` …). Scores
    of weights alone read no data and need no loss."""
    methods = list(dict.fromkeys(methods))
    files = {
        method: out.with_name(f"{out.stem}-{method}{out.suffix}") if len(methods) > 1 else out
        for method in methods
    }
    for file in files.values():
        source.gives(file, ".npz")
    source.found()
    from edgeprune.executors import shared
    from edgeprune.models import make_objective
    from edgeprune.scoring import METHODS, OWN, score_all
    from edgeprune.surgery import trace

    model = source.opened()
    loss, batches = None, None
    formulas = [METHODS[method] for method in methods if method in METHODS]
    own = source.loss in OWN
    if any(formula.needs_data and formula.labels for formula in formulas):
        loss = source.loss if own else make_objective(source.loss, model=model, base=Path.cwd())
    if any(formula.needs_data for formula in formulas):
        batches = source.fed("inputs" if own else "calibrate", model).batches(microbatch)
    found = score_all(
        model,
        batches,
        methods,
        loss=loss,
        graph=trace(model) if any(formula.of == "channels" for formula in formulas) else None,
        chunk=chunk,
        normalize=normalize,
        seed=seed,
        apart=shared(workers),
        progress=progress,
    )
    for method, scores in found.items():
        scores.save(files[method])
    return [
        {
            "file": str(files[method]),
            "method": scores.method,
            "kernels": len(scores.weights),
            "weights": sum(int(array.size) for array in scores.weights.values()),
            "channels": {name: int(array.size) for name, array in scores.channels.items()},
            "facts": dict(scores.facts),
        }
        for method, scores in found.items()
    ]


def zero_file(source: Source, plan: Path, out: Path) -> Facts:
    """Apply a saved plan; writes ``out`` (.keras)."""
    source.gives(out, *MODELS)
    from edgeprune.plans import Plan

    found = Plan.load(plan)
    source.found()
    from edgeprune.models import dropped, save_model
    from edgeprune.surgery import zero

    model = source.opened()
    source.fits(model, found, plan)
    zeroed = zero(model, found)
    save_model(zeroed, out)
    return {"file": str(out), **counts(model, zeroed), "optimizer": dropped(model)}


def strip_file(
    source: Source, out: Path, *, plan: Path | None = None, fold_batchnorm: bool = False
) -> Facts:
    """Take out what is dead; writes ``out`` (.keras). With a plan, that is carried out first."""
    source.gives(out, *MODELS)
    from edgeprune.plans import Plan

    asked = None if plan is None else Plan.load(plan)
    source.found()
    from edgeprune.models import dropped, save_model
    from edgeprune.surgery import accounted, strip_with_report, zero

    model = source.opened()
    if plan is not None:
        source.fits(model, asked, plan)
    small, report = strip_with_report(
        model if asked is None else zero(model, asked), fold_batchnorm=fold_batchnorm, plan=asked
    )
    report = accounted(model, small, report, asked)
    save_model(small, out)
    return {
        "file": str(out),
        **counts(model, small),
        **report.facts(),
        "report": list(report.lines()),
        "optimizer": dropped(model),
    }


def prune_file(
    source: Source,
    out: Path,
    *,
    plan_out: Path | None = None,
    targets: Sequence[str] = (),
    latency: Path | None = None,
    progress: Progress = SILENT,
    **asked: Any,
) -> Facts:
    """Score, plan, zero and recover in rounds, then strip; writes ``out`` (.keras). ``asked``
    are the keywords of :func:`edgeprune.prune`; ``targets`` and ``latency`` as in
    :func:`~edgeprune.verbs.planning.plan_file`."""
    source.gives(out, *MODELS)
    asked |= profiled(targets, latency, asked)
    if plan_out is not None:
        plan_placed(plan_out, *source.read, latency)
    from edgeprune.pipeline.asked import check_asked

    steps = asked.get("recover", ("finetune",))
    check_asked(asked, method=asked.get("method"), recover=steps)
    check_read(steps, asked, "--recover")
    source.found()
    from edgeprune.models import save_model
    from edgeprune.pipeline.loop import pruned

    model = source.opened()
    task = source.task(model)
    data = source.fed("train", model)
    found = pruned(
        model,
        data,
        loss=task.loss,
        metric=source.judge(model),
        seed=source.seed,
        progress=progress,
        **asked,
    )
    save_model(found.model, out)
    if plan_out is not None:
        found.plan.save(plan_out)
    return {
        "file": str(out),
        **counts(model, found.model),
        "plan": planned(found.plan),
        **found.facts(),
    }
