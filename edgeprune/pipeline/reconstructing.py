"""Least squares against the dense model: what is known of the pruned one decides how its channels
are found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgeprune.errors import ModelError, PlanError
from edgeprune.graphs import Graph
from edgeprune.models import architecture_digest, kernel_nonzero, kernels, named_weights
from edgeprune.models.cloning import clone
from edgeprune.models.values import array_of
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recovery import (
    Matched,
    Reconstruction,
    batch_norms,
    check_same,
    known_channels,
    match_channels,
    reconstruct_with_report,
    slices_of,
)
from edgeprune.surgery import (
    cut_with_report,
    nearly_zero,
    strip,
    strip_with_report,
    trace,
    zero,
)
from edgeprune.surgery.carrying import Places
from edgeprune.surgery.folding import fold_batchnorm


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
            back, and the channels of a stripped model are known by it whatever its values are.
        seed: of the positions that are drawn.
        progress: told every layer.

    Raises:
        DataError: inputs that do not fit.
        PlanError: the plan is of another model, or does not lead to ``pruned``; or, without one,
            weights of ``pruned`` that are no slices of the dense model's.
        ModelError: ``pruned`` was not made of ``dense``.
    """
    check_same(pruned, dense)
    _check_turned(pruned, dense)
    if plan is not None and plan.model != architecture_digest(dense):
        raise PlanError(
            f"the plan was made for the model {plan.model[:12]}, the dense one is "
            f"{architecture_digest(dense)[:12]}; give the plan that cut this dense model"
        )
    if _shapes(pruned) == _shapes(dense):
        matched = Matched()
        if plan is not None:
            pruned = _with_zeros(pruned, nearly_zero(dense, plan), dense, matched)
    elif plan is not None:
        pruned, dense, matched = _by_plan(pruned, dense, plan)
    else:
        dense = strip(dense, fold_batchnorm=True) if _folded(pruned, dense) else dense
        matched = match_channels(pruned, dense, trace(dense, inexact=True))
    return reconstruct_with_report(pruned, dense, batches, matched, seed=seed, progress=progress)


def _check_turned(pruned: Any, dense: Any) -> None:
    """Refuse a dense model that is the pruned one: solving towards it would spoil the other."""
    before, now = kernel_nonzero(dense), kernel_nonzero(pruned)
    if before < now:
        raise ModelError(
            f"the dense model has {before:,} weights of kernels that are not zero, and the pruned "
            f"one {now:,}: swapped? the pruned model comes first, and the one before pruning is "
            "the dense one (--dense)"
        )


def _folded(pruned: Any, dense: Any) -> bool:
    """Whether the batch norms of ``dense`` are folded in ``pruned``: a branch that left took its
    own along."""
    there = set(batch_norms(pruned))
    if not set(batch_norms(dense)) - there:
        return False
    return there.isdisjoint(fold_batchnorm(dense)[1])


def _by_plan(pruned: Any, dense: Any, plan: Plan) -> tuple[Any, Any, Matched]:
    """A copy of ``pruned`` with the zeros of ``plan``, the dense model as it is to be compared
    with, and where the channels stand there: the plan is carried out once more and tells, so that
    no value is looked at.

    Raises:
        PlanError: the plan makes other shapes.
    """
    folded = _folded(pruned, dense)
    made, places = _carried_out(dense, plan, folded)
    _check_shapes(pruned, made)
    whole = fold_batchnorm(dense)[0] if folded else dense
    matched = known_channels(made, whole, places)
    return _with_zeros(pruned, made, whole, matched), whole, matched


def _with_zeros(pruned: Any, made: Any, whole: Any, matched: Matched) -> Any:
    """A copy of ``pruned`` with the zeros that a plan wrote, where they have grown back: those of
    ``made`` which ``whole``, that it was made of, has not."""
    new = clone(pruned)
    its, theirs = named_weights(made), named_weights(whole)
    for name, variable in named_weights(new).items():
        if name not in its or name not in theirs:
            continue  # of a batch norm that was folded, or a bias that took constants
        value = array_of(its[name])
        before = slices_of(array_of(theirs[name]), name, matched.places)
        gone = (value == 0) & (before != 0) if before.shape == value.shape else np.zeros(())
        if gone.any():
            variable.assign(np.where(gone, 0, array_of(variable)))
    return new


def _carried_out(dense: Any, plan: Plan, folded: bool) -> tuple[Any, Places]:
    """What ``plan`` makes of the dense model, and which of its positions are left."""
    graph: Graph = trace(dense, inexact=True)
    if not any(graph[one.group].inexact for one in plan.cuts if one.group in graph):
        made, report = strip_with_report(zero(dense, plan), fold_batchnorm=folded)
        return made, report.places
    made, report = cut_with_report(dense, plan)
    places = dict(report.places)
    if folded:
        made, report = strip_with_report(made, fold_batchnorm=True)
        for place, keep in report.places.items():
            places[place] = places[place][keep] if place in places else keep
    return made, places


def _check_shapes(pruned: Any, made: Any) -> None:
    wanted, found = _shapes(pruned), _shapes(made)
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            raise PlanError(
                f"layer {name.rpartition('/')[0]!r}: the plan makes {name!r} of shape "
                f"{found.get(name)}, the pruned model has {wanted.get(name)}; give the plan that "
                "cut it"
            )


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(kernel.variable.shape) for name, kernel in kernels(model).items()}
