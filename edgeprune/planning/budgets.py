"""What a model may cost at most: as it is asked for, and the numbers that are to hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from edgeprune.costs import Cost, Cuts
from edgeprune.errors import PlanError
from edgeprune.files import nearest
from edgeprune.graphs import Graph

ALMOST = 1 - 1e-12
"""A share that is below 1."""
BYTES = 4
"""Of a parameter in a dense fp32 file."""
EVEN = 0.2
"""Share of the original's cost above which plans along a way lie evenly; below, each has the same
share of the one before. Near the original a little less costs a residual net much, and far down a
little less of what is left does."""
UNITS = {"macs": "MACs", "parameters": "parameters", "bytes": "bytes", "latency_ms": "ms"}


@dataclass(frozen=True)
class Latency:
    """How long an inference takes, by what is left of each group.

    Attributes:
        groups: by name of a group or a glob of names, milliseconds per kept channel; a name goes
            before a glob, and of globs the first that matches.
        constant: milliseconds that no channel changes.

    Raises:
        PlanError: a time that is no finite number from 0 up, or no group.
    """

    groups: Mapping[str, float]
    constant: float = 0.0

    def __post_init__(self) -> None:
        if not self.groups:
            raise PlanError("the latency table names no group; give milliseconds per kept channel")
        for name, value in (*self.groups.items(), ("constant", self.constant)):
            if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= value < math.inf):
                raise PlanError(
                    f"latency of {name!r} = {value!r}: milliseconds from 0 up are needed"
                )

    @classmethod
    def of(cls, table: Any) -> Self:
        """From ``{group: cost}``, or ``{"constant": cost, "groups": {group: cost}}``.

        Raises:
            PlanError: neither.
        """
        if isinstance(table, cls):
            return table
        if not isinstance(table, Mapping):
            kind = type(table).__name__
            raise PlanError(f"latency is given by group, {{name: milliseconds}}, not as {kind}")
        groups = table.get("groups")
        if not isinstance(groups, Mapping):
            return cls({str(name): value for name, value in table.items()})
        for key in table:
            if key not in ("groups", "constant"):
                raise PlanError(f"latency: no key {key!r} beside 'groups'; known: constant, groups")
        return cls({str(n): v for n, v in groups.items()}, table.get("constant", 0.0))

    def by_group(self, graph: Graph) -> dict[str, float]:
        """Milliseconds per kept channel of each group that the table names.

        Raises:
            PlanError: a name or glob that no group has.
        """
        names = [group.name for group in graph]
        found: dict[str, float] = {}
        for key, cost in sorted(self.groups.items(), key=lambda item: item[0] not in names):
            hits = [key] if key in names else [n for n in names if fnmatchcase(n, key)]
            if not hits:
                near = nearest(key, names)
                hint = f"did you mean {near!r}?" if near else "'edgeprune inspect MODEL --groups'"
                raise PlanError(f"latency table: no group {key!r} in this model; {hint}")
            for name in hits:
                found.setdefault(name, float(cost))
        return found

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        groups = {name: float(cost) for name, cost in self.groups.items()}
        return {"constant": float(self.constant), "groups": groups}


@dataclass(frozen=True)
class Budgets:
    """What the model may cost in the end; all that are given hold together.

    Attributes:
        max_macs, max_parameters, max_bytes: below 1 a share of the original's, else a whole
            number. Bytes are those of the parameters in a dense fp32 file, 4 each: an estimate,
            as the file holds a little more.
        max_latency_ms: milliseconds by ``latency``.
        latency: the table.

    Raises:
        PlanError: a number out of range; a latency without a table, or a table without it.
    """

    max_macs: float | None = None
    max_parameters: float | None = None
    max_bytes: float | None = None
    max_latency_ms: float | None = None
    latency: Latency | None = None

    def __post_init__(self) -> None:
        for name in ("max_macs", "max_parameters", "max_bytes"):
            value = getattr(self, name)
            if value is not None and not _is_limit(value):
                raise PlanError(
                    f"{name} = {value}: a share of the original's between 0 and 1, or a whole "
                    "number from 1 up, is needed"
                )
        limit = self.max_latency_ms
        if limit is not None and (
            isinstance(limit, bool) or not (isinstance(limit, Real) and 0 < limit < math.inf)
        ):
            raise PlanError(f"max_latency_ms = {limit}: milliseconds above 0 are needed")
        if limit is not None and self.latency is None:
            raise PlanError(
                "max_latency_ms needs a latency table, milliseconds per kept channel by group; "
                "give latency (--latency FILE), or a target whose profile has one"
            )
        if self.latency is not None and limit is None:
            raise PlanError("latency without max_latency_ms: ask for max_latency_ms, or leave it")

    def __bool__(self) -> bool:
        return bool(self.asked())

    def asked(self) -> dict[str, float]:
        """By name of the budget, as it was given."""
        named = (each.name for each in fields(self) if each.name != "latency")
        found = ((name, getattr(self, name)) for name in named)
        return {
            name: int(value) if isinstance(value, Integral) else float(value)
            for name, value in found
            if value is not None
        }

    def said(self) -> str:
        """As they are written in a recipe."""
        return " and ".join(f"{name} = {written(value)}" for name, value in self.asked().items())


def written(value: float) -> str:
    """A limit as a person writes it: ``2000000``, not ``2e+06``."""
    return f"{value:.0f}" if value >= 1 and float(value).is_integer() else f"{value:g}"


def _is_limit(value: Any) -> bool:
    """Whether this is a share or a whole number; NaN is neither."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    number = float(value)
    return 0 < number < 1 or (number >= 1 and number.is_integer())


class Costing:
    """What a model costs by the kinds that its budgets limit.

    Args:
        graph: of the model.
        budgets: of it.

    Attributes:
        limits: by kind (``"macs"``, ``"parameters"``, ``"bytes"``, ``"latency_ms"``), the most.
        whole: by kind, of the original.

    Raises:
        PlanError: a latency table that names what is not there; a budget that the original is
            within already.
    """

    def __init__(self, graph: Graph, budgets: Budgets) -> None:
        self._graph = graph
        self._latency = budgets.latency
        self.per_channel = budgets.latency.by_group(graph) if budgets.latency else {}
        self._kinds = tuple(name.removeprefix("max_") for name in budgets.asked())
        self.whole = self._costs({}, graph.cost({}))
        self.limits: dict[str, float] = {}
        for name, value in budgets.asked().items():
            kind = name.removeprefix("max_")
            share = kind != "latency_ms" and value < 1
            self.limits[kind] = value * self.whole[kind] if share else value
            if self.limits[kind] >= self.whole[kind]:
                raise PlanError(
                    f"{name} = {written(value)}: the model has {shown(kind, self.whole[kind])} "
                    "already, there is nothing to do; ask for less"
                )

    def costs(self, cuts: Cuts) -> dict[str, float]:
        """By kind, what is left when these channels leave as far as they can."""
        left, _ = self._graph.leaving(cuts)
        return self._costs(left, self._graph.cost(left))

    def _costs(self, cuts: Cuts, cost: Cost) -> dict[str, float]:
        found: dict[str, float] = {}
        for kind in self._kinds:
            if kind == "latency_ms":
                assert self._latency is not None
                kept = {
                    name: self._graph[name].size - np.size(cuts.get(name, ()))
                    for name in self.per_channel
                }
                found[kind] = self._latency.constant + sum(
                    each * kept[name] for name, each in self.per_channel.items()
                )
            elif kind == "bytes":
                found[kind] = BYTES * cost.parameters
            else:
                found[kind] = cost.macs if kind == "macs" else cost.parameters
        return found

    def levels(self, now: Mapping[str, float], count: int) -> list[dict[str, float]]:
        """``count`` costs on the way from ``now`` to the limits, which are the last of them: at
        even steps as long as more than :data:`EVEN` of the original's is left, and then each at
        the same share of the one before."""
        ways = {}
        for kind, most in self.limits.items():
            whole = self.whole[kind]
            shares = spaced(max(now[kind], most) / whole, most / whole, count)
            ways[kind] = [whole * share for share in shares]
        return [dict(zip(ways, costs, strict=True)) for costs in zip(*ways.values(), strict=True)]

    def length(self, start: Mapping[str, float], end: Mapping[str, float]) -> float:
        """Of the way between two costs: the largest share of the original's, of any kind."""
        return max((start[kind] - end[kind]) / self.whole[kind] for kind in self.limits)

    def between(self, start: Mapping[str, float], end: Mapping[str, float], part: float) -> Budgets:
        """The budgets after ``part`` (0 to 1) of the way from one cost to another."""
        asked = {}
        for kind, most in self.limits.items():
            limit = max(most, start[kind] + (end[kind] - start[kind]) * part)
            # What is reached already stays: the original is within no budget.
            share = min(limit / self.whole[kind], ALMOST)
            asked[f"max_{kind}"] = share * self.whole[kind] if kind == "latency_ms" else share
        return Budgets(latency=self._latency, **asked)

    def facts(self, cuts: Cuts) -> dict[str, dict[str, float]]:
        """By kind, ``before``, ``after`` and ``most`` (the limit); JSON values."""
        after = self.costs(cuts)
        return {
            kind: {"before": self.whole[kind], "after": after[kind], "most": self.limits[kind]}
            for kind in self._kinds
        }


def spaced(start: float, end: float, count: int) -> list[float]:
    """``count`` shares on the way from one to another, the other among them: evenly on a scale
    that is linear above :data:`EVEN` and logarithmic below, smooth where they meet."""
    high, low = (
        share / EVEN - 1 if share > EVEN else math.log(share / EVEN) for share in (start, end)
    )
    scale = (high + (low - high) * number / count for number in range(1, count + 1))
    return [EVEN * (1 + at if at > 0 else math.exp(at)) for at in scale]


def within(costs: Mapping[str, float], limits: Mapping[str, float]) -> bool:
    """Whether no cost is above its limit; sums of milliseconds round."""
    return all(costs[kind] <= limit * (1 + 1e-12) for kind, limit in limits.items())


def shown(kind: str, value: float) -> str:
    """A cost for people."""
    return f"{value:.4g} ms" if kind == "latency_ms" else f"{value:,.0f} {UNITS[kind]}"
