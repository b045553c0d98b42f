"""What a plan asks for beside what is possible, drawn with rich."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from edgeprune.cli.searching import search_parts
from edgeprune.cli.tables import Whole, hanging, headed
from edgeprune.files import listed, percent

SHOWN = 8
"""Groups in a line; --json has all."""
DRAINED = 0.1
"""A group of which less is left is named."""
NEAR = 5e-4
"""Shares that read the same."""
_UNITS = {
    "macs": ("MACs", ",.0f"),
    "parameters": ("parameters", ",.0f"),
    "bytes": ("bytes, 4 a parameter", ",.0f"),
    "latency_ms": ("milliseconds by the table", ".4g"),
}
"""By kind of cost, its name and how a number of it is written."""
_COUNTS = ("size", "asked", "possible", "already_dead", "in_consequence", "left")


def account_tables(title: str, facts: Mapping[str, Any]) -> Iterable[Any]:
    """By group: asked and possible side by side; then where parameters and MACs go."""
    if facts["groups"]:
        yield Whole(_groups(title, facts))
    else:
        yield f"{title}: no channels leave"
    for row in facts["groups"]:
        if row["reason"]:
            count = len(row["stays"])
            yield f"{row['group']}: {count} asked for {_stay(count)}: {row['reason']}"
    yield from inexact_lines(facts["inexact"])
    if facts["masks"]:
        yield f"masks on {facts['masks']} kernels: where a zero stands, parameters and MACs stay"
    yield Whole(_totals(facts))


def pruned_parts(facts: Mapping[str, Any]) -> Iterable[Any]:
    """What pruning did with every group, and how much came of what was asked."""
    if facts.get("search"):
        yield from search_parts(facts["search"])
    if facts["cut"]:
        yield Whole(_cut(facts["cut"]))
    for row in facts["cut"]:
        if row["reason"]:
            count = row["asked"] - row["possible"]
            yield f"{row['group']}: {count} asked for {_stay(count)}: {row['reason']}"
    told = {row["group"] for row in facts["cut"] if row["reason"]}
    for each in (each for each in facts["held"] if each["layer"] not in told):
        count = len(each["channels"])
        yield f"{each['layer']}: {count} dead {_stay(count)}: {each['reason']}"
    if facts["stay"]:
        yield Text("Groups that keep every channel", style="bold")
    for each in facts["stay"]:
        yield hanging(f"{each['reason']}: {listed(each['groups'], SHOWN)}")
    yield from drained_lines((row["group"], row["left"], row["size"]) for row in facts["cut"])
    yield from reached_lines(facts["asked"], facts["reached"], facts["shortfall"])
    metric = facts["validation"]
    yield (
        f"{metric['metric']} on the validation split: {metric['before']:.4g} before, "
        f"{metric['after']:.4g} now"
    )
    rounds = facts["rounds"]
    if rounds["used"] < rounds["of"]:
        yield (
            f"rounds: {rounds['used']} of {rounds['of']}; the next one lost more than --max-drop "
            "allows, or its metric was no number"
        )


def drained_lines(groups: Iterable[tuple[str, int, int]]) -> Iterable[str]:
    """Of groups (name, channels left, channels before) that lost nearly all, that they did."""
    thin = [f"{name} ({left} of {size})" for name, left, size in groups if left < size * DRAINED]
    if thin:
        yield (
            f"hardly anything is left of {', '.join(thin)}; --most 0.8 would keep a fifth of every "
            "group"
        )


def reached_lines(
    asked: Mapping[str, Any], reached: Mapping[str, Any], shortfall: str | None
) -> Iterable[str]:
    """Asked against reached: always of channels, of connections where they are others."""
    if "channels" in asked:
        why = f"; {shortfall}" if shortfall else ""
        yield (
            f"channels: {asked['channels']:.2%} asked, {reached['channels']:.2%} go "
            f"({reached['dropped']:,} of the {reached['free']:,} that may){why}"
        )
    if "pattern" in asked:
        yield f"connections: pattern {asked['pattern']} asked, {percent(reached['sparsity'])} go"
    for kind, cost in reached.get("costs", {}).items():
        unit, shape = _UNITS[kind]
        yield (
            f"{unit}: {cost['most']:{shape}} allowed, {cost['after']:{shape}} stay of "
            f"{cost['before']:{shape}} ({cost['after'] / cost['before']:.2%})"
        )
    if "sparsity" in asked and abs(asked["sparsity"] - reached["sparsity"]) > NEAR:
        yield f"connections: {percent(asked['sparsity'])} asked, {percent(reached['sparsity'])} go"


def pattern_lines(why: Mapping[str, Any]) -> Iterable[str]:
    """What becomes of the kernels that a plan's pattern is not for."""
    if others := why.get("unpatterned"):
        fate = "stay whole" if "pattern" in why["asked"] else "go by single weights"
        yield f"pattern {why['pattern']} is not for these, they {fate}: {listed(others, SHOWN)}"


def inexact_lines(groups: Mapping[str, str]) -> Iterable[str]:
    """Of the groups that are cut at the price of other outputs, by name, the reason."""
    for name, reason in groups.items():
        yield f"{name}: inexact, the outputs change: {reason}"


def _stay(count: int) -> str:
    return "stays" if count == 1 else "stay"


def _cut(rows: Iterable[Mapping[str, Any]]) -> Table:
    table = headed("Channels")
    table.add_column("group", overflow="fold")
    for name in ("gone", "of", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        counts = (row["size"] - row["left"], row["size"], row["left"])
        table.add_row(Text(row["group"], "bold"), *(f"{count:,}" for count in counts))
    return table


def _groups(title: str, facts: Mapping[str, Any]) -> Table:
    table = headed(title)
    table.add_column("group", overflow="fold")
    for name in _COUNTS:
        table.add_column(name.replace("_", "\n"), justify="right")
    for row in facts["groups"]:
        style = "yellow" if row["asked"] != row["possible"] else ""
        table.add_row(
            Text(row["group"]), *(Text(f"{row[name]:,}") for name in _COUNTS), style=style
        )
    return table


def _totals(facts: Mapping[str, Any]) -> Table:
    table = headed("Parameters and MACs")
    for name in ("", "parameters", "MACs"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)

    def add(text: str, cost: Mapping[str, int], style: str = "") -> None:
        cells = (f"{cost[key]:,}" for key in ("parameters", "macs"))
        table.add_row(Text(text), *map(Text, cells), style=style)

    def change(text: str, cost: Mapping[str, int], factor: int) -> None:
        if any(cost.values()):
            cells = (f"{factor * cost[key]:+,}" for key in ("parameters", "macs"))
            table.add_row(Text(text), *map(Text, cells))

    add("now", facts["before"])
    add("what is asked has left, as predicted", facts["predicted"])
    change("of that, what the weights hold back", facts["stays"], 1)
    change("already dead", facts["already_dead"], -1)
    change("dead in consequence", facts["in_consequence"], -1)
    change("parts of channels, layers that left", facts["rest"], -1)
    change("new biases", {"parameters": sum(facts["biases"].values()), "macs": 0}, 1)
    add("after strip", facts["after"], "bold")
    return table
