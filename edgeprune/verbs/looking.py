"""The verbs that look at a model or a file, and what one begins with: recipe, schemas, rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeprune.errors import (
    ArtifactError,
    DataError,
    InputError,
    ModelError,
    OutputError,
)
from edgeprune.files import check_file
from edgeprune.verbs.sources import Facts, Source, there


def inspect_path(
    source: Source, *, groups: bool = False, inexact: bool = False, plan: Path | None = None
) -> Facts:
    """What a model or an exported file is; with ``plan``, what would be left of the model."""
    from edgeprune.plans import Plan

    asked = None if plan is None else Plan.load(plan)
    path = source.model
    exported = path.suffix in (".tflite", ".onnx")
    there(path, ArtifactError if exported else ModelError)
    from edgeprune.inspection import inspect_file, inspect_model

    if exported:
        if groups or inexact:
            raise InputError(f"{path}: groups are a model's; an exported file has none")
        if asked is not None:
            raise InputError(f"{path}: a plan is for a model; an exported file has no layers")
        return dict(inspect_file(path))
    opened = source.imported()
    facts = dict(inspect_model(opened.model, groups=groups, inexact=inexact))
    if plan is not None:
        source.fits(opened.model, asked, plan)
        facts["plan"] = {"file": str(plan), **_foreseen(opened.model, asked)}
    return {**facts, "imported": list(opened.notes)} if opened.notes else facts


def init_file(
    model: str,
    data: str,
    out: Path,
    *,
    loss: str | None = None,
    metric: str | None = None,
    force: bool = False,
    threads: int = 2,
    trust: bool = False,
) -> tuple[str, ...]:
    """Write a recipe for a model and its data; what was guessed or split comes back, in lines."""
    if out.exists() and not force:
        raise OutputError(f"{out} is there already; name another with -o, or --force")
    check_file(out)
    there(model, ModelError)
    there(data, DataError)
    from edgeprune.models.engine import set_up
    from edgeprune.pipeline.starting import starting_recipe

    set_up(threads)
    start = starting_recipe(
        model, data, out, loss=loss, metric=metric, trust=trust, threads=threads
    )
    start.write(out, force=force)
    return tuple(start.notes)


def schema_of(noun: str) -> Facts:
    """The JSON Schema of ``recipe`` or ``target``, for editors; of ``bench`` (what it prints) or
    ``count`` (what it prints of an emulated file), for programs."""
    if noun == "recipe":
        from edgeprune.recipes import Recipe

        return dict(Recipe.json_schema())
    if noun == "target":
        from edgeprune.targets import Target

        return dict(Target.json_schema())
    if noun in ("bench", "count"):
        from edgeprune import contracts

        return contracts.bench_schema() if noun == "bench" else contracts.count_schema()
    raise InputError(f"no schema of {noun!r}; known are recipe, target, bench, count")


def makefile_path() -> Path:
    """``edgeprune.mk``: in the wheel inside the package, in a checkout beside it."""
    here = Path(__file__).resolve().parent.parent
    for folder in (here, here.parent):
        if (folder / "edgeprune.mk").is_file():
            return folder / "edgeprune.mk"
    raise InputError("edgeprune.mk is not in this installation; install edgeprune again")


def _foreseen(model: Any, plan: Any) -> Facts:
    """What a plan asks for and what of it is possible, by carrying it out in memory."""
    from edgeprune.surgery import accounted, cut_with_report

    small, report = cut_with_report(model, plan)
    report = accounted(model, small, report, plan)
    assert report.account is not None
    return {"masks": len(plan.masks), **report.account.facts(), "inexact": dict(report.inexact)}
