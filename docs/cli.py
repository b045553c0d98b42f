"""Writes ``docs/cli.md``: what every verb of ``edgeprune`` takes, from the program itself.

Run ``python -m docs.cli`` after a change of the command line; a test compares. The layout is ours
and not Typer's, whose boxes differ from version to version; so do its parameters, and what is read
here is the signature of each verb.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo

from edgeprune.cli.app import program

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 80
COLUMN = 34
EVERYWHERE = ("verbose", "quiet", "traceback")
HEAD = """\
# The command line

Every verb reads files and writes files; `run` is all of them in one go, from a
[recipe](recipe.md). Results go to stdout, with `-q` too; progress, remarks and errors to stderr.
Where a result goes, and whether the files are there that it is made of, is looked at before any
work: see [files.md](files.md). The exit code is 0 where all is done, 1 where something failed, 2
for bad input, 3 for a broken gate, 4 where a limit on slowdown cannot be told, 130 after Ctrl-C:
see [files.md](files.md#exit-codes).
`edgeprune --install-completion` sets up completion for your shell.

This page is written by `docs/cli.py` from the program itself.

"""


@dataclass(frozen=True)
class Row:
    """One argument or option, or one verb of a list."""

    left: str
    text: str
    required: bool = False


def page() -> str:
    """The whole page."""
    return "".join([HEAD, *_sections("edgeprune", program(), level=0)])


def _sections(path: str, app: typer.Typer, level: int) -> Iterator[str]:
    # A group of verbs has a help of its own; the program has a callback with its flags too.
    callback = app.registered_callback.callback if app.registered_callback else None
    verbs = [(info.name or "", info.callback) for info in app.registered_commands]
    groups = [(info.name or "", info.typer_instance) for info in app.registered_groups]
    listed = [Row(name, _paragraphs(verb)[0]) for name, verb in verbs]
    listed += [Row(name, str(group.info.help).split("\n\n")[0]) for name, group in groups if group]
    if level:
        yield f"\n## {path}\n\n"
    yield _block(_lines(f"{path} VERB …", str(app.info.help).split("\n\n"), callback, listed))
    for name, verb in verbs:
        yield f"\n## {path} {name}\n\n"
        yield _block(_lines(f"{path} {name}", _paragraphs(verb), verb, []))
    for name, group in groups:
        if group:
            yield from _sections(f"{path} {name}", group, level + 1)


def _block(lines: Iterator[str]) -> str:
    return "```text\n" + "\n".join(lines) + "\n```\n"


def _lines(
    path: str, paragraphs: list[str], function: Callable[..., Any] | None, verbs: list[Row]
) -> Iterator[str]:
    arguments, options, everywhere = _parameters(function)
    words = [path, *(row.left if row.required else f"[{row.left}]" for row in arguments)]
    words += [row.left.split(", ")[-1] for row in options if row.required]
    words += ["[OPTION …]"] if any(not row.required for row in options) else []
    yield from textwrap.wrap(f"usage: {' '.join(words)}", WIDTH, subsequent_indent="    ")
    for paragraph in paragraphs:
        yield ""
        # An example is one command, to be copied in one piece.
        yield from [paragraph] if "Example:" in paragraph else textwrap.wrap(paragraph, WIDTH)
    for title, rows in (
        ("arguments", arguments),
        ("options", options),
        ("everywhere", everywhere),
        ("verbs", verbs),
    ):
        if rows:
            yield from ("", f"{title}:", *_table(rows))


def _table(rows: list[Row]) -> Iterator[str]:
    column = min(max(len(row.left) for row in rows) + 4, COLUMN)
    for row in rows:
        first, *rest = textwrap.wrap(row.text, WIDTH - column)
        if len(row.left) + 4 > column:
            yield f"  {row.left}"
            yield " " * column + first
        else:
            yield f"  {row.left}".ljust(column) + first
        yield from (" " * column + line for line in rest)


def _paragraphs(function: Callable[..., Any] | None) -> list[str]:
    return [" ".join(part.split()) if "Example:" not in part else part
            for part in inspect.cleandoc(function.__doc__ or "").split("\n\n")]  # fmt: skip


def _parameters(function: Callable[..., Any] | None) -> tuple[list[Row], list[Row], list[Row]]:
    arguments: list[Row] = []
    options: list[Row] = []
    everywhere: list[Row] = []
    for parameter in inspect.signature(function).parameters.values() if function else ():
        hint, *marks = typing.get_args(parameter.annotation) or [parameter.annotation]
        info = next((m for m in [*marks, parameter.default] if _is_info(m)), None)
        if isinstance(info, ArgumentInfo):
            arguments.append(_row(str(info.metavar), info, hint, parameter))
        elif isinstance(info, OptionInfo) and not info.hidden:
            row = _row(_names(info, hint, parameter.name), info, hint, parameter)
            (everywhere if parameter.name in EVERYWHERE else options).append(row)
    return arguments, options, everywhere


def _is_info(mark: Any) -> bool:
    return isinstance(mark, ArgumentInfo | OptionInfo)


def _row(left: str, info: Any, hint: Any, parameter: inspect.Parameter) -> Row:
    required = parameter.default is inspect.Parameter.empty
    default = info.default if _is_info(parameter.default) else parameter.default
    default = default.value if isinstance(default, Enum) else default
    notes = []
    if required and isinstance(info, OptionInfo):
        notes.append("required")
    if not required and default not in (None, False):
        notes.append(f"default: {default}")
    text = str(info.help) + (f" [{'; '.join(notes)}]" if notes else "")
    return Row(left, text, required)


def _names(info: OptionInfo, hint: Any, name: str) -> str:
    # Beside Annotated, Typer takes the first name for the default.
    given = [str(each) for each in (info.default, *(info.param_decls or ()))]
    declared = [each for each in given if each.startswith("-")]
    names = sorted(declared or [f"--{name.replace('_', '-')}"], key=len)
    value = info.metavar or _value(hint)
    return ", ".join(names) + (f" {value}" if value else "")


def _value(hint: Any) -> str:
    kind = hint
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kind = next(each for each in typing.get_args(hint) if each is not type(None))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(each.value) for each in kind)
    return {bool: "", int: "N", float: "X"}.get(kind, "VALUE")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
