"""What is given to the functions of this folder, checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeprune.artifacts import Artifact
from edgeprune.errors import ModelError, PlanError
from edgeprune.plans import Plan


def as_model(model: Any) -> Any:
    """``model``, where it is one."""
    import keras

    if isinstance(model, keras.Model):
        return model
    if isinstance(model, str | Path):
        kind = "a string" if isinstance(model, str) else "a path"
        raise ModelError(f"model is {kind}, {str(model)!r}; load it with edgeprune.load")
    raise ModelError(f"model is of class {type(model).__name__}; give a keras.Model")


def as_plan(plan: Any) -> Plan:
    """``plan``, where it is one."""
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, str | Path):
        raise PlanError(f"plan is a path, {str(plan)!r}; load it with edgeprune.Plan.load")
    raise PlanError(f"plan is of class {type(plan).__name__}; give an edgeprune.Plan")


def as_globs(exclude: str | Sequence[str]) -> tuple[str, ...]:
    """One glob is a list of one, not of its letters."""
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def as_path(artifact: Artifact | Path | str) -> Path:
    return artifact.path if isinstance(artifact, Artifact) else Path(artifact)
