"""A board over ssh: OpenSSH's own client, so that its configuration, agents, jump hosts and
known hosts are what they are on the user's command line."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile

from edgeprune.errors import DeviceError
from edgeprune.transports.remote import ShellTransport
from edgeprune.transports.ssh_faults import fault

CLIENT = "EDGEPRUNE_OPENSSH"
"""Environment variable: the client and its first options, ``ssh -F other_config``."""
OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=auto",
    "ControlPersist=30",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "EscapeChar=none",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "LogLevel=INFO",
)
"""Whatever the user's configuration says of these: nothing asks, nothing is forwarded, a dead
connection is noticed within 15 seconds, and one connection carries all commands."""


class SshTransport(ShellTransport):
    """A board over ssh; see :class:`~edgeprune.transports.Transport`.

    Attributes:
        where: the destination, as ``ssh`` takes it.
    """

    via = "ssh"

    def __init__(self, where: str) -> None:
        """No connection is made yet.

        Args:
            where: ``user@host``, a name of the user's configuration, or ``ssh://user@host:port``.

        Raises:
            DeviceError: it is none, or there is no ``ssh`` on this machine.
        """
        if not where or where.startswith("-") or any(c.isspace() for c in where):
            raise DeviceError(f"{where!r} is no address of a board; give user@host")
        super().__init__(where)
        client = shlex.split(os.environ.get(CLIENT, "")) or ["ssh"]
        if shutil.which(client[0]) is None:
            raise DeviceError(
                f"no {client[0]} on this machine; install OpenSSH's client "
                "(Debian/Ubuntu: apt-get install openssh-client)"
            )
        # In /tmp: the name of a socket may have about a hundred characters only.
        self._sockets = tempfile.mkdtemp(prefix="edgeprune-ssh-", dir="/tmp")
        control = f"ControlPath={self._sockets}/%C"
        options = [part for option in (*OPTIONS, control) for part in ("-o", option)]
        self._client = [*client, "-T", *options]

    def _argv(self, line: str) -> list[str]:
        return [*self._client, "--", self.where, line]

    def _fault(self, said: str) -> DeviceError:
        return fault(said, self.where)

    def _close(self) -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [*self._client, "-O", "exit", "--", self.where],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=10,
                check=False,
            )
        shutil.rmtree(self._sockets, ignore_errors=True)
