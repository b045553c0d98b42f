"""The program: its verbs, its flags, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from edgeprune.cli import delivery, hosts, measured, method, road, scanning
from edgeprune.cli.common import Root, everywhere, taken
from edgeprune.cli.faults import INTERRUPTED, guarded
from edgeprune.cli.terminal import Session


def program() -> typer.Typer:
    """All verbs, in the order of the road."""
    app = typer.Typer(
        name="edgeprune",
        cls=Root,
        help="Prune trained Keras models; export, verify and measure what you ship.\n\n"
        "Example:  edgeprune prune model.keras --data d.npz --sparsity 0.9 -o small.keras",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    @everywhere
    def root(
        ctx: typer.Context,
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
        **flags: Any,
    ) -> None:
        taken(ctx, flags)

    road.add(app)
    method.add(app)
    scanning.add(app)
    delivery.add(app)
    measured.add(app)
    hosts.add(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; the exit code comes back.

    Without ``arguments`` (the console script) the process ends here: what libraries say while they
    are torn down stays off the screen too.
    """
    session = Session()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # A flag of everywhere must hold for usage errors too, which come before any is read.
    session.traceback = "--traceback" in given
    try:
        return guarded(session, lambda: _ended(session, given))
    finally:
        if arguments is not None:
            session.restore()


def _ended(session: Session, arguments: list[str]) -> int:
    command = typer.main.get_command(program())
    code = command.main(
        arguments or ["--help"], prog_name="edgeprune", standalone_mode=False, obj=session
    )
    if code == 130:
        session.fault(INTERRUPTED)
    return code if isinstance(code, int) else 0


def _version(asked: bool) -> None:
    if asked:
        from edgeprune.versions import PACKAGE, installed

        typer.echo(f"edgeprune {installed(PACKAGE) or 'not installed'}")
        raise typer.Exit
