"""The verbs on device profiles: all of them, one, whether it is sound, and a new one."""

from __future__ import annotations

from pathlib import Path

from edgeprune.errors import InputError, OutputError, RecipeError, VersionError
from edgeprune.verbs.sources import Facts


def list_profiles() -> tuple[list[Facts], list[str]]:
    """Every profile that can be read, ``host`` first, and the faults of the others."""
    from edgeprune.targets import Target

    sound: list[Facts] = []
    faults: list[str] = []
    for name in Target.names():
        try:
            sound.append(Target.load(name).facts())
        except (RecipeError, VersionError) as error:
            faults += error.lines
    return sound, faults


def show_profile(name: str) -> Facts:
    """A profile with what it inherits, and under ``files`` where it was read from.

    Raises:
        RecipeError: no such profile, or its faults.
    """
    from edgeprune.targets import Target

    target = Target.load(name)
    return {**target.facts(), "files": [str(path) for path in target.chain]}


def check_profile(name: str) -> Facts:
    """Whether a profile is sound, and whether files can be timed on it from here.

    Raises:
        RecipeError: no such profile, or its faults.
    """
    from edgeprune.benchmarking import unreachable
    from edgeprune.benchmarking.reaching import may_be_board
    from edgeprune.targets import Target
    from edgeprune.transports import board_of

    target = Target.load(name)
    said = may_be_board(target) and board_of(target.name).ssh is not None
    reason = "" if said else unreachable(target) or ""
    return {"name": target.name, "valid": True, "timed": not reason, "why": reason}


def new_profile(
    name: str | None, parent: str, out: Path | None = None, *, force: bool = False
) -> Facts:
    """A profile that extends ``parent``, written to ``out``.

    Args:
        name: of the new one; it decides ``out`` where that is ``None``: ``targets/<name>.toml``.
        parent: the profile to start from.
        out: the file; its name is the profile's.
        force: replace a file that is there.

    Returns:
        ``name``, ``from``, ``file`` (``None`` where neither name nor file is given) and ``text``.

    Raises:
        RecipeError: no profile ``parent``.
        InputError: a name that no profile can have, or another one than the file's.
        OutputError: the file is there already, or cannot be written.
    """
    from edgeprune.files import write_bytes
    from edgeprune.targets import Target, started

    base = Target.load(parent)
    if out is None and name is not None:
        out = Path("targets") / f"{name}.toml"
    if out is not None:
        name = _named(name, out)
    text = started(base, name)
    facts: Facts = {"name": name, "from": base.name, "file": None, "text": text}
    if out is None:
        return facts
    if out.exists() and not force:
        raise OutputError(f"{out} is there already; name another with -o, or --force")
    write_bytes(out, text.encode())
    return {**facts, "file": str(out)}


def _named(name: str | None, out: Path) -> str:
    from edgeprune.targets import NAME

    if out.suffix != ".toml" or not NAME.fullmatch(out.stem):
        raise InputError(
            f"{out}: a profile is a file NAME.toml, with a name of letters, digits, '.', '_' and "
            "'-'; choose another"
        )
    if name is not None and name != out.stem:
        raise InputError(f"{out}: a profile has its file's name, not {name!r}; give one of the two")
    return out.stem
