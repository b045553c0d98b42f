"""The verb plan with --front: plans along one descent, each with what it costs and keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.files import SCHEMA, check_file, mapped_os_errors, write_json
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.asking import profiled
from edgeprune.verbs.descending import Anew, descent_of, few, given, method_of
from edgeprune.verbs.sources import Facts, Source

HELD_OUT = 0.2
"""Of the data: what a front judges its points by."""
BATCH = 256


def front_files(
    out: Path,
    points: int,
    *,
    model: Source | None,
    targets: Sequence[str] = (),
    latency: Path | None = None,
    anew: Anew | None = None,
    progress: Progress = SILENT,
    **asked: Any,
) -> Facts:
    """Plans along one descent; writes the folder ``out``: ``front.json`` and a plan a point.

    Each point has its costs, and, where the data has labels, the metric of the silenced model,
    without recovery, on a fifth of the data that no score saw. The descent ends at the budget that
    is asked for; without one, as far down as :meth:`edgeprune.pipeline.descent.Descent.far`.
    """
    if out.suffix:
        raise InputError(f"{out}: a front is a folder; give a name without {out.suffix}, as front/")
    check_file(out / "front.json")
    for name in ("sparsity", "threshold", "channels"):
        if asked.pop(name, None) is not None:
            raise InputError(f"--front goes down by a budget, not by --{name}; take --max-macs")
    asked |= profiled(targets, latency, asked, fixed=True)
    anew = anew or Anew()
    source = given(model)
    from edgeprune.models import parameters
    from edgeprune.scoring import METHODS, OWN

    opened = source.opened()
    method = method_of(anew, asked, front=True)
    data = judged = task = None
    if METHODS[method].needs_data or source.data is not None:
        own = source.loss in OWN
        fed = source.fed("inputs" if own else "calibrate", opened)
        if not own:
            task = source.judging(opened, progress)
            fed, judged = _parts(fed, source.seed)
        data = few(fed, anew.examples, source.seed)
    descent, keywords = descent_of(source, opened, data, method, asked, anew, False, progress)
    keywords["budgets"] = keywords["budgets"] or descent.far(**_of_groups(keywords))
    whole = descent.graph.cost({})
    facts: Facts = {
        "method": method,
        "model": descent.graph.model,
        "original": {"macs": whole.macs, "parameters": parameters(opened)},
        "scored_on": data.examples if data is not None else 0,
        "asked": keywords["budgets"].asked(),
        "points": [],
    }
    predict = None
    if task is not None and judged is not None:
        metric = task.evaluate(task.model_predict(opened), judged.batches(BATCH))
        facts["metric"] = {
            "name": task.metric_name,
            "original": metric,
            "on": "a fifth of the data, held out from the scores; no recovery",
            "examples": judged.examples,
        }
        predict = task.model_predict(descent.silenced)
    with mapped_os_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    width = len(str(points))
    for number, plan in descent.front(points, step=anew.step, **keywords):
        file = out / f"plan-{number:0{width}}.json"
        plan.save(file)
        cost = plan.cost(descent.graph)
        point = {**cost.facts(), "share": cost.macs / whole.macs, "plan": file.name}
        if predict is not None and task is not None and judged is not None:
            descent.carry_out(plan)
            point["metric"] = task.evaluate(predict, judged.batches(BATCH))
        facts["points"].append(point)
    write_json(out / "front.json", {"schema": SCHEMA, **facts})
    return {"folder": str(out), **facts}


def _parts(data: Any, seed: int) -> tuple[Any, Any]:
    from edgeprune.feeding import split

    parts: tuple[Any, Any] = split(data, HELD_OUT, seed)
    return parts


def _of_groups(keywords: Mapping[str, Any]) -> dict[str, Any]:
    return {name: keywords[name] for name in ("exclude", "constraints")}
