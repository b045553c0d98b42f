"""All that is structurally dead leaves; the outputs stay.

A channel is dead when each weight that reads it is zero, or meets a constant there that its layer's
bias can take. Readers are decided before makers, from the outputs back, so one pass finds a chain
of consequences; passes repeat until one finds nothing, so a second strip finds nothing either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgeprune.models.names import named_layers, named_weights
from edgeprune.plans import Plan
from edgeprune.surgery.accounts import Account
from edgeprune.surgery.carrying import Places, carried_out
from edgeprune.surgery.constants import arrays
from edgeprune.surgery.deciding import Decision
from edgeprune.surgery.flows import Ids
from edgeprune.surgery.folding import fold_batchnorm as folded_batchnorm
from edgeprune.surgery.quotas import patterns_of
from edgeprune.surgery.telling import Kept, Telling
from edgeprune.surgery.tracing import traced

_NONE = np.zeros(0, np.int64)
SHOWN = 12
"""Runs of channel numbers in a line for people; :meth:`StripReport.facts` has them all."""


@dataclass(frozen=True)
class StripReport:
    """What strip did.

    Attributes:
        removed: number of channels that left, by layer.
        kept: dead channels that stay, with the reason.
        inexact: groups whose cut changed the outputs, with the reason.
        left: layers that left the graph, since what they gave to a sum is zero.
        folded: batch norms whose work the layer before them does.
        places: by weight and axis of the model that was given, the positions that are left.
        account: what left by its kind, and what it costs; where the model before was known.
    """

    removed: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()
    inexact: Mapping[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    places: Places = field(default_factory=dict)
    account: Account | None = None

    def facts(self) -> dict[str, Any]:
        """JSON values: ``removed``, ``kept`` with every channel's number, and the account."""
        return {
            **({} if self.account is None else {"account": self.account.facts()}),
            "removed": dict(self.removed),
            "kept": [
                {"layer": kept.layer, "channels": list(kept.channels), "reason": kept.reason}
                for kept in self.kept
            ],
            "inexact": dict(self.inexact),
            "left": list(self.left),
            "folded": list(self.folded),
        }

    def lines(self) -> tuple[str, ...]:
        """For people: one line a layer; which channels stay is named, of very many the first."""
        gone = [f"{name}: {count} channels leave" for name, count in self.removed.items()]
        if self.account is not None:
            gone = list(self.account.lines())
        stay = [
            f"{kept.layer}: {_counted(kept.channels)} ({numbered(kept.channels)}): {kept.reason}"
            for kept in self.kept
        ]
        changed = [f"{name}: inexact, {reason}" for name, reason in self.inexact.items()]
        blocks = [
            f"{len(self.left)} layers leave with a branch that is zero: {', '.join(self.left)}"
        ]
        norms = [f"{len(self.folded)} batch norms are folded: {', '.join(self.folded)}"]
        return (
            *(norms if self.folded else ()),
            *gone,
            *(blocks if self.left else ()),
            *stay,
            *changed,
        )


def numbered(channels: Sequence[int], most: int = SHOWN) -> str:
    """Channel numbers as runs, ``0, 3-5, 9``; after ``most`` runs the rest is counted."""
    runs: list[list[int]] = []
    for channel in channels:
        if runs and channel == runs[-1][-1] + 1:
            runs[-1][1:] = [channel]
        else:
            runs.append([channel])
    shown = ["-".join(map(str, run)) for run in runs[:most]]
    rest = sum(run[-1] - run[0] + 1 for run in runs[most:])
    return ", ".join([*shown, f"and {rest} more"] if rest else shown)


def _counted(channels: Sequence[int]) -> str:
    return "1 dead channel stays" if len(channels) == 1 else f"{len(channels)} dead channels stay"


def strip(model: Any, *, fold_batchnorm: bool = False) -> Any:
    """A new model without what is structurally dead, with the same outputs.

    Units and filters leave that are constant by their weights (the constant goes into the next
    layer's bias) or that nothing reads. ``strip(strip(m))`` equals ``strip(m)`` bit for bit.

    Args:
        model: any Keras 3 model.
        fold_batchnorm: let the layer before a batch norm do its work too, where it can.

    Raises:
        ModelError: a model that cannot be rebuilt from its config.
    """
    return strip_with_report(model, fold_batchnorm=fold_batchnorm)[0]


def strip_with_report(
    model: Any, *, fold_batchnorm: bool = False, plan: Plan | None = None
) -> tuple[Any, StripReport]:
    """:func:`strip`, and what left and what stayed.

    Args:
        model: see :func:`strip`.
        fold_batchnorm: see :func:`strip`.
        plan: what zeroed ``model``; its masks say which kernels keep to an N:M. Without it their
            zeros tell.

    Raises:
        ModelError: a model that cannot be rebuilt from its config.
    """
    model, folded = folded_batchnorm(model) if fold_batchnorm else (model, ())
    patterns = patterns_of(plan)
    new, report = stripped(model, Decision(traced(model), arrays(model), patterns=patterns))
    return new, replace(report, folded=folded)


def stripped(model: Any, decision: Decision) -> tuple[Any, StripReport]:
    """``model`` when ``decision`` is carried out, and then all that is dead in consequence."""
    numbers: dict[str, Ids] = {}
    removed: dict[str, int] = {}
    places: dict[tuple[str, int], Ids] = {}
    left: list[str] = []
    telling = Telling(decision.trace)
    new = None
    while True:
        for origin in decision.trace.origins:
            # A group may fall apart when channels that tied it leave: then it counts anew.
            if numbers.get(origin.name, _NONE).size != origin.size:
                numbers[origin.name] = np.arange(origin.size)
        decision.decide()
        telling.hear(decision.kept, numbers)
        if not decision.orders and not decision.passed:
            break
        old = model if new is None else new
        new, sliced = carried_out(decision, old)
        if decision.passed:
            stays = set(named_layers(new))
            left += [name for name in named_layers(old) if name not in stays]
        for place, keep in sliced.items():
            places[place] = places[place][keep] if place in places else keep
        for name, order in decision.orders.items():
            removed[name] = removed.get(name, 0) + numbers[name].size - order.size
            numbers[name] = numbers[name][order]
        decision = Decision(traced(new), arrays(new), patterns=decision.patterns)
    if new is None:
        new, _ = carried_out(decision, model)
    kept = telling.told(places, named_weights(new))
    in_order = {name: removed[name] for name in numbers if name in removed}
    return new, StripReport(in_order, kept, places=places, left=tuple(left))
