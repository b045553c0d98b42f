"""Two ssh servers on loopback, each "a board" with keys and a home of its own: OpenSSH's, and one
in this process for the faults that a real one won't make."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
MISSING = "no OpenSSH server on this system (Debian/Ubuntu: apt-get install openssh-server)"


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Keys:
    """Keys and a configuration of the client, in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        for name in ("host", "other_host", "user", "stranger"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        self.authorized = folder / "authorized"
        shutil.copy(folder / "user.pub", self.authorized)
        self.port = port
        self.know("host")
        self.use("user")

    def know(self, name: str | None) -> None:
        """Which host key the client knows; ``None``: none."""
        line = ""
        if name is not None:
            kind, key = (self.folder / f"{name}.pub").read_text().split()[:2]
            line = f"[127.0.0.1]:{self.port} {kind} {key}\n"
        (self.folder / "known").write_text(line)

    def use(self, name: str) -> None:
        """Which key the client shows."""
        (self.folder / "config").write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  User {getpass.getuser()}\n  IdentityFile {self.folder / name}\n"
            "  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.folder / 'known'}\n  GlobalKnownHostsFile none\n"
            "  UpdateHostKeys no\n"
        )

    @property
    def client(self) -> str:
        """For EDGEPRUNE_OPENSSH."""
        return f"ssh -F {self.folder / 'config'}"


class RealServer:
    """OpenSSH's server; as root or as anybody."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.port = free_port()
        self.keys = Keys(folder, self.port)
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        told = " ".join(
            f'"{key}={value}"' for key, value in {"HOME": self.home, **self.environment}.items()
        )
        config = self._folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self._folder / 'host'}\n"
            f"PidFile {self._folder / 'pid'}\nAuthorizedKeysFile {self.keys.authorized}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv {told}\n"
        )
        assert SSHD is not None
        with (self._folder / "sshd.log").open("ab") as log:
            self._server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        raise AssertionError((self._folder / "sshd.log").read_text())

    def drop(self) -> None:
        """End every connection at once, as a board does that loses its power."""
        assert self._server is not None
        for child in _children(self._server.pid):
            for each in (*_children(child), child):
                with contextlib.suppress(ProcessLookupError):
                    if "sshd" in Path(f"/proc/{each}/comm").read_text():
                        os.kill(each, signal.SIGKILL)

    def stop(self) -> None:
        if self._server is not None:
            self.drop()
            self._server.terminate()
            self._server.wait()
            self._server = None


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(each) for each in text.split()]
    return []


class OddServer:
    """asyncssh's, in a thread: ``answer`` may answer for a command, or break the connection."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.port = free_port()
        self.keys = Keys(folder, self.port)
        self.commands: list[str] = []
        self.answer: Callable[[str], tuple[int, str, str] | str | None] = lambda command: None
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._open: list[Any] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def drop(self) -> None:
        """End every connection at once."""
        for connection in list(self._open):
            self._loop.call_soon_threadsafe(connection.abort)

    def stop(self) -> None:
        self.drop()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        import asyncssh

        outer = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, connection: Any) -> None:
                self.connection = connection
                outer._open.append(connection)

            def connection_lost(self, error: Exception | None) -> None:
                outer._open.remove(self.connection)

        self._server = await asyncssh.create_server(
            Server,
            "127.0.0.1",
            self.port,
            server_host_keys=[str(self._folder / "host")],
            authorized_client_keys=str(self.keys.authorized),
            process_factory=self._serve,
            encoding=None,
        )

    async def _end(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, process: Any) -> None:
        command = process.command or ""
        self.commands.append(command)
        said = self.answer(command)
        if said == "drop":
            process.channel.get_connection().abort()
            return
        if said == "hang":
            await asyncio.sleep(3600)
        if isinstance(said, tuple):
            code, out, err = said
            # What the command's own markers would be around it.
            marker = command.partition("echo ")[2].partition(";")[0]
            process.stdout.write(f"{marker}\n{out}".encode())
            process.stderr.write(f"{err}\n{marker} {code}\n".encode())
            process.exit(0)
            return
        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"HOME": str(self.home), "PATH": os.environ["PATH"]},
            start_new_session=True,
        )
        await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        process.exit(await self._loop.run_in_executor(None, child.wait))
