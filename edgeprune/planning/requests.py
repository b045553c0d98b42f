"""A request (how much, in which pattern, of what) becomes a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from edgeprune.errors import PlanError
from edgeprune.files import nearest
from edgeprune.graphs import Graph
from edgeprune.patterns import Pattern
from edgeprune.planning.affording import choose_within
from edgeprune.planning.budgets import Budgets
from edgeprune.planning.constraining import Constraints
from edgeprune.planning.cutting import Cuts, choose_channels
from edgeprune.planning.excluding import excluded
from edgeprune.planning.masking import (
    Choice,
    Units,
    beyond_quota,
    choose_apart,
    choose_below,
    choose_together,
    units_of,
)
from edgeprune.plans import Cut, Mask, Plan
from edgeprune.scores import Scores

Scope = Literal["global", "layer"]
Bools = npt.NDArray[np.bool_]
UNCONSTRAINED = Constraints()
ASKED = ("sparsity", "threshold", "channels")
"""How much may be asked for; an N:M pattern says it itself."""
UNLIMITED = Budgets()


@dataclass(frozen=True)
class _Request:
    sparsity: float | None
    threshold: float | None
    channels: float | None
    pattern: Pattern
    scope: Scope
    constraints: Constraints
    budgets: Budgets

    @property
    def cuts(self) -> bool:
        """Whether channels leave."""
        return self.channels is not None or bool(self.budgets)

    def check(self) -> None:
        given = [*(getattr(self, name) for name in ASKED), self.budgets or None]
        asked = [value is not None for value in given]
        self.constraints.check(self.channels, budgets=bool(self.budgets))
        _known("scope", self.scope, get_args(Scope))
        if self.pattern.quota is not None:
            self._check_quota()
            return
        hybrid = self.sparsity is not None and self.threshold is None and sum(asked) == 2
        if sum(asked) != 1 and not hybrid:
            raise PlanError(
                "give exactly one of sparsity, threshold, channels, or budgets (max_macs, "
                "max_parameters, max_bytes, max_latency_ms), or channels or budgets with sparsity "
                "for a hybrid, or a pattern N:M alone"
            )
        for name in ASKED:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
                raise PlanError(f"{name} = {value!r}: a number is needed")
        for name, share in (("sparsity", self.sparsity), ("channels", self.channels)):
            if share is not None and not 0 <= share < 1:
                raise PlanError(f"{name} = {share}: a share from 0 to below 1 is needed")
        if self.threshold is not None and not (
            math.isfinite(self.threshold) and self.threshold > 0
        ):
            raise PlanError(f"threshold = {self.threshold}: a finite number above 0 is needed")

    def _check_quota(self) -> None:
        given = [name for name in ASKED if getattr(self, name) is not None]
        given += self.budgets.asked()
        if given:
            raise PlanError(
                f"pattern {self.pattern.name!r} says itself how much goes "
                f"({self.pattern.share:.4g} of each kernel that it fits), and {given[0]} asks for "
                f"something else; leave {given[0]} out"
                + ("; channels can be cut, and the model stripped, before" if self.cuts else "")
            )


def make_plan(
    scores: Scores,
    graph: Graph | None = None,
    *,
    sparsity: float | None = None,
    threshold: float | None = None,
    channels: float | None = None,
    pattern: str = "none",
    scope: Scope = "global",
    exclude: Sequence[str] = (),
    constraints: Constraints = UNCONSTRAINED,
    budgets: Budgets = UNLIMITED,
    within: Plan | None = None,
) -> Plan:
    """What to remove, the lowest scores first; a function of its arguments alone.

    Args:
        scores: finite, of one model.
        graph: the model's groups; needed for ``channels``, ``budgets`` and where ``within`` has
            cuts.
        sparsity: the share of zeros, 0 ≤ s < 1. ``scope="global"`` takes ``⌈s · n⌉`` of all
            n scored weights together, excluded ones counted in n (so that it is the model's
            sparsity); ``scope="layer"`` takes ``⌈s · n⌉`` of each weight not excluded.
        threshold: θ > 0; what scores below θ goes.
        channels: the share of each free group's channels (``scope="layer"``), or of those of all
            free groups together (``scope="global"``). With ``sparsity`` too: a hybrid. Channels go
            first; the zeros they leave count, and single weights follow up to the sparsity.
        pattern: a name of :mod:`edgeprune.patterns`. Blocks (a shorter last one too) go by their
            mean score, and kernels that the pattern is not for singly; the count is then reached
            or exceeded by less than one block. An N:M is asked for alone: it takes of every M
            neighbours all but the N best, of a shorter last group too, and leaves kernels that it
            is not for as they are.
        scope: ``"global"`` or ``"layer"``.
        exclude: globs over names of weights, layers or groups. Their weights are not masked, and
            their units not cut (they may lose inputs).
        constraints: on the widths that ``channels`` leaves. What is reached is then the nearest
            share that they allow; so many of a group's channels go as make it one.
        budgets: what the model may cost. ``scope="global"``: the knapsack over all free groups, so
            that the scores of what goes add up to the least (see
            :meth:`edgeprune.planning.narrowing.Narrowing.steps`); ``scope="layer"``: of each free
            group the same share. With ``sparsity`` too: a hybrid, as with ``channels``.
        within: the plan so far, of the same model; its zeros stay zero, and count.

    At least one connection (or block) of every weight and one channel of every group stays: a
    layer that is all zero makes the network constant. ``why["guarded"]`` names the weights where
    that guard decided; the count is then made up elsewhere where there is anything left.

    Returns:
        ``why`` holds method, asked, reached (shares and counts), threshold (the highest score that
        went, by weight for ``scope="layer"``), pattern, scope, exclude, guarded; with ``channels``
        or budgets also constraints, widths (by group that was cut, kept of size), unscored (groups
        that no scored weight touches, which keep their size) and uneven (groups no part of which
        fills the runs of a grouped convolution alike, which keep it too). Reached channels are a
        share of those of the groups that may be cut; with budgets ``costs`` has before, after and
        most of each kind. Of groups that leave at the price of other outputs
        ``why["inexact"]`` has the reason.

    Raises:
        PlanError: not exactly one request, a number out of range, scores that are not finite, a
            graph or plan of another model, a glob that matches nothing, a sparsity that the
            exclusions make impossible, channels or budgets that the constraints do.
    """
    found = Pattern.parse(pattern)
    request = _Request(sparsity, threshold, channels, found, scope, constraints, budgets)
    request.check()
    _check_scores(scores, request)
    graph = _check_graph(scores, graph, request, within)
    weights = {**scores.weights, **graph.weights} if graph else scores.weights
    kept_out = excluded(exclude, weights, [group.name for group in graph] if graph else ())
    cuts: Mapping[str, npt.NDArray[np.int32]]
    cuts = {cut.group: cut.drop for cut in within.cuts} if within else {}
    chosen = None
    if request.cuts:
        assert graph is not None
        chosen = _chosen_channels(scores, graph, request, kept_out, cuts)
        cuts = chosen.cuts
    gone = _gone_before(scores, graph, cuts, within)
    masks: dict[str, Bools] = {}
    choice = Choice({}, {}, ())
    if found.quota is not None:
        masks = _within_quota(scores, found, gone, kept_out)
    elif not request.cuts or sparsity is not None:
        masks, choice = _masked(scores, request, gone, kept_out)
    elif within is not None:
        masks = {mask.weight: ~mask.keep for mask in within.masks}
    for name, lost in masks.items():
        gone[name] = lost if name not in gone else gone[name] | lost
    why = _why(scores, request, exclude, gone, choice)
    if graph is not None and (chosen or cuts):
        _add_cuts(why, request, cuts, graph, chosen)
    return Plan(
        model=scores.model,
        cuts=tuple(Cut(name, drop) for name, drop in cuts.items()),
        masks=tuple(
            Mask(name, ~lost, "none" if _along(scores, name, found) is None else found.name)
            for name, lost in masks.items()
            if lost.any()
        ),
        why=why,
    )


def _chosen_channels(
    scores: Scores,
    graph: Graph,
    request: _Request,
    kept_out: frozenset[str],
    before: Mapping[str, npt.NDArray[np.int32]],
) -> Cuts:
    shared: dict[str, Any] = {
        "together": request.scope == "global",
        "excluded": kept_out,
        "before": before,
        "constraints": request.constraints,
    }
    if request.budgets:
        return choose_within(scores, graph, request.budgets, **shared)
    assert request.channels is not None
    return choose_channels(scores, graph, request.channels, **shared)


def _known(noun: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        near = nearest(str(word), known)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        raise PlanError(f"no {noun} {word!r}; {hint}")


def _check_scores(scores: Scores, request: _Request) -> None:
    if not scores.weights and not scores.channels:
        raise PlanError("these scores hold no weight: the model has no connections to remove")
    if not scores.weights and (not request.cuts or request.sparsity is not None):
        raise PlanError(
            f"score {scores.method!r} is of channels and says nothing of single weights; ask for "
            "channels alone, or score by another formula"
        )
    for part in (scores.weights, scores.channels):
        for name, value in part.items():
            if not np.isfinite(value).all():
                raise PlanError(f"scores of {name!r} hold NaN or Inf; score again on sound data")


def _check_graph(
    scores: Scores, graph: Graph | None, request: _Request, within: Plan | None
) -> Graph | None:
    if within is not None and within.model != scores.model:
        raise PlanError("the plan so far was made for another model than these scores")
    if graph is not None and graph.model != scores.model:
        raise PlanError("the graph is of another model than these scores; trace the scored model")
    cut_before = within is not None and within.cuts
    if graph is None and (request.cuts or cut_before):
        raise PlanError("channels need the model's graph: pass graph=trace(model) (or --model)")
    return graph


def _along(scores: Scores, name: str, pattern: Pattern) -> int | None:
    return pattern.along(scores.kinds.get(name), scores.weights[name].shape)


def _gone_before(
    scores: Scores, graph: Graph | None, cuts: Mapping[str, Any], within: Plan | None
) -> dict[str, Bools]:
    """By weight, True where a zero stands before this plan's masks."""
    shapes = {name: value.shape for name, value in scores.weights.items()}
    gone = graph.zeros_of(cuts, shapes) if graph is not None else {}
    for mask in within.masks if within else ():
        if shapes.get(mask.weight) != mask.keep.shape:
            raise PlanError(f"the plan so far masks {mask.weight!r}, which these scores lack")
        gone[mask.weight] = gone.get(mask.weight, False) | ~mask.keep
    return gone


def _within_quota(
    scores: Scores, pattern: Pattern, gone: Mapping[str, Bools], kept_out: frozenset[str]
) -> dict[str, Bools]:
    """By weight, what is zero once every kernel that the pattern is for keeps to it."""
    assert pattern.quota is not None
    masks = dict(gone)
    for name, value in scores.weights.items():
        axis = _along(scores, name, pattern)
        if axis is not None and name not in kept_out:
            zeros = gone.get(name, np.zeros(value.shape, bool))
            lost = beyond_quota(value, ~zeros, pattern.quota, pattern.size, axis)
            masks[name] = zeros | lost
    return masks


def _units(scores: Scores, name: str, pattern: Pattern, alive: Bools) -> Units:
    axis = _along(scores, name, pattern)
    block = 1 if axis is None else pattern.size
    return units_of(scores.weights[name], alive, block, axis or 0)


def _masked(
    scores: Scores, request: _Request, gone: Mapping[str, Bools], kept_out: frozenset[str]
) -> tuple[dict[str, Bools], Choice]:
    """By weight, what is zero afterwards."""
    units = {
        name: _units(
            scores,
            name,
            request.pattern,
            ~gone[name] if name in gone else np.ones(value.shape, bool),
        )
        for name, value in scores.weights.items()
        if name not in kept_out
    }
    choice = _chosen(scores, request, gone, units)
    masks = {}
    for name in scores.weights:
        zeros = gone.get(name)
        if name in units:
            lost = units[name].spread(choice.gone[name])
            zeros = lost if zeros is None else lost | zeros
        if zeros is not None:
            masks[name] = zeros
    return masks, choice


def _chosen(
    scores: Scores, request: _Request, gone: Mapping[str, Bools], units: Mapping[str, Units]
) -> Choice:
    if request.threshold is not None:
        return choose_below(units, request.threshold)
    share = request.sparsity
    assert share is not None
    sizes = {name: value.size for name, value in scores.weights.items()}
    had = {name: int(lost.sum()) for name, lost in gone.items()}
    if request.scope == "layer":
        counts = {name: _at_least(share, sizes[name]) - had.get(name, 0) for name in units}
        return choose_apart(units, counts)
    total = sum(sizes.values())
    count = _at_least(share, total) - sum(had.values())
    room = sum(int(part.size.sum()) for part in units.values())
    if count > room:
        reach = (sum(had.values()) + room) / total
        raise PlanError(
            f"sparsity = {share}: what is not excluded holds {room} of {total} weights, so at "
            f"most {reach:.4f} can be reached; exclude less or ask for less"
        )
    return choose_together(units, count)


def _why(
    scores: Scores,
    request: _Request,
    exclude: Sequence[str],
    gone: Mapping[str, Bools],
    choice: Choice,
) -> dict[str, Any]:
    total = sum(value.size for value in scores.weights.values())
    zeros = sum(int(lost.sum()) for lost in gone.values())
    asked: dict[str, Any]
    asked = {name: value for name in ASKED if (value := getattr(request, name)) is not None}
    asked |= request.budgets.asked()
    if request.pattern.quota is not None:
        asked = {"pattern": request.pattern.name}
    why: dict[str, Any] = {
        "method": scores.method,
        "asked": asked,
        "reached": {"sparsity": zeros / max(total, 1), "zeros": zeros, "weights": total},
        "pattern": request.pattern.name,
        "scope": request.scope,
        "exclude": list(exclude),
        "guarded": list(choice.guarded),
    }
    others = [name for name in scores.weights if _along(scores, name, request.pattern) is None]
    if request.pattern.size > 1 and others:
        why["unpatterned"] = others
    if choice.edge:
        edges = dict(choice.edge)
        why["threshold"] = edges if request.scope == "layer" else max(edges.values())
    return why


def _add_cuts(
    why: dict[str, Any],
    request: _Request,
    cuts: Mapping[str, npt.NDArray[np.int32]],
    graph: Graph,
    chosen: Cuts | None,
) -> None:
    """What became of the channels, into ``why``."""
    groups = chosen.groups if chosen else graph.free
    sizes = {group.name: group.size for group in groups}
    dropped = sum(int(drop.size) for name, drop in cuts.items() if name in sizes)
    free = sum(sizes.values())
    why["reached"] |= {"channels": dropped / max(free, 1), "dropped": dropped, "free": free}
    why["widths"] = {
        name: {"kept": graph[name].size - int(drop.size), "size": graph[name].size}
        for name, drop in cuts.items()
    }
    inexact = {name: reason for name in cuts if (reason := graph[name].inexact) is not None}
    if inexact:
        why["inexact"] = inexact
    if chosen:
        why["constraints"] = request.constraints.facts()
        why["unscored"] = list(chosen.unscored)
        why["uneven"] = list(chosen.uneven)
        if chosen.costs:
            why["reached"] |= {"costs": {kind: dict(cost) for kind, cost in chosen.costs.items()}}


def _at_least(share: float, total: int) -> int:
    """The fewest that are a share of ``total``: a promise of s must not fail by half a weight."""
    return math.ceil(share * total - 1e-9 * total)
