"""What a build directory remembers of its inputs, so that nothing is read or called for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgeprune.files import sha256_file, write_json
from edgeprune.workspace import Workspace


class Record:
    """Digests of files by size, time and inode, and what was found out about a source.

    Attributes:
        writes: what is learnt is kept for the next run (needs the workspace's lock); otherwise it
            is known to this object alone.
    """

    def __init__(self, workspace: Workspace, *, writes: bool = True) -> None:
        self.writes = writes
        self._workspace = workspace
        self._file = workspace.root / "inputs.json"
        self._content = _read(self._file)

    def sha(self, file: Path) -> str:
        """sha256 (hex) of a file."""
        facts = file.stat()
        stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
        known = self._content.setdefault("files", {})
        entry = known.get(str(file))
        if entry and entry[0] == stamp:
            return str(entry[1])
        digest = sha256_file(file)
        known[str(file)] = [stamp, digest]
        self._save()
        return digest

    def known(self, what: str, source: str) -> str | None:
        """What was remembered of ``what``, if its source is still ``source``."""
        entry = self._content.setdefault("returned", {}).get(what)
        return entry[1] if entry and entry[0] == source else None

    def remember(self, what: str, source: str, value: str) -> None:
        """Keep ``value`` for :meth:`known`."""
        self._content.setdefault("returned", {})[what] = [source, value]
        self._save()

    def _save(self) -> None:
        if self.writes:
            self._workspace.made()
            write_json(self._file, self._content)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
