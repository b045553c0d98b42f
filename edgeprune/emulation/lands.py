"""The unpacked user land in the user's cache, and the record of what it was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from edgeprune.errors import EmulationError
from edgeprune.files import sha256_file

RECORD = "emulated.json"


def home() -> Path:
    """The folder of all this: ``~/.cache/edgeprune/arm64``, or below ``$XDG_CACHE_HOME``."""
    cache = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache and Path(cache).is_absolute() else Path("~/.cache").expanduser()
    return base / "edgeprune" / "arm64"


@dataclass(frozen=True)
class Land:
    """A user land that is set up.

    Attributes:
        folder: that holds ``root`` (the arm64 system), ``wheels`` (what Python imports) and
            ``qemu`` (empty where this machine has one).
        python: the interpreter inside ``root``, such as ``usr/bin/python3.11``.
        qemu: the emulator.
        archives: path below ``home()/archives`` → sha256 of every archive it was made of.
        versions: of qemu, Python and the runtimes.
    """

    folder: Path
    python: str
    qemu: Path
    archives: Mapping[str, str]
    versions: Mapping[str, str]

    @property
    def root(self) -> Path:
        """The arm64 system."""
        return self.folder / "root"

    @property
    def wheels(self) -> Path:
        """What its Python imports."""
        return self.folder / "wheels"

    @property
    def libraries(self) -> tuple[Path, ...]:
        """Of this machine's architecture, for an emulator that was brought along."""
        if not self.qemu.is_relative_to(self.folder):
            return ()
        return tuple(sorted((self.folder / "qemu").glob("**/*-linux-gnu")))

    def record(self) -> dict[str, Any]:
        """JSON values that :meth:`found` reads."""
        return {
            "schema": 1,
            "folder": self.folder.name,
            "python": self.python,
            "qemu": str(self.qemu),
            "archives": dict(self.archives),
            "versions": dict(self.versions),
        }

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "set_up": True,
            "folder": str(self.folder),
            "archives": len(self.archives),
            "versions": dict(self.versions),
        }

    @classmethod
    def found(cls) -> Self | None:
        """What is set up; ``None`` where nothing is, or where a part of it is gone."""
        place = home()
        try:
            content = json.loads((place / RECORD).read_bytes())
            land = cls(
                folder=place / "lands" / content["folder"],
                python=content["python"],
                qemu=Path(content["qemu"]),
                archives=content["archives"],
                versions=content["versions"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = land.wheels.is_dir() and (land.root / land.python).exists() and land.qemu.is_file()
        return land if whole else None

    @classmethod
    def required(cls) -> Self:
        """What is set up.

        Raises:
            EmulationError: nothing is; says the command that does it.
        """
        land = cls.found()
        if land is None:
            raise EmulationError(
                "the emulated ARM is not set up; run: edgeprune targets emulate --setup"
            )
        return land


def damaged(archives: Mapping[str, str]) -> list[str]:
    """The archives that are gone from the cache, or are not what they were."""
    folder = home() / "archives"
    return [
        name
        for name, digest in archives.items()
        if not (folder / name).is_file() or sha256_file(folder / name) != digest
    ]
