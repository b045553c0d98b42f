"""A connection that another thread may give up: Ctrl-C reaches the main thread alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from edgeprune.errors import Interrupted
from edgeprune.transports.seam import LIMIT, Done, Talk, Transport


class Breakable:
    """See :class:`~edgeprune.transports.Transport`; all but :meth:`clean` raise
    :class:`~edgeprune.errors.Interrupted` once :meth:`give_up` was called."""

    def __init__(self, inner: Transport) -> None:
        """Of a connection that nobody else uses."""
        self.via = inner.via
        self.where = inner.where
        self._inner = inner
        self._talks: list[Talk] = []
        self._over = threading.Event()

    def give_up(self) -> None:
        """End every program that is connected to, so that who waits for one wakes up; from now on
        nothing is begun any more."""
        self._over.set()
        for talk in list(self._talks):
            talk.kill()

    def run(self, argv: Sequence[str], *, limit: float = LIMIT) -> Done:
        """As the seam says."""
        self._check()
        return self._inner.run(argv, limit=limit)

    def push(self, path: Path) -> str:
        """As the seam says."""
        self._check()
        return self._inner.push(path)

    def pull(self, remote: str, path: Path) -> None:
        """As the seam says."""
        self._check()
        self._inner.pull(remote, path)

    def talk(self, argv: Sequence[str]) -> Talk:
        """As the seam says."""
        self._check()
        talk = self._inner.talk(argv)
        self._talks.append(talk)
        if self._over.is_set():  # meanwhile
            talk.kill()
        return talk

    def clean(self) -> None:
        """As the seam says."""
        self._inner.clean()

    def _check(self) -> None:
        if self._over.is_set():
            raise Interrupted(f"the connection to {self.where} was given up")
