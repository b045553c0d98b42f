"""The verbs on boards: how one is reached, and preparing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import InputError
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.sources import Facts

if TYPE_CHECKING:
    from edgeprune.targets import Target
    from edgeprune.transports import Transport


def reached(target: Target, ssh: str | None, *, alone: bool = True) -> tuple[Transport, str | None]:
    """A target's board over ssh, and the Python to use there where that is said; ``alone`` as
    :func:`~edgeprune.transports.board_of` has it.

    Raises:
        InputError: nothing says where the board is, or nothing can be run on it.
        RecipeError: the list of boards has faults.
        DeviceError: no ssh on this machine, or no address.
    """
    from edgeprune.transports import SshTransport, board_of, boards_file, variable_of

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
    target: Target, ssh: str | None, via: str | None, *, alone: bool = True
) -> tuple[Transport | None, str | None]:
    """How files are timed on a target: by a transport and a Python there; by neither on this
    machine, or where nothing can be timed.

    Args:
        target: its profile.
        ssh: address from the command line.
        via: ``"ssh"`` and ``"local"`` ask for that connection; ``None``: as the target is, and over
            ssh where anything says where its board is.
        alone: no other board is asked for.

    Raises:
        InputError: ``ssh`` for another connection, or nothing says where the board is.
    """
    from edgeprune.transports import LocalTransport, board_of

    if via == "local":
        if ssh is not None:
            raise InputError("--ssh names a board, and --via local is this machine; give one")
        return LocalTransport(), None
    if via == "ssh" or ssh is not None:
        return reached(target, ssh, alone=alone)
    if not may_be_board(target) or board_of(target.name, alone=alone).ssh is None:
        return None, None
    return reached(target, None, alone=alone)


def may_be_board(target: Target) -> bool:
    """Whether a target can be reached over ssh: neither this machine nor a microcontroller."""
    return target.arch != "any" and not target.micro


def prepare_board(
    name: str, *, ssh: str | None = None, remove: bool = False, progress: Progress = SILENT
) -> Facts:
    """Install a target's runtimes on its board, or remove them; facts as
    :func:`edgeprune.benchmarking.preparing.prepare` gives them.

    Args:
        name: of the profile.
        ssh: the board; else as the environment or the user's list says.
        remove: take away what was installed.
        progress: shows the steps.

    Raises:
        RecipeError: no such profile.
        InputError: nothing says where the board is.
        DeviceError: the board cannot be reached, or not prepared.
    """
    from edgeprune.benchmarking.preparing import prepare, unprepare
    from edgeprune.targets import Target

    target = Target.load(name)
    transport, python = reached(target, ssh)
    try:
        if remove:
            return unprepare(target, transport)
        return prepare(target, transport, python=python, progress=progress)
    finally:
        transport.clean()
