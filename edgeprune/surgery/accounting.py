"""What strip took out, told apart: asked for, dead before, dead only in consequence.

Strip sees a model with zeros and knows no plan. Here both are at hand: the plan says what was
asked for, the model before it what was dead already; the rest followed. Which channel left is read
off the weights, whose positions strip keeps count of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgeprune.costs import Balance, Channels, Cost, Stay
from edgeprune.graphs import Graph
from edgeprune.models.calls import calls, function_of
from edgeprune.models.costs import macs, parameters
from edgeprune.models.names import named_layers, named_weights
from edgeprune.plans import Plan
from edgeprune.surgery.accounts import Account, Kind, Lot
from edgeprune.surgery.stripping import StripReport, strip_with_report
from edgeprune.surgery.tracing import trace

NEEDED = "what stays needs it"


def accounted(
    model: Any,
    small: Any,
    report: StripReport,
    plan: Plan | None = None,
    graph: Graph | None = None,
) -> StripReport:
    """``report`` with its :class:`Account`.

    Args:
        model: before the plan: its architecture is that of the model which was stripped.
        small: what strip made.
        report: what strip said of it.
        plan: what was asked for; ``None`` where strip had ``model`` itself, so that all that left
            was dead already.
        graph: of ``model``, where it is known.

    Raises:
        PlanError: the plan does not fit ``model``.
    """
    graph = trace(model, inexact=True) if graph is None else graph
    asked = {} if plan is None else plan.checked(graph)
    weights = named_weights(small)
    gone = _gone(graph, report, weights)
    dead = gone if plan is None else _gone(graph, strip_with_report(model)[1], weights)
    kinds: dict[Kind, Mapping[str, Channels]] = {
        "asked": _both(gone, asked),
        "already_dead": _less(_both(gone, dead), asked),
        "in_consequence": _less(_less(gone, dead), asked),
    }
    balance = Balance(graph)
    lots = tuple(
        Lot(kind, group.name, tuple(drop.tolist()), balance.take(group.name, drop))
        for kind, cuts in kinds.items()
        for group in graph
        if (drop := cuts.get(group.name, _NONE)).size
    )
    before = set(named_weights(model))
    biases = {
        name: int(np.prod(weight.shape)) for name, weight in weights.items() if name not in before
    }
    after = Cost(parameters(small), macs(small))
    account = Account(
        before=graph.cost({}),
        predicted=graph.cost(graph.leaving(asked)[0]),
        after=after,
        lots=lots,
        stays=_stays(graph, asked, gone, report),
        sizes={group.name: group.size for group in graph if group.name in {*asked, *gone}},
        biases=biases,
        rest=balance.left() - balance.left(_lengths(graph, report, weights), _idle(graph, small)),
    )
    return replace(report, account=account)


_NONE = np.zeros(0, np.int32)


def _idle(graph: Graph, small: Any) -> set[str]:
    """Layers and operations that multiplied and are not called any more."""
    layers = named_layers(small)
    called = set(layers)
    for function in filter(None, map(function_of, layers.values())):
        called |= {call.layer.name for call in calls(function)}
    return {work.layer for work in graph.works} - called


def _lengths(
    graph: Graph, report: StripReport, weights: Mapping[str, Any]
) -> dict[tuple[str, int], int]:
    """By weight and axis, how many positions strip left, where it took some."""
    found = {(name, 0): 0 for name in graph.weights if name not in weights}
    for (name, axis), left in report.places.items():
        if name in weights:
            grouped = graph.weights[name].runs > 1
            found[name, axis] = weights[name].shape[axis] if grouped else left.size
    return found


def _gone(graph: Graph, report: StripReport, weights: Mapping[str, Any]) -> dict[str, Channels]:
    """By group, the channels of which no weight has a position left."""
    found = {}
    for group in graph.free:
        gone = np.ones(group.size + 1, bool)
        for member in group.members:
            if member.weight not in weights:
                continue
            left = report.places.get((member.weight, member.axis))
            channel = member.channel.reshape(-1)
            gone[channel if left is None else channel[left]] = False
        channels = np.flatnonzero(gone[:-1]).astype(np.int32)
        if channels.size:
            found[group.name] = channels
    return found


def _both(one: Mapping[str, Channels], other: Mapping[str, Channels]) -> dict[str, Channels]:
    return {name: np.intersect1d(one[name], other[name]) for name in one if name in other}


def _less(one: Mapping[str, Channels], other: Mapping[str, Channels]) -> dict[str, Channels]:
    return {name: np.setdiff1d(drop, other.get(name, _NONE)) for name, drop in one.items()}


def _stays(
    graph: Graph,
    asked: Mapping[str, Channels],
    gone: Mapping[str, Channels],
    report: StripReport,
) -> tuple[Stay, ...]:
    """What was asked for and is still there, with the reason."""
    _, foreseen = graph.leaving(asked)
    told = [*foreseen, *(Stay(kept.layer, kept.channels, kept.reason) for kept in report.kept)]
    found = []
    for name, left in _less(asked, gone).items():
        rest = set(left.tolist())
        for stay in told:
            mine = rest & set(stay.channels) if stay.group == name else set()
            if mine:
                found.append(Stay(name, tuple(sorted(mine)), stay.reason))
                rest -= mine
        if rest:
            found.append(Stay(name, tuple(sorted(rest)), NEEDED))
    return tuple(found)
