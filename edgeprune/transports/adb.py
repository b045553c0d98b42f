"""A device over adb: Google's own client and server, so that pairing and keys are what they are on
the user's command line."""

from __future__ import annotations

import os
import shlex
import shutil

from edgeprune.errors import DeviceError, LostError
from edgeprune.transports.remote import ShellTransport
from edgeprune.transports.seam import last_line

CLIENT = "EDGEPRUNE_ADB"
"""Environment variable: the client and its first options, ``adb -P 5038``."""


class AdbTransport(ShellTransport):
    """A device over adb; see :class:`~edgeprune.transports.Transport`.

    A command that is cut off ends with exit code 0 in adb; what counts is the marker behind every
    command (:mod:`edgeprune.transports.shells`).

    Attributes:
        where: the serial number.
    """

    via = "adb"
    # Android lets nobody write at home.
    _base = '"$([ -d /data/local/tmp ] && echo /data/local/tmp || echo "$HOME")"'

    def __init__(self, serial: str) -> None:
        """No connection is made yet.

        Args:
            serial: as ``adb devices`` lists it.

        Raises:
            DeviceError: it is none, or there is no ``adb`` on this machine.
        """
        if not serial or serial.startswith("-") or any(c.isspace() for c in serial):
            raise DeviceError(f"{serial!r} is no serial number; 'adb devices' lists them")
        super().__init__(serial)
        self._client = shlex.split(os.environ.get(CLIENT, "")) or ["adb"]
        if shutil.which(self._client[0]) is None:
            raise DeviceError(
                f"no {self._client[0]} on this machine; install it (Debian/Ubuntu: apt-get install "
                "adb; else Google's SDK Platform Tools)"
            )

    def _argv(self, line: str) -> list[str]:
        # -T: no terminal, which would change bytes on their way.
        return [*self._client, "-s", self.where, "shell", "-T", line]

    def _fault(self, said: str) -> DeviceError:
        return fault(said, self.where)


def fault(said: str, where: str) -> DeviceError:
    """The error for what ``adb`` wrote on standard error before it gave up.

    Args:
        said: all that it wrote.
        where: the serial number that it was given.
    """
    if "unauthorized" in said:
        return DeviceError(
            f"{where}: has not allowed this machine; unlock it and accept the key it asks about"
        )
    if "offline" in said:
        return DeviceError(f"{where}: is offline; reconnect it ('adb reconnect', or its cable)")
    if "not found" in said or "no devices" in said:
        return DeviceError(
            f"{where}: no such device ('adb devices' lists them); is it plugged in, with USB "
            "debugging on, or connected ('adb connect host:port')?"
        )
    if "cannot connect to daemon" in said or "failed to start daemon" in said:
        return DeviceError(f"{where}: adb's server does not start ({last_line(said)})")
    return LostError(f"the connection to {where} broke ({last_line(said)})")
