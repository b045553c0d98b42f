"""What a profile takes from another that it extends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprune.documents import read_toml
from edgeprune.errors import RecipeError
from edgeprune.schemas import check_schema
from edgeprune.targets.finding import NAME, folders, found, hint

OWN = ("schema", "name", "extends")
"""Keys that say something of one file alone."""


class Chain:
    """A profile's file and those that it extends, the nearest first.

    Attributes:
        paths: of the files.
        content: all of them together: tables key by key, everything else (lists too) whole.
    """

    def __init__(self, path: Path, extra: Iterable[Path | str] = ()) -> None:
        """Read ``path`` and what it extends.

        Args:
            path: of the file.
            extra: folders searched before the usual ones; that of a file is searched first.

        Raises:
            RecipeError: a file is not there or no TOML; ``extends`` names nothing, or goes round
                in a circle.
            VersionError: a file is written for a newer edgeprune.
        """
        extra = tuple(extra)
        self.paths: list[Path] = []
        self._read: list[dict[str, Any]] = []
        following: Path | None = path
        while following is not None:
            content = read_toml(following, "profile", "'edgeprune targets' lists the known ones")
            check_schema(content, "profile", following)
            self.paths.append(following)
            self._read.append(content)
            following = self._parent(content.get("extends"), extra)
        self.content: dict[str, Any] = {}
        for content in reversed(self._read):
            inherited = {key: item for key, item in self.content.items() if key not in OWN}
            self.content = _merged(inherited, content)

    def said(self, key: str) -> Path:
        """The file that says a dotted key; the profile's own where none does."""
        parts = key.replace("[", ".").replace("]", "").split(".")
        for path, content in zip(self.paths, self._read, strict=True):
            if _holds(content, parts):
                return path
        return self.paths[0]

    def _parent(self, name: Any, extra: Sequence[Path | str]) -> Path | None:
        child = self.paths[-1]
        if not isinstance(name, str) or not name:
            return None
        candidates = _named(name, (child.parent, *folders(extra)))
        seen = {path.resolve(): path for path in self.paths}
        if name == child.stem:
            # A profile of the user's may build on ours of the same name.
            candidates = [path for path in candidates if path.resolve() not in seen]
            if not candidates:
                raise RecipeError([f"{child}: 'extends' names the profile itself; name another"])
        if not candidates:
            known = found((child.parent, *extra))
            raise RecipeError(
                [f"{child}: 'extends' names '{name}', no such profile; {hint(name, known)}"]
            )
        if candidates[0].resolve() in seen:
            circle = " → ".join([*(path.stem for path in self.paths), name])
            raise RecipeError([f"{child}: 'extends' goes round in a circle ({circle}); break it"])
        return candidates[0]


def _named(name: str, places: Iterable[Path]) -> list[Path]:
    if not NAME.fullmatch(name):
        return []
    return [path for place in places if (path := place / f"{name}.toml").is_file()]


def _holds(content: Any, parts: Sequence[str]) -> bool:
    for part in parts:
        if isinstance(content, Mapping) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False
    return True


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, item in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(item, Mapping)
        merged[key] = _merged(old, item) if both else item  # type: ignore[arg-type]
    return merged
