"""The host's side of the agent on a board, and of one file in it."""

from __future__ import annotations

import contextlib
import getpass
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Protocol

from edgeprune.errors import DeviceError, LostError
from edgeprune.runtimes.supervisor import GREETING, LOCK
from edgeprune.runtimes.wire import Array, receive, send

BEAT = 10.0
"""Seconds between two signs of life; the agent waits longer, and then ends."""
NOISE = 1 << 16
"""Bytes that a login shell may print before the agent speaks."""
GRACE = 15.0
"""Seconds that an agent gets to end a child that gives no answer."""


class Streams(Protocol):
    """A program that is connected to: a :class:`~edgeprune.transports.Talk`."""

    @property
    def stdin(self) -> IO[bytes]: ...
    @property
    def stdout(self) -> IO[bytes]: ...
    def said(self) -> str:
        """What it wrote on standard error."""
        ...

    def kill(self) -> None:
        """Break the connection."""
        ...

    def close(self, limit: float = ...) -> None:
        """End it in order."""
        ...


class Agent:
    """An agent that runs and holds its board; use it in a ``with`` block.

    Attributes:
        where: the device, for messages.
        facts: what :func:`edgeprune.runtimes.supervisor.facts` says there.
    """

    def __init__(
        self, talk: Streams, where: str, *, lock: str | None = None, limit: float = 60.0
    ) -> None:
        """Wait until it greets, and take the board.

        Args:
            talk: to the agent's program, just started.
            where: the device.
            lock: file on the device that is held.
            limit: seconds for each question to the agent itself.

        Raises:
            LostError: it does not come up, or the connection breaks.
            DeviceError: somebody else is using the board.
        """
        self.where = where
        self._talk = talk
        self._limit = limit
        self._writing = threading.Lock()
        self._dead: dict[int, tuple[int, str]] = {}
        self._late = False
        self._over = threading.Event()
        self.facts: Mapping[str, Any] = {}
        try:
            self._greeted()
            threading.Thread(target=self._beat, daemon=True).start()
            who = f"{getpass.getuser()} on {platform.node()}"
            reply = self.ask({"verb": "hello", "who": who, "lock": lock or LOCK})
            if "busy" in reply:
                raise DeviceError(
                    f"{where} is in use (by {reply['busy']}), and two measurements at once would "
                    "spoil each other; wait until that one has ended"
                )
            if "error" in reply:
                raise DeviceError(f"{where}: {reply['error']}")
        except BaseException:
            self.close()
            raise
        self.facts = reply

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """What the agent itself answers.

        Raises:
            LostError: the connection broke, or no answer came in time.
        """
        with self._guarded(self._limit):
            self.send(message)
            return self.receive(None)[0]

    def start(self) -> int:
        """A new child of the agent; its number."""
        return int(self.ask({"verb": "start"})["child"])

    def looked(self, globs: Sequence[str]) -> dict[str, str]:
        """The text of files there that match."""
        found: dict[str, str] = self.ask({"verb": "look", "globs": list(globs)})["files"]
        return found

    def dropped(self, place: str) -> str:
        """Why a file there is still in the system's cache after it was to be taken out."""
        return str(self.ask({"verb": "drop", "place": place})["kept"])

    def send(self, message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
        """A message; raises :class:`LostError`."""
        try:
            with self._writing:
                send(self._talk.stdin, message, arrays)  # type: ignore[arg-type]
        except (OSError, ValueError):
            raise self._lost() from None

    def receive(self, child: int | None) -> tuple[dict[str, Any], list[Array]]:
        """The next message of a child, or of the agent itself.

        Raises:
            LostError: the connection broke.
            EOFError: the child has died; :meth:`death` says how.
        """
        while True:
            if child in self._dead:
                raise EOFError
            try:
                message, arrays = receive(self._talk.stdout)  # type: ignore[arg-type]
            except (EOFError, OSError, ValueError):
                raise self._lost() from None
            source = message.pop("from", None)
            if "died" in message:
                self._dead[source] = (message["died"], message["last"])
            elif source == child:
                return message, arrays

    def death(self, child: int) -> tuple[int, str]:
        """Exit code of a child (negative: a signal), and the last line it wrote."""
        return self._dead[child]

    def kill(self, child: int) -> None:
        """End a child that gives no answer; where that brings no answer either, the connection."""
        with contextlib.suppress(LostError):
            self.send({"verb": "kill", "child": child})
        timer = threading.Timer(GRACE, self._give_up_on, (child,))
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End the agent with all that it started."""
        self._over.set()
        self._talk.close()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _greeted(self) -> None:
        heard = b""
        with self._guarded(self._limit):
            while not heard.endswith(GREETING) and len(heard) < NOISE:
                byte = self._talk.stdout.read(1)
                if not byte:
                    break
                heard += byte
        if not heard.endswith(GREETING):
            lost = self._lost()
            self._talk.kill()
            raise lost

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with contextlib.suppress(LostError):
                self.send({"verb": "alive"})

    @contextlib.contextmanager
    def _guarded(self, limit: float) -> Iterator[None]:
        timer = threading.Timer(limit, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up_on(self, child: int) -> None:
        if child not in self._dead:
            self._give_up()

    def _give_up(self) -> None:
        if not self._over.is_set():
            self._late = True
            self._talk.kill()

    def _lost(self) -> LostError:
        if self._late:
            return LostError(f"{self.where} gives no answer any more; the connection was given up")
        lines = [line.strip() for line in self._talk.said().splitlines() if line.strip()]
        why = f" ({lines[-1][:200]})" if lines else ""
        return LostError(f"the connection to {self.where} broke{why}")


class AgentLink:
    """One file in an agent, for a :class:`~edgeprune.runtimes.Runner`.

    Attributes:
        place: of the file on the board.
        version: of the engine there.
        on: which engine it is, for messages.
    """

    def __init__(self, agent: Agent, place: str, version: str) -> None:
        """Start a child for it."""
        self.place = place
        self.version = version
        self.on = f" {version} on {agent.where}"
        self._agent = agent
        self._number = agent.start()

    def send(self, message: Mapping[str, Any], arrays: Sequence[Array]) -> None:
        """To the child."""
        self._agent.send({**message, "to": self._number}, arrays)

    def receive(self) -> tuple[dict[str, Any], list[Array]]:
        """From the child; ``EOFError`` where it has died."""
        return self._agent.receive(self._number)

    def kill(self) -> None:
        """End the child."""
        self._agent.kill(self._number)

    def death(self) -> tuple[int, str]:
        """How it died."""
        return self._agent.death(self._number)

    def close(self) -> None:
        """The child goes, if it is still there."""
        with contextlib.suppress(LostError):
            self._agent.send({"verb": "kill", "child": self._number})
