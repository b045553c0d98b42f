"""What left a model, why, and what each part of it cost. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from edgeprune.costs import Cost, Stay

Kind = Literal["asked", "already_dead", "in_consequence"]
"""*Asked*: a plan names the channel. *Already dead*: it was so before the plan. *In consequence*:
dead only because of what the plan took."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Lot:
    """Channels of one group that left for one reason.

    Attributes:
        kind: the reason.
        group: name of the group.
        channels: their numbers in the model that was given.
        layers: by layer, what left with them and with nothing that was counted before.
    """

    kind: Kind
    group: str
    channels: tuple[int, ...]
    layers: Mapping[str, Cost]

    @property
    def cost(self) -> Cost:
        """Over all layers."""
        return sum(self.layers.values(), Cost())


@dataclass(frozen=True)
class Account:
    """Where the parameters and MACs of a model went: ``before``, less every lot, with the new
    biases, is ``after``.

    Lots are counted in the order asked, already dead, in consequence, and in each of them group
    by group; what two take together (the corner of a kernel) is counted with the first.

    Attributes:
        before: the model that was given.
        predicted: what the plan's channels alone were expected to leave
            (:meth:`edgeprune.plans.Plan.cost`).
        after: the model that came out, counted on it.
        lots: what left.
        stays: channels that a plan names and that stay.
        sizes: by group that is mentioned, its number of channels before.
        biases: by name, the size of each weight that was made to take a constant.
        rest: what left of channels that did not leave as a whole: in a group that fell apart, and
            of layers that left the graph.
    """

    before: Cost
    predicted: Cost
    after: Cost
    lots: tuple[Lot, ...] = ()
    stays: tuple[Stay, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    biases: Mapping[str, int] = field(default_factory=dict)
    rest: Cost = field(default_factory=Cost)

    def of(self, kind: Kind) -> Cost:
        """What left for one reason."""
        return sum((lot.cost for lot in self.lots if lot.kind == kind), Cost())

    @property
    def held(self) -> Cost:
        """What channels cost that were expected to leave and stay; negative where more of them
        left than a graph can foresee."""
        return self.before - self.of("asked") - self.predicted

    @property
    def made(self) -> Cost:
        """The new biases."""
        return Cost(sum(self.biases.values()), 0)

    @property
    def total(self) -> Cost:
        """What ``after`` has to be."""
        extra = self.of("already_dead") + self.of("in_consequence") + self.rest
        return self.predicted + self.held - extra + self.made

    def groups(self) -> list[dict[str, Any]]:
        """By group, in the model's order; JSON values.

        ``asked`` channels are named by the plan, ``possible`` of them left.
        """
        return [self._group(name) for name in self.sizes]

    def _group(self, name: str) -> dict[str, Any]:
        lots = {lot.kind: lot for lot in self.lots if lot.group == name}
        stays = [stay for stay in self.stays if stay.group == name]
        counts = {kind: len(lots[kind].channels) if kind in lots else 0 for kind in KINDS}
        held = {channel for stay in stays for channel in stay.channels}
        return {
            "group": name,
            "size": self.sizes[name],
            "asked": counts["asked"] + len(held),
            "possible": counts["asked"],
            "already_dead": counts["already_dead"],
            "in_consequence": counts["in_consequence"],
            "left": self.sizes[name] - sum(counts.values()),
            "reason": "; ".join(dict.fromkeys(stay.reason for stay in stays)) or None,
            "parameters": {kind: lot.cost.parameters for kind, lot in lots.items()},
            "macs": {kind: lot.cost.macs for kind, lot in lots.items()},
            "channels": {kind: list(lot.channels) for kind, lot in lots.items()},
            "stays": sorted(held),
        }

    def layers(self) -> list[dict[str, Any]]:
        """By layer that lost something, the parameters and MACs of each kind; JSON values."""
        found: dict[str, dict[Kind, Cost]] = {}
        for lot in self.lots:
            for layer, cost in lot.layers.items():
                kinds = found.setdefault(layer, {})
                kinds[lot.kind] = kinds.get(lot.kind, Cost()) + cost
        return [
            {
                "layer": layer,
                "parameters": {kind: cost.parameters for kind, cost in kinds.items()},
                "macs": {kind: cost.macs for kind, cost in kinds.items()},
            }
            for layer, kinds in found.items()
        ]

    def lines(self) -> Iterator[str]:
        """For people: one line a group that lost channels, one for each new bias."""
        for row in self.groups():
            counts = {kind: row["possible" if kind == "asked" else kind] for kind in KINDS}
            total = sum(counts.values())
            if total:
                told = ", ".join(
                    f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items() if count
                )
                yield f"{row['group']}: {total} of {row['size']} channels leave ({told})"
        for name, size in self.biases.items():
            yield f"{name}: a new bias of {size} takes what a constant or a batch norm added"

    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "before": self.before.facts(),
            "predicted": self.predicted.facts(),
            "after": self.after.facts(),
            **{kind: self.of(kind).facts() for kind in KINDS},
            "stays": self.held.facts(),
            "rest": self.rest.facts(),
            "biases": dict(self.biases),
            "groups": self.groups(),
            "layers": self.layers(),
        }
