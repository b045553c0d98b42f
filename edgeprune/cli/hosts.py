"""targets, doctor: where files are to run, and whether edgeprune itself can."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import everywhere, taken, verb
from edgeprune.cli.options import Json, Ssh
from edgeprune.cli.terminal import Session

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a profile, or a .toml file.")]


def add(app: typer.Typer) -> None:
    """Put these verbs on ``app``."""
    group = typer.Typer(
        help="Device profiles: list, show, check, new, prepare, emulate; alone it lists them.\n\n"
        "Example:  edgeprune targets"
    )

    @group.callback(invoke_without_command=True)
    @everywhere
    def alone(ctx: typer.Context, json: Json = False, **flags: Any) -> None:
        session = taken(ctx, flags)
        inner = ctx.invoked_subcommand
        if inner is None:
            raise typer.Exit(list_(session, json))
        if json:
            raise typer.BadParameter(f"write it behind '{inner}'", ctx, param_hint="--json")

    verb(group, "list")(list_)
    verb(group, "show")(show)
    verb(group, "check")(check)
    verb(group, "new")(new)
    verb(group, "prepare")(prepare)
    verb(group, "emulate")(emulate)
    app.add_typer(group, name="targets")
    verb(app, "doctor")(doctor)


def list_(session: Session, json: Json = False) -> int:
    """List the device profiles; one with faults is said on stderr and ends with exit code 2.

    Example:  edgeprune targets list
    """
    from edgeprune import verbs
    from edgeprune.cli.tables import targets_table

    found, faults = verbs.list_profiles()
    session.result(found, [targets_table(found)], json=json)
    for fault in faults:
        session.fault(fault)
    return 2 if faults else 0


def show(session: Session, name: Name, json: Json = False) -> None:
    """Show one device profile, with what it inherits.

    Example:  edgeprune targets show raspberry-pi-4
    """
    from edgeprune import verbs
    from edgeprune.cli.tables import profile_parts

    facts = verbs.show_profile(name)
    session.result(facts, profile_parts(name, facts), json=json)


def check(session: Session, name: Name, json: Json = False) -> None:
    """Check a device profile: every fault is a line; then whether it can be timed from here.

    Example:  edgeprune targets check targets/my-board.toml
    """
    from edgeprune import verbs

    facts = verbs.check_profile(name)
    timed = "timed here" if facts["timed"] else f"not measured: {facts['why']}"
    session.result(facts, f"{name}: valid; {timed}", json=json)


def new(
    session: Session,
    parent: Annotated[
        str, typer.Option("--from", metavar="NAME", help="The profile to start from.")
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Of the new one; without, it is printed."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Instead of targets/NAME.toml."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace one that is there.")] = False,
    json: Json = False,
) -> None:
    """Write a device profile that extends another, whose keys stand in it as comments.

    Example:  edgeprune targets new my-board --from raspberry-pi-4
    """
    from edgeprune import verbs

    facts = verbs.new_profile(name, parent, out, force=force)
    line = facts["text"].rstrip("\n")
    if facts["file"] is not None:
        line = (
            f"{facts['file']}: as {facts['from']}; change what differs, then: "
            f"edgeprune targets check {facts['file']}"
        )
    session.result(facts, line, json=json)


def prepare(
    session: Session,
    name: Name,
    ssh: Ssh = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take away what was installed there.")
    ] = False,
    json: Json = False,
) -> int:
    """Install a target's runtimes on its board, in an environment of their own there.

    One that cannot be had is said and ends with exit code 1; the others are there.

    Example:  edgeprune targets prepare raspberry-pi-4 --ssh pi@kitchen.local
    """
    from edgeprune import verbs

    facts = verbs.prepare_board(name, ssh=ssh, remove=remove, progress=session.progress)
    if not facts["prepared"]:
        what = "removed" if facts["removed"] else "nothing was there to remove"
        session.result(facts, f"{facts['folder']} on the board: {what}", json=json)
        return 0
    runtimes = facts["runtimes"]
    there = {key: each for key, each in runtimes.items() if isinstance(each, str)}
    versions = ", ".join(f"{key} {version}" for key, version in there.items())
    line = f"{facts['folder']} on the board: Python {facts['python']} ({facts['arch']}), {versions}"
    session.result(facts, line, json=json)
    for key in runtimes.keys() - there.keys():
        session.fault(runtimes[key]["reason"])
    return 1 if len(there) < len(runtimes) else 0


def emulate(
    session: Session,
    setup: Annotated[
        bool, typer.Option("--setup", help="Download and unpack it; says how much beforehand.")
    ] = False,
    json: Json = False,
) -> None:
    """Say whether the emulated ARM is set up; with --setup, set it up, without root.

    Example:  edgeprune targets emulate --setup
    """
    from edgeprune import verbs

    facts = verbs.emulate(setup=setup, announce=session.say, progress=session.progress)
    if not facts["set_up"]:
        line = "not set up; run: edgeprune targets emulate --setup"
    else:
        versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
        line = f"set up in {facts['folder']}: {versions}"
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
