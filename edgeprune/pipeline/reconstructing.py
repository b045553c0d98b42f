"""Least squares against the dense model: what is known of the pruned one decides how its channels
are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgeprune.errors import PlanError
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, kernels
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery import (
    Reconstruction,
    batch_norms,
    check_same,
    match_channels,
    reconstruct_with_report,
)
from edgeprune.surgery import cut, nearly_zero, strip, trace, zero


def reconstructed(
    pruned: Any,
    dense: Any,
    batches: Iterable[Any],
    *,
    plan: Plan | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Any, Reconstruction]:
    """``pruned`` with its weights solved, and what was done; see
    :func:`edgeprune.recovery.reconstruct_with_report`.

    Args:
        pruned: zeroed or stripped, batch norms folded or not.
        dense: what it was made of.
        batches: re-iterable, ``(x, …)``.
        plan: what made ``pruned`` of ``dense``: its zeros are written again where they have grown
            back, and the channels of a stripped model are known by it whatever its values are now.
        seed: of the positions that are drawn.
        progress: told every layer.

    Raises:
        DataError: inputs that do not fit.
        PlanError: the plan is of another model, or does not lead to ``pruned``; or, without one,
            weights of ``pruned`` that are no slices of the dense model's.
        ModelError: ``pruned`` was not made of ``dense``.
    """
    check_same(pruned, dense)
    if plan is not None and plan.model != architecture_digest(dense):
        raise PlanError(
            f"the plan was made for the model {plan.model[:12]}, the dense one is "
            f"{architecture_digest(dense)[:12]}; give the plan that cut this dense model"
        )
    if _shapes(pruned) == _shapes(dense):
        like = pruned = pruned if plan is None else nearly_zero(pruned, plan)
        graph = None
    else:
        folded = bool(set(batch_norms(dense)) - set(batch_norms(pruned)))
        like = pruned if plan is None else _carried_out(dense, plan, pruned, folded)
        dense = strip(dense, fold_batchnorm=True) if folded else dense
        graph = trace(dense, inexact=True)
    matched = match_channels(like, dense, graph)
    return reconstruct_with_report(pruned, dense, batches, matched, seed=seed, progress=progress)


def _carried_out(dense: Any, plan: Plan, pruned: Any, folded: bool) -> Any:
    """What ``plan`` makes of the dense model, which has the shapes of ``pruned``.

    Raises:
        PlanError: it has others.
    """
    graph: Graph = trace(dense, inexact=True)
    inexact = any(graph[one.group].inexact for one in plan.cuts if one.group in graph)
    made = cut(dense, plan) if inexact else strip(zero(dense, plan), fold_batchnorm=folded)
    wanted, found = _shapes(pruned), _shapes(made)
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            raise PlanError(
                f"layer {name.rpartition('/')[0]!r}: the plan makes {name!r} of shape "
                f"{found.get(name)}, the pruned model has {wanted.get(name)}; give the plan that "
                "cut it"
            )
    return made


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(kernel.variable.shape) for name, kernel in kernels(model).items()}
