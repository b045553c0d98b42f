"""Where profiles lie, and which counts of several with one name."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from edgeprune.files import nearest

HERE = Path(__file__).resolve().parent.parent
"""The package."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Multiple(Protocol):
    """What has widths that suit it."""

    @property
    def channel_multiple(self) -> int: ...


def common_multiple(targets: Iterable[Multiple]) -> int:
    """The least width that suits the kernels of every one of ``targets``."""
    return math.lcm(*(target.channel_multiple for target in targets))


def folders(extra: Iterable[Path | str] = ()) -> tuple[Path, ...]:
    """Where profiles are looked for, in this order: ``extra``; ``targets/`` of the repository
    that the first of them lies in, or else the working directory; the user's own
    (``~/.config/edgeprune/targets``); the checkout's; the installed ones."""
    given = [Path(folder) for folder in extra]
    start = given[0].resolve().parent if given else Path.cwd()
    # Installed beside other packages, a folder "targets" there would be somebody else's.
    ours = [HERE.parent / "targets"] if (HERE.parent / "pyproject.toml").is_file() else []
    known: dict[Path, Path] = {}
    for folder in (*given, *_upwards(start), users(), *ours, HERE / "profiles"):
        if folder.is_dir():
            known.setdefault(folder.resolve(), folder)
    return tuple(known.values())


def users() -> Path:
    """The user's own folder of profiles."""
    config = os.environ.get("XDG_CONFIG_HOME")
    home = Path(config) if config and Path(config).is_absolute() else Path("~/.config").expanduser()
    return home / "edgeprune" / "targets"


def _upwards(start: Path) -> Iterator[Path]:
    """``targets/`` in ``start`` and above, up to the root of its repository; where it is in none,
    in ``start`` alone."""
    levels = [start, *start.parents]
    root = next((place for place in levels if (place / ".git").exists()), start)
    for place in levels[: levels.index(root) + 1]:
        yield place / "targets"


def found(extra: Iterable[Path | str] = ()) -> dict[str, Path]:
    """Every profile by name; of several with one name the first folder's counts."""
    profiles: dict[str, Path] = {}
    for folder in folders(extra):
        for path in sorted(folder.glob("*.toml")):
            if NAME.fullmatch(path.stem):
                profiles.setdefault(path.stem, path)
    return profiles


def unknown(name: str, known: Collection[str]) -> str | None:
    """What is to be said of a target that is no path and none of the ``known`` profiles."""
    if name.endswith(".toml") or name in known:
        return None
    return f"target '{name}': no such profile; {hint(name, known)} (or add targets/{name}.toml)"


def hint(name: str, known: Collection[str]) -> str:
    """The nearest of the ``known`` names, or all of them."""
    near = nearest(name, known)
    return f"did you mean '{near}'?" if near else "known: " + ", ".join(sorted(known))
