"""A depfile as compilers write theirs: ``goal: prerequisite …``, and an empty rule for each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def depfile_text(goals: Iterable[Path], prerequisites: Iterable[Path]) -> bytes:
    """Make rules, paths relative to the working directory where they lie below it.

    The empty rules (``gcc -MP``) let make go on when a prerequisite is deleted.
    """
    needed = list(dict.fromkeys(_escaped(path) for path in prerequisites))
    made = " ".join(_escaped(goal) for goal in goals)
    rule = f"{made}: " + " \\\n  ".join(needed) + "\n"
    return (rule + "".join(f"\n{path}:\n" for path in needed)).encode()


def _escaped(path: Path) -> str:
    here = Path.cwd()
    text = os.fspath(path.relative_to(here) if path.is_relative_to(here) else path)
    return text.replace("$", "$$").replace("#", "\\#").replace(" ", "\\ ")
