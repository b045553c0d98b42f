"""The build directory: stages keyed by the digest of their inputs, a lock, and what resumes.

::

    .edgeprune/
    ├── .gitignore            "*": the folder ignores itself
    ├── lock, lock.json       held while a run goes on; who holds it
    ├── log/
    ├── scratch/<stage>/<digest>/    checkpoints that outlive a kill, until the stage is finished
    └── stages/<stage>/<digest>/     what a finished stage left, and key.json with its whole key

A stage's folder appears in one rename, so whatever lies there under its own name is finished,
wherever the process was killed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeprune.errors import LockedError, OutputError
from edgeprune.files import canonical_json, digest_of, fsync, mapped_os_errors, write_bytes

KEPT = 4
"""Finished runs kept of each stage, so that going back to the last recipe costs nothing."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DIGITS = 16


class Workspace:
    """The build directory at ``root``; nothing is written before the first lock or stage does."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.used: set[tuple[str, str]] = set()

    @property
    def log_folder(self) -> Path:
        """Where logs lie; made when asked for.

        Raises:
            OutputError: it cannot be made.
        """
        return self.made("log")

    def made(self, *parts: str) -> Path:
        """``root/parts``, made with the ``.gitignore`` that hides the whole folder from git.

        Raises:
            OutputError: it cannot be made.
        """
        folder = self.root.joinpath(*parts)
        with mapped_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not (self.root / ".gitignore").exists():
                write_bytes(self.root / ".gitignore", b"*\n")
        return folder

    @contextlib.contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Hold the folder alone; what a killed run left half-written is swept first.

        Args:
            wait: for the process that holds it, however long.

        Raises:
            LockedError: another process holds it (and ``wait`` is off); names the process, its
                command and since when.
            OutputError: the folder cannot be written.
        """
        import filelock

        lock = filelock.FileLock(self.made() / "lock", timeout=-1 if wait else 0)
        with mapped_os_errors(self.root):
            try:
                lock.acquire()
            except filelock.Timeout:
                raise LockedError(_held_by(self.root)) from None
        sidecar = self.root / "lock.json"
        try:
            write_bytes(sidecar, canonical_json(_myself()))
            self._sweep()
            yield
        finally:
            sidecar.unlink(missing_ok=True)
            lock.release()

    def stage(self, name: str, key: Mapping[str, Any]) -> Stage:
        """The stage ``name`` for these inputs; ``key`` is JSON values, all that can change what
        the stage leaves (digests of content, settings, versions)."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a stage: letters, digits, '.', '_', '-'")
        stage = Stage(self, name, json.loads(canonical_json(dict(key))))
        self.used.add((name, stage.digest))
        return stage

    def clean(self, *, everything: bool = False) -> int:
        """Remove stages, checkpoints and what else is remembered, with ``everything`` the logs and
        make's depfiles too (what is released stays, and so must what it depends on).

        Returns:
            The bytes set free.

        Raises:
            LockedError: a run is going on (in this process too: not inside :meth:`lock`).
        """
        if not (self.root / ".gitignore").is_file():
            return 0  # not made by us: nothing of ours can be in it
        staying = {".gitignore", "lock", "lock.json"} | (set() if everything else {"log", "make"})
        with self.lock():
            going = [place for place in self.root.iterdir() if place.name not in staying]
            freed = sum(map(_size, going))
            for place in going:
                _remove(place)
        return freed

    def _sweep(self) -> None:
        for left in self.root.glob("stages/*/.*"):
            _remove(left)


class Stage:
    """One stage for one set of inputs.

    Attributes:
        name: of the stage.
        key: its inputs, JSON values.
        digest: of name and key, hex.
        folder: what it left, once it is :attr:`done`.
    """

    def __init__(self, workspace: Workspace, name: str, key: Mapping[str, Any]) -> None:
        self.name = name
        self.key = key
        self.digest = digest_of({"stage": name, "key": key})[:_DIGITS]
        self.folder = workspace.root / "stages" / name / self.digest
        self._workspace = workspace
        self._scratch = workspace.root / "scratch" / name / self.digest

    @property
    def done(self) -> bool:
        """Whether these very inputs have been through this stage."""
        return _read_key(self.folder) == self.key

    def why_not(self) -> str | None:
        """One line on why it is not done: «never run», or what changed since its newest finished
        run (``model changed``, ``numpy 2.4.5 → 2.4.6``); ``None`` where it is."""
        if self.done:
            return None
        finished = _finished(self.folder.parent)
        if finished:
            reason = ", ".join(_changes(_read_key(finished[0]) or {}, self.key)) or "unreadable"
        else:
            reason = "never run"
        return f"{reason}; goes on at its checkpoint" if self._has_checkpoint() else reason

    @property
    def scratch(self) -> Path:
        """A folder for checkpoints: outlives a kill, leaves when the stage is finished.

        Raises:
            OutputError: it cannot be made.
        """
        return self._workspace.made("scratch", self.name, self.digest)

    @contextlib.contextmanager
    def write(self) -> Iterator[Path]:
        """Yield an empty temporary folder; on success it becomes :attr:`folder` in one rename, on
        any failure (Ctrl-C included) it is removed.

        Raises:
            OutputError: it cannot be written, or the disk is full.
        """
        parent = self._workspace.made("stages", self.name)
        with mapped_os_errors(parent):
            temporary = Path(tempfile.mkdtemp(dir=parent, prefix=f".{self.digest}."))
        try:
            with _full_disk(parent):
                yield temporary
            with mapped_os_errors(self.folder):
                self._commit(temporary)
        finally:
            _remove(temporary)
        self._prune()

    def _commit(self, temporary: Path) -> None:
        (temporary / "key.json").write_bytes(canonical_json(self.key))
        for place in temporary.rglob("*"):
            fsync(place)
        fsync(temporary)
        if self.folder.exists():
            away = Path(tempfile.mkdtemp(dir=self.folder.parent, prefix=".old."))
            self.folder.replace(away)
            _remove(away)
        temporary.replace(self.folder)
        fsync(self.folder.parent)

    def _prune(self) -> None:
        _remove(self._scratch.parent)
        for old in _finished(self.folder.parent)[KEPT:]:
            if (self.name, old.name) not in self._workspace.used:
                _remove(old)

    def _has_checkpoint(self) -> bool:
        return self._scratch.is_dir() and any(self._scratch.iterdir())


def _read_key(folder: Path) -> dict[str, Any] | None:
    try:
        key = json.loads((folder / "key.json").read_bytes())
    except (OSError, ValueError):
        return None
    return key if isinstance(key, dict) else None


def _finished(parent: Path) -> list[Path]:
    """Finished runs of a stage, newest first."""
    times = {}
    for folder in parent.glob("[0-9a-f]*"):
        with contextlib.suppress(OSError):
            times[folder] = (folder / "key.json").stat().st_mtime_ns
    return sorted(times, key=lambda folder: (-times[folder], folder.name))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], most: int = 4) -> list[str]:
    before, after = dict(_leaves(old)), dict(_leaves(new))
    lines = []
    for path in [*after, *(path for path in before if path not in after)]:
        if path not in before:
            lines.append(f"{path} is new")
        elif path not in after:
            lines.append(f"{path} is gone")
        elif before[path] != after[path]:
            lines.append(f"{path} {_from_to(before[path], after[path])}")
    more = len(lines) - most
    return lines if more <= 0 else [*lines[:most], f"{more} more"]


def _leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        # "numpy 2.4.5 → 2.4.6" says all; nobody misses "versions." before it.
        path = above + name if above != "versions." else name
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{path}.")
        else:
            yield path, item


def _from_to(old: Any, new: Any) -> str:
    texts = [json.dumps(v, ensure_ascii=False) if isinstance(v, list) else str(v)
             for v in (old, new)]  # fmt: skip
    digest = any(re.fullmatch(r"[0-9a-f]{16,}", text) for text in texts)
    nested = any(isinstance(value, dict) for value in (old, new))
    if digest or nested or any(len(text) > 40 or "\n" in text for text in texts):
        return "changed"
    return f"{texts[0]} → {texts[1]}"


def _myself() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _held_by(root: Path) -> str:
    """The sidecar may be a killed run's while the holder has not yet written its own: wait."""
    for _ in range(10):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads((root / "lock.json").read_bytes())
            if facts["host"] != os.uname().nodename or _alive(int(facts["pid"])):
                return (
                    f"{root} is in use by process {facts['pid']} ('{facts['command']}', since "
                    f"{facts['since']}); wait for it, or stop it"
                )
        time.sleep(0.05)
    return f"{root} is in use by another process; wait for it, or stop it"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    """Only a full disk is the folder's fault here: a stage reads files of others too."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"cannot write {path}: no space left on the device; free some and run again"
            ) from error
        raise


def _size(folder: Path) -> int:
    places = [folder, *folder.rglob("*")]
    return sum(place.lstat().st_size for place in places if place.is_file())


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)
