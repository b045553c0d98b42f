"""The files that an entry of a recipe stands for; nothing is imported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from edgeprune.errors import RecipeError
from edgeprune.recipes import is_function, matches


def source_file(name: str, base: Path) -> Path:
    """The file of the module of ``"module:function"``, looked for in ``base`` first.

    Raises:
        RecipeError: no such module, or one without a source file.
    """
    module = name.split(":")[0]
    inside = base.joinpath(*module.split("."))
    for place in (inside.with_suffix(".py"), inside / "__init__.py"):
        if place.is_file():
            return place
    sys.path.insert(0, str(base))
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    finally:
        sys.path.remove(str(base))
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise RecipeError([f"{name}: no module {module!r} in {base} or among the installed ones"])
    return Path(spec.origin)


def named_files(path: str, depends: tuple[str, ...], base: Path) -> list[tuple[str, Path]]:
    """The files of an entry and of its ``depends``, each with its name below the folder that the
    recipe gives: names tell the class of an image, and where that folder lies is no content.

    Raises:
        RecipeError: ``path`` is a function of a module that is not there.
    """
    named = []
    if is_function(path):
        source = source_file(path, base)
        named.append((source.name, source))
        patterns = depends
    else:
        patterns = (path, *depends)
    for pattern in patterns:
        root = _root(base / Path(pattern).expanduser())
        named += [(file.relative_to(root).as_posix(), file) for file in matches(pattern, base)]
    return named


def _root(path: Path) -> Path:
    """The folder itself, the folder of a file, or the part of a glob before its first wildcard."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.parent if path.is_file() else path
