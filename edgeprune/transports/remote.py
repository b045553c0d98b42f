"""What connections have in common that reach a device's shell by a client program of their own."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

from edgeprune.errors import DeviceError, LostError
from edgeprune.files import sha256_file, writing
from edgeprune.transports.seam import LIMIT, Done, Talk, kill_group, text_of
from edgeprune.transports.shells import FOLDER, program, read, script, watched

PAUSES = (0.5, 2.0)
"""Seconds before the second and the third try of what may be tried again."""
PUSH_LEAST = 1e5
"""Bytes a second that a file is pushed at, at the least; decides the time it gets."""

Answer = TypeVar("Answer")


class ShellTransport:
    """See :class:`~edgeprune.transports.Transport`; a connection says how its client is called
    (``_argv``), what its words mean (``_fault``), and what is left to close (``_close``).

    Attributes:
        where: the device, for messages.
    """

    via: str
    _base = '"$HOME"'
    """Where files go on the device, as its shell has it."""

    def __init__(self, where: str) -> None:
        """No connection is made yet."""
        self.where = where
        self._pushed: dict[str, str] = {}

    def _argv(self, line: str) -> list[str]:
        """The client's command that runs ``line`` in a shell there."""
        raise NotImplementedError

    def _fault(self, said: str) -> DeviceError:
        """The error for what the client wrote before it gave up."""
        raise NotImplementedError

    def _close(self) -> None:
        """End what is still open; fails never."""

    def run(self, argv: Sequence[str], *, limit: float = LIMIT) -> Done:
        """As the seam says; never tried again."""
        return self._shell(watched(shlex.join(argv)), limit, subprocess.PIPE)

    def push(self, path: Path) -> str:
        """As the seam says; tried again where the connection breaks."""
        digest = sha256_file(path)
        if digest not in self._pushed:
            self._pushed[digest] = self._again(lambda: self._send(path, digest))
        return self._pushed[digest]

    def pull(self, remote: str, path: Path) -> None:
        """As the seam says; tried again where the connection breaks."""
        done = self._again(lambda: self._shell(f"cat {shlex.quote(remote)}", 10 * LIMIT))
        if done.code:
            raise DeviceError(f"{self.where}: cannot read {remote} ({done.last})")
        with writing(path) as temporary:
            temporary.write_bytes(done.stdout)

    def talk(self, argv: Sequence[str]) -> Talk:
        """As the seam says."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - the Talk closes it
        process = self._started(program(argv), subprocess.PIPE, subprocess.PIPE, said)
        return Talk(process, said)

    def clean(self) -> None:
        """Remove the files pushed, and nothing else; a board that is gone keeps them."""
        if self._pushed:
            places = " ".join(map(shlex.quote, self._pushed.values()))
            folder = f"{self._base}/{FOLDER}"
            with contextlib.suppress(DeviceError):
                self._shell(f"rm -f {places}; rmdir {folder}/files {folder} 2>/dev/null; true", 20)
            self._pushed.clear()
        self._close()

    def _send(self, path: Path, digest: str) -> str:
        """A file appears under its digest when all of it is there."""
        size = path.stat().st_size
        name = f"{digest}{path.suffix}"
        commands = (
            f"umask 077; mkdir -p {self._base}/{FOLDER}/files && "
            f"cd {self._base}/{FOLDER}/files || exit 70; "
            f"if [ ! -f {name} ]; then "
            f"cat > {name}.$$ && [ $(wc -c < {name}.$$) -eq {size} ] && mv {name}.$$ {name} || "
            f"{{ rm -f {name}.$$; exit 71; }}; else cat > /dev/null; fi; echo $PWD/{name}"
        )
        with path.open("rb") as file:
            done = self._shell(commands, LIMIT + size / PUSH_LEAST, file)
        if done.code:
            if "No space left" in done.stderr or "quota" in done.stderr.lower():
                raise DeviceError(
                    f"{self.where}: no space left for {path.name} ({size:,} bytes) in ~/{FOLDER}; "
                    "free some there and run again"
                )
            raise DeviceError(f"{self.where}: cannot write ~/{FOLDER} ({done.last})")
        return done.stdout.decode().strip()

    def _again(self, ask: Callable[[], Answer]) -> Answer:
        for pause in PAUSES:
            try:
                return ask()
            except LostError:
                time.sleep(pause)
        return ask()

    def _shell(
        self, commands: str, limit: float, feed: int | IO[bytes] = subprocess.DEVNULL
    ) -> Done:
        marker = f"edgeprune-{secrets.token_hex(8)}"
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            process = self._started(script(commands, marker), feed, out, said)
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                raise DeviceError(
                    f"{self.where}: no answer in {limit:.0f} s to: {commands[:60]}; it was given up"
                ) from None
            finally:
                if process.poll() is None:
                    kill_group(process)
                    process.wait()
                if process.stdin is not None:
                    process.stdin.close()
            out.seek(0)
            text = text_of(said)
            done = read(out.read(), text, marker)
        if done is None:
            raise self._fault(text)
        return done

    def _started(
        self, line: str, feed: int | IO[bytes], out: int | IO[bytes], said: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C is for edgeprune, which ends this in its order. Files and no
        # pipes for what it says: the connection that stays would keep a pipe open.
        return subprocess.Popen(
            self._argv(line),
            stdin=feed,
            stdout=out,
            stderr=said,
            start_new_session=True,
        )
