"""How a target is reached: this machine, or a board by the address that somebody said."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

from edgeprune.benchmarking.boards import connected
from edgeprune.benchmarking.places import HERE, Place
from edgeprune.errors import InputError
from edgeprune.targets import Target
from edgeprune.transports import (
    AdbTransport,
    Board,
    LocalTransport,
    SshTransport,
    Transport,
    board_of,
    boards_file,
    variable_of,
)


def reached(target: Target, ssh: str | None, *, alone: bool = True) -> tuple[Transport, str | None]:
    """A target's board over ssh, and the Python to use there where that is said; ``alone`` as
    :func:`~edgeprune.transports.board_of` has it.

    Raises:
        InputError: nothing says where the board is, or nothing can be run on it.
        RecipeError: the list of boards has faults.
        DeviceError: no ssh on this machine, or no address.
    """
    if not may_be_board(target):
        kind = "a microcontroller" if target.micro else "this machine"
        raise InputError(f"target {target.name!r} is {kind}, and not reached over ssh")
    board = board_of(target.name, ssh, alone=alone)
    if board.ssh is None:
        flag = "user@host" if alone else f"{target.name}=user@host"
        variable = "EDGEPRUNE_SSH" if alone else variable_of(target.name)
        raise InputError(
            f"nothing says where the board of target {target.name!r} is; give --ssh {flag}, "
            f"{variable} in the environment, or [devices.{target.name}] ssh in {boards_file()}"
        )
    return SshTransport(board.ssh), board.python


def connection(
    target: Target,
    ssh: str | None,
    via: str | None,
    *,
    adb: str | None = None,
    alone: bool = True,
) -> tuple[Transport | None, str | None]:
    """How files are timed on a target: by a transport and a Python there; by neither on this
    machine, or where nothing can be timed.

    Args:
        target: its profile.
        ssh: address from the command line.
        via: ``"ssh"``, ``"adb"`` and ``"local"`` ask for that connection; ``None``: as the target
            is, and over ssh or adb where anything says where its board is.
        adb: serial number from the command line.
        alone: no other board is asked for.

    Raises:
        InputError: ``ssh`` for another connection, or nothing says where the board is.
    """
    given = [flag for flag, said in (("--ssh", ssh), ("--adb", adb)) if said is not None]
    if via == "local" and given:
        raise InputError(f"{given[0]} names a board, and --via local is this machine; give one")
    if len(given) > 1 or (via in ("ssh", "adb") and given not in ([], [f"--{via}"])):
        raise InputError("--ssh and --adb are two ways to one board; give one")
    if via == "local":
        return LocalTransport(), None
    if via == "adb" or adb is not None:
        return _by_adb(target, adb)
    if via == "ssh" or ssh is not None:
        return reached(target, ssh, alone=alone)
    way = way_of(target, board_of(target.name, alone=alone))
    if way is None:
        return None, None
    return reached(target, None, alone=alone) if way == "ssh" else _by_adb(target, None)


def way_of(target: Target, board: Board) -> Literal["ssh", "adb"] | None:
    """How a target's board is reached where nobody asks for a way: as its profile says where there
    are two, else over ssh; ``None`` where nothing says where it is."""
    if not may_be_board(target) or (board.ssh is None and board.adb is None):
        return None
    if board.ssh is None or (board.adb is not None and target.connection == "adb"):
        return "adb"
    return "ssh"


def _by_adb(target: Target, serial: str | None) -> tuple[Transport, str | None]:
    if not may_be_board(target):
        raise InputError(f"target {target.name!r} is no board, and not reached over adb")
    board = board_of(target.name)
    said = serial or board.adb or os.environ.get("ANDROID_SERIAL")
    if said is None:
        raise InputError(
            f"nothing says which device target {target.name!r} is; give --adb SERIAL (as 'adb "
            f"devices' lists it), or [devices.{target.name}] adb in {boards_file()}"
        )
    return AdbTransport(said), board.python


def may_be_board(target: Target) -> bool:
    """Whether a target can be reached over ssh: neither this machine nor a microcontroller."""
    return target.arch != "any" and not target.micro


@contextlib.contextmanager
def place_of(
    target: Target, transport: Transport | None, python: str | None = None
) -> Iterator[Place]:
    """Where a target's files are timed, held as long as the context lasts: by a transport its
    board, otherwise this machine.

    Raises:
        DeviceError: as :func:`~edgeprune.benchmarking.boards.connected`.
    """
    if transport is None:
        yield HERE
        return
    with connected(target, transport, python=python) as board:
        yield board
