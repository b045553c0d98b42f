"""Where a target's board stands: said on the command line, in the environment, or in the user's
own list of boards. Never in a profile, which is shared."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgeprune.documents import Strict, read_toml, validate
from edgeprune.errors import InputError, RecipeError
from edgeprune.files import nearest

VARIABLE = "EDGEPRUNE_SSH"
"""Environment variable: ``user@host`` of the one target that is asked for;
``EDGEPRUNE_SSH_RASPBERRY_PI_4``: of that."""


class Board(Strict):
    """One table of ``devices.toml``: a board, by the name of its target."""

    ssh: str | None = Field(
        default=None, min_length=1, description="user@host, as ssh on the command line takes it."
    )
    adb: str | None = Field(
        default=None, min_length=1, description="Serial number, as 'adb devices' lists it."
    )
    python: str | None = Field(
        default=None, min_length=1, description="Python to use there; else the prepared one."
    )


class Boards(Strict):
    """``devices.toml``."""

    schema_: Annotated[int, Field(ge=0, le=1)] = Field(
        default=1, alias="schema", description="Of the layout."
    )
    devices: dict[str, Board] = Field(default={}, description="Boards by name of the target.")


def boards_file() -> Path:
    """``~/.config/edgeprune/devices.toml``, or below ``$XDG_CONFIG_HOME``."""
    config = os.environ.get("XDG_CONFIG_HOME")
    base = Path(config) if config and Path(config).is_absolute() else Path("~/.config").expanduser()
    return base / "edgeprune" / "devices.toml"


def board_of(target: str, ssh: str | None = None, *, alone: bool = True) -> Board:
    """What is said of a target's board: ``ssh`` first, then the environment, then the file.

    Args:
        target: name of the profile.
        ssh: address from the command line.
        alone: no other board is asked for; otherwise ``EDGEPRUNE_SSH`` could be any of them.

    Raises:
        RecipeError: the file has faults, one line each.
    """
    listed = _listed().get(target, Board())
    said = (
        ssh or os.environ.get(variable_of(target)) or (os.environ.get(VARIABLE) if alone else None)
    )
    return listed if said is None else listed.model_copy(update={"ssh": said})


def variable_of(target: str) -> str:
    """The environment variable that is of this target alone."""
    return f"{VARIABLE}_{re.sub('[^A-Z0-9]', '_', target.upper())}"


def addressed(given: Sequence[str], boards: Sequence[str], flag: str = "--ssh") -> dict[str, str]:
    """The addresses of a command line by target.

    Args:
        given: ``user@host``, where one board is asked for, or ``target=user@host``.
        boards: the targets that may be boards.
        flag: that they were given by.

    Raises:
        InputError: an address that could be of several targets, of none, or two of one.
    """
    found: dict[str, str] = {}
    for text in given:
        name, said, address = text.partition("=")
        if not said:
            if len(boards) != 1:
                several = f"of {', '.join(boards)}" if boards else "and no target here is a board"
                raise InputError(f"{flag} {text}: {several}; write {flag} TARGET={text}")
            (name,), address = boards, text
        if name not in boards:
            near = nearest(name, boards)
            hint = (
                f"did you mean {near!r}?" if near else f"boards are {', '.join(boards) or 'none'}"
            )
            raise InputError(f"{flag} {text}: no board {name!r} is asked for; {hint}")
        if found.setdefault(name, address) != address:
            raise InputError(f"{flag} gives {name} two addresses, {found[name]} and {address}")
    return found


def _listed() -> dict[str, Board]:
    path = boards_file()
    if not path.exists():
        return {}
    content = read_toml(path, "list of boards", "take it away, or write [devices.NAME] tables")
    found, faults = validate(Boards, content, lambda key: str(path))
    if found is None:
        raise RecipeError(faults)
    return found.devices
