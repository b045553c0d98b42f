"""The loop without a recipe: a model and its data in memory, from the first round to strip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgeprune.errors import PlanError
from edgeprune.feeding import as_dataset, parted
from edgeprune.files import percent
from edgeprune.models import make_task
from edgeprune.pipeline.asked import check_asked
from edgeprune.pipeline.goals import Goal
from edgeprune.pipeline.original import tried
from edgeprune.pipeline.recovering import Settings, check_steps, idle_steps
from edgeprune.pipeline.rounds import Material, Rounds, Turn, rehearse
from edgeprune.pipeline.searching import Searching, Terms
from edgeprune.planning import Budgets, Constraints, Latency, shortfall, staying
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.recoveries import without_training
from edgeprune.recovery import Ramp, Teaching
from edgeprune.searches import Search
from edgeprune.surgery import StripReport, accounted

_ROW = ("group", "size", "left", "asked", "possible", "already_dead", "in_consequence", "reason")
HELD = "what stays needs its channels"


@dataclass(frozen=True)
class Pruned:
    """What the loop gave.

    Attributes:
        model: the small model.
        turn: the last round within the budget.
        before: the original's metric on the validation split.
        rounds: the loop, with the original, its graph, and the goal.
        report: what strip said.
        search: what was found, where the share was searched for.
    """

    model: Any
    turn: Turn
    before: float
    rounds: Rounds
    report: StripReport
    search: Search | None = None

    @property
    def plan(self) -> Plan:
        """Of that round, for the original's shapes."""
        return self.turn.plan

    def facts(self) -> dict[str, Any]:
        """What became of the request and of every group; JSON values.

        ``cut`` has a record for each group that lost channels, ``stay`` one for each reason for
        which groups keep all, ``held`` one for each layer of which dead channels stay;
        ``validation`` has the metric on the validation split, before and after; ``asked`` and
        ``reached`` are shares (of the connections, and of the channels of the groups that may be
        cut) or what budgets allow; where there are any, ``costs`` in ``reached`` has before, after
        and most of each kind. ``shortfall`` is why the channels are others.
        """
        goal = self.rounds.goal
        report = accounted(self.rounds.original, self.model, self.report, self.plan)
        assert report.account is not None
        rows = [{name: row[name] for name in _ROW} for row in report.account.groups()]
        stays = staying(self.rounds.graph, self.plan)
        stays |= {row["group"]: row["reason"] or HELD for row in rows if row["left"] == row["size"]}
        cut = [row for row in rows if row["left"] < row["size"]]
        held = report.facts()["kept"]
        for name in [row["group"] for row in cut] + [each["layer"] for each in held]:
            stays.pop(name, None)
        short = None
        if goal.channels is not None:
            short = shortfall(self.plan, self.rounds.graph, goal.channels)
        return {
            "rounds": {"used": self.turn.number, "of": goal.rounds},
            "validation": {
                "metric": self.rounds.material.task.metric_name,
                "before": self.before,
                "after": self.turn.metric,
            },
            "asked": goal.asked() or {"pattern": goal.pattern},
            "reached": self.plan.why["reached"],
            "shortfall": short,
            "search": None if self.search is None else self.search.facts(),
            "cut": cut,
            "held": held,
            "stay": [
                {"reason": reason, "groups": [name for name, one in stays.items() if one == reason]}
                for reason in dict.fromkeys(stays.values())
            ],
        }


def pruned(
    model: Any,
    data: Any,
    *,
    loss: Any = None,
    metric: Any = None,
    method: str | Sequence[str] | None = None,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    max_bytes: float | None = None,
    max_latency_ms: float | None = None,
    latency: Any = None,
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    recover: Sequence[str] = ("finetune",),
    epochs: int = 3,
    learning_rate: float = 1e-3,
    batch: int = 128,
    patience: int | None = None,
    decay: Literal["none", "cosine"] = "none",
    temperature: float = 2.0,
    alpha: float = 0.0,
    ramp: float = 0.0,
    ramp_every: int | None = None,
    regrow: float = 0.0,
    shrink: float = 0.0,
    rehearsal_epochs: int = 2,
    validation: float = 0.1,
    calibration_examples: int = 2048,
    microbatch: int = 32,
    seed: int = 0,
    search: Literal["sparsity", "channels"] | None = None,
    folds: int = 5,
    grid: Sequence[float] = (),
    progress: Progress = SILENT,
    **asked: Any,
) -> Pruned:
    """(score → plan → zero → recover) × rounds → strip; arguments as :func:`edgeprune.prune`, of
    which ``asked`` are those that a :class:`~edgeprune.pipeline.goals.Goal` has too.

    Raises:
        PlanError: what :func:`check_asked` refuses, the request cannot be met, nothing would go, or
            the first round already lost more than ``max_drop``.
    """
    teaching = Teaching(temperature, alpha)
    check_steps(recover, model, teaching)
    whole = {
        "max_macs": max_macs, "max_parameters": max_parameters, "max_bytes": max_bytes,
        "max_latency_ms": max_latency_ms, "latency": latency, "multiple": multiple,
        "minimum": minimum, "most": most, "ramp": ramp, "ramp_every": ramp_every, "regrow": regrow,
        "shrink": shrink, "search": search, "folds": folds, "grid": grid,
    }  # fmt: skip
    check_asked(asked | whole, method=method, recover=recover)
    if search is not None:
        if search not in ("sparsity", "channels"):
            raise PlanError(f"search is of 'sparsity' or of 'channels', not of {search!r}")
        # What is planned with as long as the share is not found.
        asked[search] = 0.5
    table = None if latency is None else Latency.of(latency)
    budgets = Budgets(max_macs, max_parameters, max_bytes, max_latency_ms, table)
    goal = Goal(
        constraints=Constraints(multiple, minimum, most),
        budgets=budgets,
        ramp=Ramp(ramp, ramp_every, regrow, shrink) if ramp else None,
        **asked,
    )
    method = goal.score if method is None else method
    settings = Settings(tuple(recover), epochs, learning_rate, batch, patience, decay, teaching)
    task = make_task(loss, metric, None, None, model=model, base=None)
    if search is None:
        goal.foretold(model)
    for line in idle_steps(model, settings.steps):
        progress.say(f"note: {line}")
    train, held_out, calibrate = parted(
        as_dataset(data, model), validation, calibration_examples, seed
    )
    material = Material(train, held_out, calibrate, task, microbatch, seed)
    if not isinstance(method, str):
        method, metrics = rehearse(
            model, method, goal, settings, material, epochs=rehearsal_epochs, progress=progress
        )
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        progress.say(f"rehearsal, {task.metric_name} on the validation split: {shown}: {method}")
    found = None
    if search is not None:
        terms = Terms(goal.max_drop or 0.0, search, folds, tuple(grid))
        found = Searching(
            model, held_out, task, method, goal, terms, microbatch, seed, calibrate=calibrate,
            recover=without_training(recover), progress=progress,
        ).run()  # fmt: skip
        progress.say(found.line())
        share: dict[str, Any] = {search: found.share}
        goal = replace(goal, **share)
    loop = Rounds(model, method, goal, settings, material, progress)
    for line in tried(task, model, held_out, scaled=False).notes:
        progress.say(f"note: {line}")
    before = material.measure(model)
    turn = loop.run(
        before,
        lambda turn: progress.say(
            f"round {turn.number}: {percent(turn.sparsity, 1)} of the connections gone, "
            f"{task.metric_name} {turn.metric:.4g} on the validation split ({before:.4g} before)"
        ),
    )
    small, report = loop.ended(turn)
    return Pruned(small, turn, before, loop, report, found)
