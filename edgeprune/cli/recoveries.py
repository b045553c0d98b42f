"""One line for each step of recovery, and a table where it tells of layers, from its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text

from edgeprune.cli.tables import Whole, headed


def recovered_line(steps: Sequence[Mapping[str, Any]]) -> str:
    """What each step did; of several, each by its name."""
    lines = [(step["method"], _LINES.get(step["method"], _trained)(step)) for step in steps]
    return "; ".join(line if len(lines) == 1 else f"{name}: {line}" for name, line in lines)


def _trained(facts: Mapping[str, Any]) -> str:
    if not facts["best_epoch"]:
        return (
            f"training gained nothing, the model is as it came: {facts['metric']} "
            f"{facts['before']:.4f} on {facts['validation_examples']:,} examples set aside"
        )
    return (
        f"{facts['metric']} {facts['before']:.4f} → {facts['after']:.4f} on "
        f"{facts['validation_examples']:,} examples set aside"
    )


def _batchnorm(facts: Mapping[str, Any]) -> str:
    count = facts["batch_norms"]
    if not count:
        return "nothing to do, this model has no batch norms; written as it was"
    return f"statistics of {count} batch norm{'s' * (count != 1)} taken anew"


def _reconstruct(facts: Mapping[str, Any]) -> str:
    solved = sum(row["reason"] is None for row in facts["layers"])
    error = facts["output_error"]
    return (
        f"{solved} of {len(facts['layers'])} layers solved on {facts['examples']:,} examples, "
        f"error of the outputs {_share(error['before'])} → {_share(error['after'])}"
    )


_LINES = {"batchnorm": _batchnorm, "reconstruct": _reconstruct}


def recovered_tables(facts: Mapping[str, Any]) -> Iterable[Any]:
    """What a step did layer by layer, where it says so."""
    if "layers" not in facts:
        return
    grid = headed("Layers, error of what they give")
    grid.add_column("layer", overflow="fold")
    for column in ("before", "after", "ridge"):
        grid.add_column(column, justify="right", no_wrap=True)
    grid.add_column("stays because", overflow="fold")
    for row in facts["layers"]:
        ridge = "" if row["ridge"] is None else f"{row['ridge']:.0e}"
        grid.add_row(
            Text(row["layer"], "bold"),
            _share(row["before"]),
            _share(row["after"]),
            ridge,
            Text(row["reason"] or ""),
        )
    yield Whole(grid)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
