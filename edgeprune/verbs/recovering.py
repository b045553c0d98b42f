"""The verb ``recover`` on files: the steps of recovery, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.progress import SILENT, Progress
from edgeprune.recoveries import NEEDS, which_train
from edgeprune.verbs.counting import counts
from edgeprune.verbs.sources import MODELS, Facts, Source

_TEACH = ("temperature", "alpha", "features")
_TRAIN = ("epochs", "learning_rate", "patience", "decay", "batch")


def recover_file(
    source: Source,
    out: Path,
    *,
    methods: Sequence[str] = ("finetune",),
    dense: Path | None = None,
    plan: Path | None = None,
    validation: float = 0.1,
    progress: Progress = SILENT,
    temperature: float | None = None,
    alpha: float | None = None,
    features: Sequence[str] = (),
    **settings: Any,
) -> Facts:
    """Do the steps of recovery in order, the zeros held; writes ``out``.

    Args:
        source: model and data; labels are needed where a step needs them.
        out: of the new model.
        methods: names of :mod:`edgeprune.recoveries`.
        dense: the model before pruning, for the steps that need it.
        plan: whose zeros are held too; for reconstruct, what cut the model, stripped or not.
        validation: share of the data that those that train are judged by.
        progress: where the work is shown.
        temperature, alpha, features: of ``distill``, see
            :class:`edgeprune.recovery.teaching.Teaching`.
        settings: of :class:`edgeprune.pipeline.recovering.Settings`.

    Returns:
        Of one step its facts; of several, the facts of each under ``steps``.

    Raises:
        InputError: a step that is none, or one that needs ``dense`` and has none.
    """
    source.gives(out, *MODELS)
    _check(methods, dense, out)
    asked = {"temperature": temperature, "alpha": alpha, "features": tuple(features) or None}
    teaching: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    check_read(methods, [*teaching, *settings], "--method")
    from edgeprune.plans import Plan

    held = Plan.load(plan) if plan is not None else None
    source.found()
    teacher = Source(dense, trust=source.trust, threads=source.threads) if dense else None
    if teacher is not None:
        teacher.found()
    from edgeprune.feeding import split
    from edgeprune.models import architecture_digest, save_model, values_digest
    from edgeprune.pipeline.recovering import Ground, Settings, recovered
    from edgeprune.recovery import Teaching, has_labels
    from edgeprune.surgery import trace

    model = source.opened()
    original = teacher.opened() if teacher is not None else None
    if original is not None and values_digest(model) == values_digest(original):
        progress.say(
            f"note: {dense} is the same model as {source.model}, weight by weight: there is "
            "nothing to learn from it"
        )
    made_by = held
    if plan is not None and held is not None:
        # A stripped model is not the one that the plan was made for, the dense one is.
        small = "reconstruct" in methods and held.model != architecture_digest(model)
        (teacher if small and teacher else source).fits(original if small else model, held, plan)
        held = None if small else held
    labels = any(NEEDS[method].labels for method in methods)
    data = source.fed("train" if labels else "inputs", model)
    ground = Ground(
        Settings(tuple(methods), **settings, teaching=Teaching(**teaching)),
        data,
        dense=original,
        seed=lambda step: source.seed,
        plan=held,
        made_by=made_by,
        trace=trace,
        progress=progress,
    )
    if any(NEEDS[method].trains for method in methods):
        train, part = split(data, validation, source.seed)
        # Without labels nothing reads a loss, and a model that has none is as good.
        task = source.judging(model, progress) if labels or has_labels(data) else None
        ground = replace(ground, train=train, validation=part, task=task)
    new, told = recovered(model, ground)
    save_model(new, out)
    facts = told[0] if len(methods) == 1 else {"steps": told}
    return {"file": str(out), **facts, **counts(model, new)}


def check_read(steps: Sequence[str], given: Iterable[str], flag: str) -> None:
    """Refuse settings that none of ``steps`` reads.

    Args:
        steps: names of :mod:`edgeprune.recoveries`.
        given: names of settings, and of whatever else.
        flag: of the steps, on the command line.

    Raises:
        InputError: with what to do.
    """
    done = ", ".join(steps) or "none"
    for name in given:
        said = f"--{name.replace('_', '-')}"
        if name in _TEACH and "distill" not in steps:
            raise InputError(
                f"{said} is of distill, which is not asked for ({done}); add {flag} distill, or "
                "leave it out"
            )
        if name in _TRAIN and not which_train(steps):
            raise InputError(
                f"{said} is of steps that train, and none is asked for ({done}); add {flag} "
                "finetune, or leave it out"
            )


def _check(methods: Sequence[str], dense: Path | None, out: Path) -> None:
    for method in methods:
        if method not in NEEDS:
            raise InputError(f"--method {method}: known are {', '.join(NEEDS)}")
        if NEEDS[method].dense and dense is None:
            raise InputError(
                f"--method {method} needs the model as it was before pruning: add --dense MODEL"
            )
    if dense is not None and not any(NEEDS[method].dense for method in methods):
        raise InputError(
            f"--dense {dense}: no step asked for reads it ({', '.join(methods)}); leave it out"
        )
    if dense is not None and Path(dense).expanduser().resolve() == out.resolve():
        raise InputError(f"{out}: is what this reads; name the result otherwise")
