"""Connections to devices: push a file, run a program, pull a file; they know of no models."""

from edgeprune.transports.adb import AdbTransport
from edgeprune.transports.addresses import Board, addressed, board_of, boards_file, variable_of
from edgeprune.transports.breakable import Breakable
from edgeprune.transports.fake import FakeTransport
from edgeprune.transports.local import LocalTransport
from edgeprune.transports.seam import Done, Talk, Transport
from edgeprune.transports.ssh import SshTransport

__all__ = [
    "AdbTransport",
    "Board",
    "Breakable",
    "Done",
    "FakeTransport",
    "LocalTransport",
    "SshTransport",
    "Talk",
    "Transport",
    "addressed",
    "board_of",
    "boards_file",
    "variable_of",
]
