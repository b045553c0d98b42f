"""Flags and lines of a search for the largest share within a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.ranges import CONFIDENCE, NOT_NEGATIVE, SHARE, option, whole
from edgeprune.cli.tables import headed
from edgeprune.errors import InputError

Budget = Annotated[
    float | None,
    option(
        "--max-drop",
        takes=NOT_NEGATIVE,
        help="Find the largest share with which the metric loses no more.",
    ),
]
Confidence = Annotated[
    float | None,
    option("--confidence", takes=CONFIDENCE, help="Of what tells loss from noise; 0.95."),
]
Folds = Annotated[int, option(takes=whole(2, 100), help="Of the cross-validation.")]


class Share(StrEnum):
    sparsity = "sparsity"
    channels = "channels"


Searched = Annotated[
    Share | None,
    typer.Option("--search", help="Whose largest share within --max-drop to find."),
]


def shares(text: Any) -> Any:
    """Shares that are parted by commas."""
    return tuple(SHARE(part.strip()) for part in str(text).split(","))


Grid = Annotated[
    Any,
    typer.Option("--grid", metavar="X,X", parser=shares, help="Try these shares; else bisection."),
]


def check_search(
    given: str | None, model: Path | None, data: Path | None, scores: Path | None
) -> None:
    """Refuse a search that lacks something, or that is asked for with a share.

    Raises:
        InputError: with what to do.
    """
    if given is not None:
        raise InputError(f"--max-drop finds the share itself: leave {given} out, or --max-drop")
    if scores is None:
        raise InputError("--max-drop makes the plan from SCORES: give them, from 'edgeprune score'")
    for name, value in (("--model", model), ("--data", data)):
        if value is None:
            raise InputError(f"--max-drop tries plans on the model: add {name} FILE")


def search_parts(facts: Mapping[str, Any]) -> Iterable[Any]:
    """What was tried, and how far the folds are apart."""
    grid = headed(f"{facts['metric']} lost on {facts['examples']:,} examples")
    for name in (facts["of"], "lost", "may lose", ""):
        grid.add_column(name, justify="right" if name else "left", no_wrap=True)
    for point in facts["points"]:
        chosen = point["share"] == facts["share"]
        grid.add_row(
            f"{point['share']:.2%}",
            f"{point['value']:.4f}",
            f"{point['most']:.4f}",
            "taken" if chosen else "",
            style="bold" if chosen else "",
        )
    yield grid
    low, high = min(facts["folds"]), max(facts["folds"])
    yield (
        f"{facts['of']} {facts['share']:.2%}: {facts['metric']} loses at most "
        f"{facts['max_drop']:g} on another {facts['examples']:,} examples, with "
        f"{facts['confidence']:.0%} confidence"
    )
    yield (
        f"folds by themselves: {low:.2%} to {high:.2%}, mean {facts['mean']:.2%} ± "
        f"{facts['spread']:.2%}; {facts['evaluations']} plans tried"
    )
