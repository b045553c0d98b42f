"""``module:function``: what a user's own module gives us."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeprune.errors import InputError, ModelError
from edgeprune.files import nearest


def is_reference(text: str) -> bool:
    """Whether ``text`` reads as ``module:function``."""
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(p.isidentifier() for p in module.split("."))


def referred(reference: str, base: Path | None = None, error: type[InputError] = ModelError) -> Any:
    """The object that ``module:name`` names; ``base`` comes first on the path during the import.

    A module of that name that was imported from elsewhere is imported anew.

    Raises:
        InputError: of class ``error``: not of that form, no such module or name, or the module
            fails when imported.
    """
    if not is_reference(reference):
        raise error(f"{reference!r} is not of the form module:function")
    module_name, _, name = reference.partition(":")
    module = _imported(module_name, reference, base, error)
    if not hasattr(module, name):
        near = nearest(name, vars(module))
        hint = f"; did you mean {near!r}?" if near else ""
        raise error(f"{reference}: module {module_name!r} has no {name!r}{hint}")
    return getattr(module, name)


def _imported(name: str, reference: str, base: Path | None, error: type[InputError]) -> ModuleType:
    with _first_on_path(base):
        _forget_other(name, base)
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name == name or name.startswith(f"{missing.name}."):
                place = f" in {base}" if base else ""
                raise error(
                    f"{reference}: no module {missing.name!r}{place} or among what is installed"
                ) from missing
            raise error(
                f"{reference}: its import needs the module {missing.name!r}; install it"
            ) from missing
        except Exception as failure:
            raise error(
                f"{reference}: its import fails with {type(failure).__name__}: {one_line(failure)}"
            ) from failure


def one_line(error: BaseException, limit: int = 200) -> str:
    """The text of a foreign exception on one line, cut at ``limit`` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


@contextlib.contextmanager
def _first_on_path(base: Path | None) -> Iterator[None]:
    if base is None:
        yield
        return
    entry = str(base.resolve())
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)


def _forget_other(name: str, base: Path | None) -> None:
    """Drop ``name`` from the loaded modules where ``base`` holds another module of that name."""
    root = name.partition(".")[0]
    loaded = sys.modules.get(root)
    if base is None or loaded is None:
        return
    here = [base / f"{root}.py", base / root / "__init__.py"]
    mine = [path.resolve() for path in here if path.exists()]
    place = getattr(loaded, "__file__", None)
    if mine and (place is None or Path(place).resolve() not in mine):
        for other in [key for key in sys.modules if key == root or key.startswith(f"{root}.")]:
            del sys.modules[other]
