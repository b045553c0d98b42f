"""A depfile as compilers write theirs: ``goal: prerequisite …``, and an empty rule for each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path


def depfile_text(goals: Iterable[Path | str], prerequisites: Iterable[Path]) -> bytes:
    """Make rules, paths relative to the working directory where they lie below it; a goal that is
    text stays as make wrote it.

    The empty rules (``gcc -MP``) let make go on when a prerequisite is deleted.
    """
    needed = list(dict.fromkeys(_escaped(path) for path in prerequisites))
    made = " ".join(_escaped(goal) for goal in goals)
    rule = f"{made}: " + " \\\n  ".join(needed) + "\n"
    return (rule + "".join(f"\n{path}:\n" for path in needed)).encode()


def folders(pattern: str, base: Path) -> list[Path]:
    """The folders in which a new file would be one more of those that ``pattern`` means (a folder,
    all in it; a glob): their times change when a file comes or goes. None for a plain file."""
    full = base / Path(pattern).expanduser()
    if full.is_dir():
        return sorted(_below(full))
    parts = full.parts
    wild = [number for number, part in enumerate(parts) if glob.has_magic(part)]
    if not wild or full.is_file():
        return []
    found: set[Path] = set()
    for number in range(wild[0], len(parts)):
        top = Path(parts[0])
        above = [*parts[1:number]]
        places = top.glob(str(Path(*above))) if above else [top]
        found.update(place for place in places if place.is_dir())
    return sorted(found)


def _below(folder: Path) -> set[Path]:
    return {folder, *(place for place in folder.rglob("*") if place.is_dir())}


def _escaped(path: Path | str) -> str:
    here = Path.cwd()
    if isinstance(path, Path) and path.is_relative_to(here):
        path = path.relative_to(here)
    text = os.fspath(path)
    return text.replace("$", "$$").replace("#", "\\#").replace(" ", "\\ ")
