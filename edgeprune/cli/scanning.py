"""scan: where a model suffers, place by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.options import (
    Data,
    Exclude,
    Json,
    Loss,
    Method,
    MethodOption,
    Metric,
    Model,
    PatternOption,
    Seed,
    Threads,
    Trust,
    Workers,
    gathered,
)
from edgeprune.cli.ranges import option, whole
from edgeprune.cli.searching import Confidence, shares
from edgeprune.cli.tables import Whole, headed
from edgeprune.cli.terminal import Session

SHOWN = (0.3, 0.5, 0.7, 0.9)
"""Ratios in the table, or those next to them; the JSON and the plot have all."""


class Places(StrEnum):
    channels = "channels"
    weights = "weights"


def add(app: typer.Typer) -> None:
    """Put the verb on ``app``."""
    verb(app, "scan", framework=True)(scan)


def scan(
    session: Session,
    model: Model,
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the curves go.")
    ],
    of: Annotated[
        Places, typer.Option("--of", help="What places lose: channels of groups, or weights.")
    ] = Places.channels,
    ratios: Annotated[
        Any,
        typer.Option(metavar="X,X", parser=shares, help="Shares that go; else 0.1 to 0.9."),
    ] = None,
    examples: Annotated[
        int | None, option(takes=whole(2), help="Most examples that judge; else all.")
    ] = None,
    confidence: Confidence = None,
    method: MethodOption = Method.taylor,
    pattern: PatternOption = "none",
    exclude: Exclude = None,
    loss: Loss = None,
    metric: Metric = None,
    microbatch: Annotated[
        int, option(takes=whole(1), help="Examples whose gradients are averaged first.")
    ] = 32,
    workers: Workers = 1,
    seed: Seed = 0,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Try what each place can lose: a curve a group or kernel, with its interval.

    Finished curves are kept in the folder; the same call again goes on where it was broken off.

    Example:  edgeprune scan model.keras --data d.npz -o scan
    """
    from edgeprune import verbs

    facts = verbs.scan_file(
        verbs.Source(model, str(data), loss, metric, trust_model, threads, seed),
        out,
        of=of.value,
        method=method.value,
        ratios=ratios,
        pattern=pattern,
        exclude=tuple(exclude or ()),
        examples=examples,
        microbatch=microbatch,
        workers=workers,
        progress=session.progress,
        **gathered({"confidence": confidence}),
    )
    session.result(
        facts, [*scan_parts(facts), f"{' and '.join(facts['files'])} written"], json=json
    )


def scan_parts(facts: Mapping[str, Any]) -> Iterable[Any]:
    """The places that suffer most first; what is noise in brackets."""
    rows = {row["name"]: row for row in facts["curves"]}
    every = [reading["ratio"] for reading in facts["curves"][0]["readings"]]
    columns = sorted({min(every, key=lambda ratio: abs(ratio - one)) for one in SHOWN})
    yield (
        f"{facts['metric']} lost on {facts['examples']:,} examples when one place loses "
        f"{facts['of']}, the others none"
    )
    grid = headed("Places, those that suffer most first")
    grid.add_column("place", overflow="fold")
    grid.add_column("of", justify="right", no_wrap=True)
    for ratio in columns:
        grid.add_column(f"{ratio:.0%}", justify="right", no_wrap=True)
    grid.add_column("up to", justify="right", no_wrap=True)
    for name in facts["ranked"]:
        row = rows[name]
        cells = [_cell(each) for each in row["readings"] if each["ratio"] in columns]
        grid.add_row(name, f"{row['size']:,}", *cells, f"{row['harmless']:.0%}")
    yield Whole(grid)
    yield (
        f"(in brackets): within {facts['confidence']:.0%} the place may lose nothing; up to: the "
        "largest share before a loss is sure"
    )
    reasons = dict.fromkeys(facts["skipped"].values())
    for reason in reasons:
        names = [name for name, one in facts["skipped"].items() if one == reason]
        yield f"no curve: {', '.join(names)}: {reason}"
    if facts["kept"]:
        yield f"{facts['kept']} of {len(facts['curves'])} curves kept from before"


def _cell(reading: Mapping[str, Any]) -> str:
    drop = reading["drop"]["value"]
    text = f"{drop:.4f}" if abs(drop) < 1 else f"{drop:.3g}"
    return text if reading["low"] > 0 or reading["high"] < 0 else f"({text})"
