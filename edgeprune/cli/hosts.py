"""targets, doctor: where files are to run, and whether edgeprune itself can."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgeprune.cli.common import everywhere, taken, verb
from edgeprune.cli.options import Json
from edgeprune.cli.terminal import Session

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a profile, or a .toml file.")]


def add(app: typer.Typer) -> None:
    """Put these verbs on ``app``."""
    group = typer.Typer(
        help="Device profiles: list, show, check; alone it lists them.\n\n"
        "Example:  edgeprune targets"
    )

    @group.callback(invoke_without_command=True)
    @everywhere
    def alone(ctx: typer.Context, json: Json = False, **flags: Any) -> None:
        session = taken(ctx, flags)
        inner = ctx.invoked_subcommand
        if inner is None:
            list_(session, json)
        elif json:
            raise typer.BadParameter(f"write it behind '{inner}'", ctx, param_hint="--json")

    verb(group, "list")(list_)
    verb(group, "show")(show)
    verb(group, "check")(check)
    app.add_typer(group, name="targets")
    verb(app, "doctor")(doctor)


def list_(session: Session, json: Json = False) -> None:
    """List the device profiles.

    Example:  edgeprune targets list
    """
    from edgeprune.cli.tables import targets_table
    from edgeprune.targets import Target

    found = [_facts(target) for target in Target.all()]
    session.result(found, [targets_table(found)], json=json)


def show(session: Session, name: Name, json: Json = False) -> None:
    """Show one device profile.

    Example:  edgeprune targets show raspberry-pi-4
    """
    from edgeprune.cli.tables import facts_tables
    from edgeprune.targets import Target

    facts = _facts(Target.load(name))
    session.result(facts, facts_tables(name, facts), json=json)


def check(session: Session, name: Name, json: Json = False) -> None:
    """Check a device profile: every fault is a line; then whether it can be timed from here.

    Example:  edgeprune targets check targets/my-board.toml
    """
    from edgeprune.targets import Target

    target = Target.load(name)
    reason = _reason(target)
    facts = {"name": target.name, "valid": True, "timed": not reason, "why": reason}
    line = f"{name}: valid; " + (f"not measured: {reason}" if reason else "timed here")
    session.result(facts, line, json=json)


def doctor(session: Session, json: Json = False) -> int:
    """Say what is installed, what is missing, and how to get it.

    Example:  edgeprune doctor
    """
    from edgeprune.cli.doctor import examined
    from edgeprune.cli.tables import doctor_table

    session.hush()
    checks = examined(session.progress)
    missing = any(each.ok is False for each in checks)
    facts = {"ok": not missing, "checks": [each.__dict__ for each in checks]}
    remedies = [f"{each.what}: {each.remedy}" for each in checks if each.remedy]
    verdict = "Something is missing." if missing else "All is there."
    session.result(facts, [doctor_table(checks), *remedies, verdict], json=json)
    return 1 if missing else 0


def _facts(target: Any) -> dict[str, Any]:
    facts: dict[str, Any] = target.model_dump(mode="json", by_alias=True)
    return {"name": target.name, **facts}


def _reason(target: Any) -> str:
    from edgeprune.benchmarking import unreachable

    return unreachable(target) or ""
