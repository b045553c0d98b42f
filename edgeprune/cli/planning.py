"""plan: what goes, from saved scores or by scoring on the way down, or a front of plans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.options import (
    Channels,
    Device,
    Exclude,
    Inexact,
    Json,
    Judge,
    LatencyFile,
    MaxBytes,
    MaxLatency,
    MaxMacs,
    MaxParameters,
    Method,
    Metric,
    Minimum,
    Most,
    Multiple,
    PatternOption,
    PlanOut,
    Scope,
    ScopeOption,
    Seed,
    Share,
    Step,
    Threads,
    Threshold,
    Trust,
    gathered,
)
from edgeprune.cli.ranges import option, whole
from edgeprune.cli.searching import (
    Budget,
    Confidence,
    Folds,
    Grid,
    Searched,
    check_search,
    search_parts,
)
from edgeprune.cli.terminal import Session
from edgeprune.errors import InputError
from edgeprune.files import percent


def plan(
    session: Session,
    out: PlanOut,
    scores: Annotated[
        Path | None,
        typer.Argument(metavar="SCORES", help="From 'edgeprune score'; else --model and --data."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Which channels belong together; what is scored without SCORES."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="To score on the way down; for --max-drop: examples with labels to judge by.",
        ),
    ] = None,
    loss: Judge = None,
    metric: Metric = None,
    method: Annotated[
        Method | None,
        typer.Option(help="The score; with a budget or --front gate-fisher, else taylor."),
    ] = None,
    sparsity: Share = None,
    threshold: Threshold = None,
    channels: Channels = None,
    max_macs: MaxMacs = None,
    max_parameters: MaxParameters = None,
    max_bytes: MaxBytes = None,
    max_latency_ms: MaxLatency = None,
    latency: LatencyFile = None,
    step: Step = None,
    front: Annotated[
        int | None,
        option(takes=whole(1, 1000), help="So many plans along one descent, into the folder -o."),
    ] = None,
    pattern: PatternOption = "none",
    scope: ScopeOption = Scope.whole,
    exclude: Exclude = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    most: Most = None,
    target: Device = None,
    inexact: Inexact = False,
    examples: Annotated[
        int | None, option(takes=whole(1), help="Scored at most, drawn by seed; 2048.")
    ] = None,
    max_drop: Budget = None,
    search: Searched = None,
    folds: Folds = 5,
    grid: Grid = None,
    confidence: Confidence = None,
    seed: Seed = 0,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Decide from scores what goes; without SCORES they are taken, anew on the way down.

    Example:  edgeprune plan scores.npz --sparsity 0.9 -o plan.json
    """
    from edgeprune import verbs

    source = None
    if model is not None:
        given = None if data is None else str(data)
        source = verbs.Source(model, given, loss, metric, trust_model, threads, seed)
    goals: dict[str, Any] = {"sparsity": sparsity, "threshold": threshold, "channels": channels}
    goals |= budgets(max_macs, max_parameters, max_bytes, max_latency_ms)
    beside: dict[str, Any] = {
        "scope": scope.value, "exclude": tuple(exclude or ()), "targets": tuple(target or ()),
        "progress": session.progress,
        **gathered({"multiple": multiple, "minimum": minimum, "most": most}),
    }  # fmt: skip
    how = gathered({"method": method and method.value, "step": step, "examples": examples})
    anew = verbs.Anew(**how) if how or scores is None else None
    if max_drop is not None:
        asked = {**goals, "step": step, "front": front}
        named = (
            f"--{name.replace('_', '-')}" for name, value in asked.items() if value is not None
        )
        check_search(next(named, None), model, data, scores)
        facts = verbs.search_file(
            source,  # type: ignore[arg-type]
            scores,  # type: ignore[arg-type]
            out, max_drop=max_drop, of=search.value if search else "sparsity", folds=folds,
            grid=grid or (), pattern=pattern, inexact=inexact,
            **gathered({"confidence": confidence}), **beside,
        )  # fmt: skip
    elif search is not None or grid or confidence is not None:
        raise InputError(
            "--search, --grid and --confidence are of the largest share within --max-drop: add it"
        )
    elif front is not None:
        _check_front(scores, inexact, pattern)
        facts = verbs.front_files(
            out, front, model=source, latency=latency, anew=anew, **goals, **beside
        )
        session.result(facts, _front_parts(facts, out), json=json)
        return
    else:
        facts = verbs.plan_file(
            scores, out, model=source, latency=latency, anew=anew, inexact=inexact,
            pattern=pattern, **goals, **beside,
        )  # fmt: skip
    session.result(facts, [*_plan_parts(facts), f"{out}: {_planned(facts)}"], json=json)


def _check_front(scores: Path | None, inexact: bool, pattern: str) -> None:
    given = {"SCORES": scores is not None, "--inexact": inexact, "--pattern": pattern != "none"}
    for name in (name for name, there in given.items() if there):
        raise InputError(
            f"--front scores anew on its way down, and takes channels that leave exactly: leave "
            f"{name} out, and give --model and --data"
        )


def _plan_parts(facts: dict[str, Any]) -> list[Any]:
    from edgeprune.cli.accounts import drained_lines, inexact_lines, pattern_lines, reached_lines
    from edgeprune.cli.tables import widths_table

    why = facts["why"]
    parts: list[Any] = [*search_parts(facts["search"])] if "search" in facts else []
    parts += [widths_table(why["widths"])] if facts["channels"] else []
    parts += inexact_lines(why.get("inexact", {}))
    if facts["channels"]:
        kept = ((name, each["kept"], each["size"]) for name, each in why["widths"].items())
        parts += drained_lines(kept)
    parts += pattern_lines(why)
    parts += reached_lines(why["asked"], why["reached"], facts.get("shortfall"))
    return parts


def _front_parts(facts: dict[str, Any], out: Path) -> list[Any]:
    from edgeprune.cli.tables import front_table

    line = f"{out}: {counted(len(facts['points']), 'plan')} and front.json"
    return [front_table(facts), *_judged(facts), line]


def budgets(
    macs: float | None, parameters: float | None, size: float | None, milliseconds: float | None
) -> dict[str, float | None]:
    names = ("max_macs", "max_parameters", "max_bytes", "max_latency_ms")
    return dict(zip(names, (macs, parameters, size, milliseconds), strict=True))


def _judged(facts: dict[str, Any]) -> list[str]:
    """What the metric of a front is of."""
    metric = facts.get("metric")
    if metric is None:
        return []
    return [
        f"{metric['name']}: {metric['original']:.4g} before; {metric['on']} "
        f"({metric['examples']:,} examples)"
    ]


def _planned(facts: dict[str, Any]) -> str:
    """The share of all connections, which is what was asked for, and where it goes."""
    parts = []
    if facts["channels"]:
        count = sum(facts["channels"].values())
        parts.append(f"{count:,} channels of {counted(len(facts['channels']), 'group')}")
    if facts["masks"]:
        parts.append(f"masks on {counted(facts['masks'], 'kernel')}")
    if not parts:
        return "nothing goes"
    reached = facts["why"]["reached"]
    if not reached["weights"]:
        return f"{', '.join(parts)} go"  # scores of channels tell of no connection
    return f"{percent(reached['sparsity'])} of all connections go: {', '.join(parts)}"


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
