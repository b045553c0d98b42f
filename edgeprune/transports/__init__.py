"""Connections to devices: push a file, run a program, pull a file; they know of no models."""

from edgeprune.transports.addresses import Board, board_of, boards_file
from edgeprune.transports.fake import FakeTransport
from edgeprune.transports.local import LocalTransport
from edgeprune.transports.seam import Done, Talk, Transport
from edgeprune.transports.ssh import SshTransport

__all__ = [
    "Board",
    "Done",
    "FakeTransport",
    "LocalTransport",
    "SshTransport",
    "Talk",
    "Transport",
    "board_of",
    "boards_file",
]
