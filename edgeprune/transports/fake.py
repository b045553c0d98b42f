"""A device for tests: programs of this machine, files in a folder of its own, faults on request."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgeprune.errors import DeviceError
from edgeprune.files import sha256_file
from edgeprune.transports.local import LocalTransport
from edgeprune.transports.seam import LIMIT, Done, Talk


class FakeTransport:
    """See :class:`~edgeprune.transports.Transport`.

    Attributes:
        via, where: as given.
        calls: ``("run", "python3 …")``, in order; of a push the file's name.
        talks: every program that was started to stay connected.
        cleaned: whether :meth:`clean` was called.
    """

    def __init__(self, folder: Path, *, where: str = "fake", via: str = "fake") -> None:
        """A device whose files lie in ``folder``."""
        self.via = via
        self.where = where
        self.calls: list[tuple[str, str]] = []
        self.talks: list[Talk] = []
        self.cleaned = False
        self._folder = folder
        self._real = LocalTransport()
        self._faults: dict[str, list[DeviceError]] = {}
        self._answers: dict[str, Done] = {}

    def fail(self, method: str, *errors: DeviceError) -> None:
        """The next calls of ``method`` raise these, one each."""
        self._faults.setdefault(method, []).extend(errors)

    def answer(self, part: str, done: Done) -> None:
        """What comes of every command that has ``part`` in it, instead of running it."""
        self._answers[part] = done

    def run(self, argv: Sequence[str], *, limit: float = LIMIT) -> Done:
        """On this machine, or what :meth:`answer` was told."""
        line = " ".join(argv)
        self._called("run", line)
        for part, done in self._answers.items():
            if part in line:
                return done
        return self._real.run(argv, limit=limit)

    def push(self, path: Path) -> str:
        """A copy in the folder, named by its digest."""
        self._called("push", path.name)
        place = self._folder / "files" / f"{sha256_file(path)}{path.suffix}"
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        return str(place)

    def pull(self, remote: str, path: Path) -> None:
        """A copy."""
        self._called("pull", remote)
        self._real.pull(remote, path)

    def talk(self, argv: Sequence[str]) -> Talk:
        """A program of this machine."""
        self._called("talk", " ".join(argv))
        self.talks.append(self._real.talk(argv))
        return self.talks[-1]

    def clean(self) -> None:
        """Remove what was pushed."""
        self.cleaned = True
        shutil.rmtree(self._folder / "files", ignore_errors=True)

    def _called(self, method: str, what: str) -> None:
        self.calls.append((method, what))
        if self._faults.get(method):
            raise self._faults[method].pop(0)
