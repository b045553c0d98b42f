"""Where the source of a ``module:function`` lies; nothing is imported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from edgeprune.errors import RecipeError


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
