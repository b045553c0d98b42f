"""What all verbs share: flags that work everywhere, and the way a function becomes a verb."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from edgeprune.cli.faults import interrupted
from edgeprune.cli.terminal import Session
from edgeprune.errors import InputError, Interrupted

_EVERYWHERE = "Everywhere"
_FLAGS: dict[str, Any] = {
    "verbose": Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Show every step.", rich_help_panel=_EVERYWHERE),
    ],
    "quiet": Annotated[
        bool,
        typer.Option("-q", "--quiet", help="Results and errors only.", rich_help_panel=_EVERYWHERE),
    ],
    "traceback": Annotated[
        bool,
        typer.Option(
            "--traceback", help="Print tracebacks of errors.", rich_help_panel=_EVERYWHERE
        ),
    ],
}


class Root(TyperGroup):
    """The verbs together; its help shows a switch as one."""

    def get_params(self, ctx: Any) -> Any:
        """As Typer does."""
        return _switches(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does; a verb may be two words, of which the first alone is another verb."""
        if " ".join(args[:2]) in self.commands:
            args = [" ".join(args[:2]), *args[2:]]
        return super().resolve_command(ctx, args)


class Verb(TyperCommand):
    """A verb as Typer has it, but that an option which takes one value takes no second one."""

    def get_params(self, ctx: Any) -> Any:
        """As Typer does."""
        return _switches(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does.

        Raises:
            InputError: an option is given twice, with two values.
        """
        if not ctx.resilient_parsing:
            self._check_once(ctx, list(args))
        return super().parse_args(ctx, args)

    def _check_once(self, ctx: Any, args: list[str]) -> None:
        single: list[Any] = [
            option
            for option in self.params
            if option.param_type_name == "option" and not (option.multiple or option.is_flag)  # type: ignore[attr-defined]
        ]
        try:
            for option in single:
                option.multiple = True  # so that the parser keeps every value
            given, _, _ = self.make_parser(ctx).parse_args(args=args)
        except Exception:
            return  # whatever it is, the parsing that counts says it
        finally:
            for option in single:
                option.multiple = False
        for option in single:
            values = list(dict.fromkeys(given.get(option.name) or ()))
            if len(values) > 1:
                raise InputError(
                    f"{option.opts[0]} is given twice, {values[0]} and {values[1]}; give it once"
                )


def _switches(options: Any) -> Any:
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""  # newer Typers write <bool> behind it
    return options


def verb(
    app: typer.Typer, name: str, *, framework: bool = False, threads: bool = False
) -> Callable[[Callable[..., int | None]], Callable[..., None]]:
    """Make ``function(session, …) -> exit code or None`` the command ``name`` of ``app``.

    It gets ``-v -q --traceback``. With ``framework``, library versions are checked and their
    chatter is kept off the screen first.
    """

    def decorate(function: Callable[..., int | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(ctx: typer.Context, **values: Any) -> None:
            session = taken(ctx, values)
            if framework:
                from edgeprune.versions import check_versions

                check_versions()
                session.hush()
            with session.interrupts.listening():
                try:
                    code = function(session, **values)
                except KeyboardInterrupt as error:
                    # Typer's own way with Ctrl-C differs from version to version.
                    raise Interrupted(interrupted(name, error)) from None
                except Exception as error:
                    # TensorFlow makes another error of Ctrl-C inside a call into C.
                    if session.interrupts.seen:
                        raise Interrupted(interrupted(name, error)) from error
                    raise
            if code:
                raise typer.Exit(code)

        hints = typing.get_type_hints(function, include_extras=True)
        hints.pop("session")
        hints.pop("return", None)
        own = inspect.signature(function).parameters
        parameters = [_parameter("ctx", typer.Context, inspect.Parameter.empty)]
        parameters += [_parameter(key, hint, own[key].default) for key, hint in hints.items()]
        parameters += [_parameter(key, hint, False) for key, hint in _FLAGS.items()]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        del command.__wrapped__
        app.command(name, cls=Verb)(command)
        return command

    return decorate


def taken(ctx: typer.Context, values: dict[str, Any]) -> Session:
    """The session of this command line, with the flags moved from ``values`` into it."""
    session: Session = ctx.obj
    for flag in _FLAGS:
        given = values.pop(flag, False)
        setattr(session, flag, getattr(session, flag) or given)
    return session


def everywhere(function: Callable[..., None]) -> Callable[..., None]:
    """Give a callback the flags that work everywhere."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())
    own = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
    own += [_parameter(key, hint, False) for key, hint in _FLAGS.items()]
    function.__signature__ = inspect.Signature(own)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in own}
    return function


def _parameter(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
