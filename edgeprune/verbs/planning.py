"""The verb plan on files: one plan, from saved scores or by scoring on the way down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.asking import BUDGETS, cuts, planned, profiled
from edgeprune.verbs.descending import Anew, descent_of, few, given, method_of
from edgeprune.verbs.sources import Facts, Source, plan_placed


def plan_file(
    scores: Path | None,
    out: Path,
    *,
    model: Source | None = None,
    targets: Sequence[str] = (),
    inexact: bool = False,
    latency: Path | None = None,
    anew: Anew | None = None,
    progress: Progress = SILENT,
    **asked: Any,
) -> Facts:
    """Decide what goes; writes ``out`` (.json, and its masks beside it). ``asked`` are the
    keywords of :func:`edgeprune.plan`; ``targets`` give the multiple and the latency table where
    they are not said; ``inexact`` frees groups as :func:`edgeprune.trace` does. Without ``scores``
    they are taken from ``model`` and its data, anew on the way down as ``anew`` says."""
    plan_placed(out, scores, latency, *(model.read if model else ()))
    asked |= profiled(targets, latency, asked)
    if inexact and not cuts(asked):
        raise InputError(
            "--inexact says which channels may be cut: add --channels or a budget, or leave it out"
        )
    from edgeprune.planning import check_something, shortfall

    if scores is None:
        plan, found, graph = _scored_anew(model, asked, anew or Anew(), inexact, progress)
    else:
        plan, found, graph = _from_scores(scores, model, asked, anew, inexact)
    check_something(plan, found, graph)
    plan.save(out)
    facts = {"file": str(out), **planned(plan)}
    if graph is not None and plan.cuts and asked.get("channels") is not None:
        facts["shortfall"] = shortfall(plan, graph, asked["channels"])
    return facts


def _from_scores(
    scores: Path,
    model: Source | None,
    asked: Mapping[str, Any],
    anew: Anew | None,
    inexact: bool,
) -> tuple[Any, Any, Any]:
    from edgeprune import api
    from edgeprune.scores import Scores

    if anew is not None or (model is not None and model.data is not None):
        raise InputError(
            f"{scores}: these scores are taken already, and --data, --method and --step say how "
            "to take them; leave these out, or SCORES"
        )
    found = Scores.load(scores)
    graph = None
    if model is not None:
        from edgeprune.surgery import trace

        graph = trace(model.found().opened(), inexact=inexact)
        model.scored(graph.model, found, scores)
    elif cuts(asked):
        name = next(n for n in ("channels", *BUDGETS) if asked.get(n) is not None)
        flag = name.replace("_", "-")
        raise InputError(f"--{flag} needs to know which channels belong together: add --model")
    return api.plan(found, graph, **asked), found, graph


def _scored_anew(
    model: Source | None,
    asked: Mapping[str, Any],
    anew: Anew,
    inexact: bool,
    progress: Progress,
) -> tuple[Any, Any, Any]:
    source = given(model)
    from edgeprune.scoring import METHODS, OWN

    opened = source.opened()
    method = method_of(anew, asked)
    data = None
    if METHODS[method].needs_data:
        fed = source.fed("inputs" if source.loss in OWN else "calibrate", opened)
        data = few(fed, anew.examples, source.seed)
    descent, keywords = descent_of(source, opened, data, method, asked, anew, inexact, progress)
    for stage in descent.stages(step=anew.step, **keywords):
        plan, scores = stage.plan, stage.scores
    return plan, scores, descent.graph
