"""score, plan, zero, prune, strip, recover: from model to smaller model, one step a verb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.options import (
    Alpha,
    BatchOption,
    Channels,
    Data,
    DecayOption,
    Device,
    Epochs,
    Exclude,
    Inexact,
    Json,
    Judge,
    LatencyFile,
    Loss,
    MaxBytes,
    MaxLatency,
    MaxMacs,
    MaxParameters,
    Method,
    Metric,
    Minimum,
    Model,
    Most,
    Multiple,
    Normalization,
    Out,
    Patience,
    PatternOption,
    Rate,
    Recovery,
    Schedule,
    Scope,
    ScopeOption,
    Seed,
    Share,
    Step,
    Temperature,
    Threads,
    Threshold,
    Trust,
    Workers,
    gathered,
)
from edgeprune.cli.planning import budgets, plan
from edgeprune.cli.ranges import NOT_NEGATIVE, SHARE, each, option, several, whole
from edgeprune.cli.searching import Folds, Grid, Searched
from edgeprune.cli.terminal import Session
from edgeprune.files import percent


def add(app: typer.Typer) -> None:
    """Put these verbs on ``app``."""
    verb(app, "score", framework=True)(score)
    verb(app, "plan", framework=True)(plan)
    verb(app, "zero", framework=True)(zero)
    verb(app, "prune", framework=True)(prune)
    verb(app, "strip", framework=True)(strip)
    verb(app, "recover", framework=True)(recover)


def score(
    session: Session,
    model: Model,
    out: Out,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Calibration data; magnitude, lamp, random and bn-scale need none.",
        ),
    ] = None,
    loss: Judge = None,
    method: Annotated[
        list[Method] | None,
        typer.Option(
            help="How connections are scored; taylor. Of several: one pass, a file for each."
        ),
    ] = None,
    microbatch: Annotated[
        int, option(takes=whole(1), help="Examples whose gradients are averaged first.")
    ] = 32,
    chunk: Annotated[
        int | None,
        option(takes=whole(1), help="Most examples in memory at once; the scores stay the same."),
    ] = None,
    normalize: Annotated[
        Normalization, typer.Option(help="Divide each layer's scores by this of them.")
    ] = Normalization.none,
    seed: Seed = 0,
    threads: Threads = 2,
    workers: Workers = 1,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Score how much each connection, or each channel, matters.

    Example:  edgeprune score model.keras --data d.npz --method taylor -o scores.npz
    """
    from edgeprune import verbs

    given = None if data is None else str(data)
    source = verbs.Source(model, given, loss, trust=trust_model, threads=threads)
    found = verbs.score_files(
        source,
        out,
        methods=[each.value for each in method or [Method.taylor]],
        microbatch=microbatch,
        chunk=chunk,
        normalize=normalize.value,
        seed=seed,
        workers=workers,
        progress=session.progress,
    )
    for facts in found:
        if unscored := facts["facts"].get("unscored"):
            session.say(
                f"{facts['method']} says nothing of {', '.join(unscored)}: they keep their size"
            )
    told: Any = found[0] if len(found) == 1 else {"scores": found}
    session.result(told, [f"{facts['file']}: {_scored(facts)}" for facts in found], json=json)


def _scored(facts: dict[str, Any]) -> str:
    if facts["channels"]:
        count = sum(facts["channels"].values())
        return f"{count:,} channels of {len(facts['channels'])} groups scored by {facts['method']}"
    return f"{facts['weights']:,} weights of {facts['kernels']} kernels scored by {facts['method']}"


def zero(
    session: Session,
    model: Model,
    plan: Annotated[Path, typer.Option("--plan", metavar="FILE", help="From 'edgeprune plan'.")],
    out: Out,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Apply a saved plan: the same shapes, zeros where it says.

    Example:  edgeprune zero model.keras --plan plan.json -o zeroed.keras
    """
    from edgeprune import verbs

    facts = verbs.zero_file(verbs.Source(model, trust=trust_model), plan, out)
    if not json and facts["optimizer"]:
        session.say(facts["optimizer"])
    session.result(facts, f"{out}: {_smaller(facts)}", json=json)


def prune(
    session: Session,
    model: Model,
    data: Data,
    out: Out,
    loss: Loss = None,
    metric: Metric = None,
    sparsity: Share = None,
    threshold: Threshold = None,
    channels: Channels = None,
    max_macs: MaxMacs = None,
    max_parameters: MaxParameters = None,
    max_bytes: MaxBytes = None,
    max_latency_ms: MaxLatency = None,
    latency: LatencyFile = None,
    step: Step = None,
    method: Annotated[
        list[Any] | None,
        several(Method, "How connections are scored; of several, a rehearsal chooses."),
    ] = None,
    pattern: PatternOption = "none",
    scope: ScopeOption = Scope.whole,
    exclude: Exclude = None,
    multiple: Multiple = None,
    minimum: Minimum = None,
    most: Most = None,
    target: Device = None,
    rounds: Annotated[int, option(takes=whole(1), help="One round is one shot.")] = 1,
    ramp: Annotated[
        float | None,
        option(takes=SHARE, help="Let zeros grow over this share of a round's training."),
    ] = None,
    ramp_every: Annotated[
        int | None, option("--ramp-every", takes=whole(1), help="Steps between choices of masks.")
    ] = None,
    regrow: Annotated[
        float | None, option(takes=SHARE, help="Share of what is kept that moves on the ramp.")
    ] = None,
    shrink: Annotated[
        float | None,
        option(takes=NOT_NEGATIVE, help="Weight of Σ|w| in the loss while the ramp lasts."),
    ] = None,
    schedule: Annotated[
        Schedule, typer.Option(help="How the rounds approach the goal.")
    ] = Schedule.cubic,
    max_drop: Annotated[
        float | None,
        option(takes=NOT_NEGATIVE, help="Stop, a round back, when validation lost more."),
    ] = None,
    search: Searched = None,
    folds: Folds = 5,
    grid: Grid = None,
    inexact: Inexact = False,
    recover: Annotated[
        list[Any] | None, several(Recovery, "Steps after each round, in order; finetune.")
    ] = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    patience: Patience = None,
    decay: DecayOption = None,
    batch: BatchOption = None,
    temperature: Temperature = None,
    alpha: Alpha = None,
    rehearsal_epochs: Annotated[int, option(takes=whole(1, 100), help="Of a rehearsal.")] = 2,
    save_plan: Annotated[
        Path | None,
        typer.Option("--save-plan", metavar="FILE", help="Write the plan that was made here too."),
    ] = None,
    plan: Annotated[Path | None, typer.Option("--plan", hidden=True)] = None,
    seed: Seed = 0,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Prune in rounds of score, plan, zero, recover; ends with strip.

    Example:  edgeprune prune model.keras --data d.npz --sparsity 0.9 -o small.keras
    """
    from edgeprune import verbs
    from edgeprune.errors import InputError

    if plan is not None:
        raise InputError(
            f"--plan {plan}: prune makes a plan of its own and reads none; to keep that, add "
            f"--save-plan FILE; to carry {plan} out, edgeprune strip {model} --plan {plan} -o {out}"
        )
    facts = verbs.prune_file(
        verbs.Source(model, str(data), loss, metric, trust_model, threads, seed),
        out,
        plan_out=save_plan,
        progress=session.progress,
        sparsity=sparsity,
        threshold=threshold,
        channels=channels,
        step=step,
        latency=latency,
        **budgets(max_macs, max_parameters, max_bytes, max_latency_ms),
        method=_chosen(method),
        pattern=pattern,
        scope=scope.value,
        exclude=tuple(exclude or ()),
        rounds=rounds,
        schedule=schedule.value,
        max_drop=max_drop,
        search=search.value if search else None,
        folds=folds,
        grid=grid or (),
        inexact=inexact,
        rehearsal_epochs=rehearsal_epochs,
        targets=tuple(target or ()),
        **gathered(
            {
                "multiple": multiple,
                "minimum": minimum,
                "most": most,
                "recover": each(recover) or None,
                "epochs": epochs,
                "learning_rate": learning_rate,
                "patience": patience,
                "decay": decay.value if decay else None,
                "batch": batch,
                "temperature": temperature,
                "alpha": alpha,
                "ramp": ramp,
                "ramp_every": ramp_every,
                "regrow": regrow,
                "shrink": shrink,
            }
        ),
    )
    from edgeprune.cli.accounts import pruned_parts

    session.result(facts, [*pruned_parts(facts), f"{out}: {_smaller(facts)}"], json=json)


def strip(
    session: Session,
    model: Model,
    out: Out,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Carry this out first; tells what it asked."),
    ] = None,
    fold_batchnorm: Annotated[
        bool,
        typer.Option("--fold-batchnorm", help="Fold batch norms into the layer before them."),
    ] = False,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Take out every unit and filter that is dead; the outputs stay the same.

    Example:  edgeprune strip zeroed.keras -o small.keras
    """
    from edgeprune import verbs

    source = verbs.Source(model, trust=trust_model)
    facts = verbs.strip_file(source, out, plan=plan, fold_batchnorm=fold_batchnorm)
    if not json:
        for line in (*facts["report"], *filter(None, [facts["optimizer"]])):
            session.say(line)
    session.result(facts, f"{out}: {_smaller(facts)}", json=json)


def recover(
    session: Session,
    model: Model,
    data: Data,
    out: Out,
    loss: Loss = None,
    metric: Metric = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Hold its zeros; else all that are zero now."),
    ] = None,
    method: Annotated[
        list[Any] | None, several(Recovery, "What to do, in order; finetune.")
    ] = None,
    dense: Annotated[
        Path | None,
        typer.Option("--dense", metavar="MODEL", help="The model before pruning, where needed."),
    ] = None,
    temperature: Temperature = None,
    alpha: Alpha = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER", help="Of distill: outputs compared too; auto: all of equal shape."
        ),
    ] = None,
    epochs: Epochs = None,
    learning_rate: Rate = None,
    patience: Patience = None,
    decay: DecayOption = None,
    batch: BatchOption = None,
    seed: Seed = 0,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Set right what pruning broke, with every zero held: by training, or without.

    Example:  edgeprune recover zeroed.keras --data d.npz --plan plan.json -o recovered.keras
    """
    from edgeprune import verbs

    facts = verbs.recover_file(
        verbs.Source(model, str(data), loss, metric, trust_model, threads, seed),
        out,
        methods=each(method) or (Recovery.finetune.value,),
        dense=dense,
        temperature=temperature,
        alpha=alpha,
        features=tuple(features or ()),
        plan=plan,
        progress=session.progress,
        **gathered(
            {
                "epochs": epochs,
                "learning_rate": learning_rate,
                "patience": patience,
                "decay": decay.value if decay else None,
                "batch": batch,
            }
        ),
    )
    from edgeprune.cli.recoveries import recovered_line, recovered_tables

    steps = facts.get("steps", [facts])
    parts = [part for step in steps for part in recovered_tables(step)]
    session.result(facts, [*parts, f"{out}: {recovered_line(steps)}"], json=json)


def _chosen(methods: list[Any] | None) -> str | tuple[str, ...] | None:
    """One score by name, or several for a rehearsal; ``None``: what did best for such a goal."""
    if not methods:
        return None
    names = tuple(dict.fromkeys(each(methods)))
    return names[0] if len(names) == 1 else names


def _smaller(facts: dict[str, Any]) -> str:
    before, after = facts["model_before"], facts["model_after"]
    return (
        f"sparsity {percent(facts['sparsity'])}, parameters {before['parameters']:,} → "
        f"{after['parameters']:,}, non-zero {before['nonzero']:,} → {after['nonzero']:,}, "
        f"MACs {before['macs']:,} → {after['macs']:,}"
    )
