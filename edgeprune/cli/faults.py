"""From what went wrong to what the user reads and the shell gets.

0 done, 1 failed, 2 bad input, 3 broken gate, 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeprune.cli.terminal import Session
from edgeprune.errors import KEPT, EdgepruneError, OutputError

INTERRUPTED = "interrupted"


def interrupted(verb: str, error: BaseException) -> str:
    """What Ctrl-C in the middle of ``verb`` leaves, in a line; ``error`` is what came of it."""
    end = KEPT.rpartition("{}")[2]
    told = [note for note in getattr(error, "__notes__", ()) if note.endswith(end)]
    if told:
        return f"{INTERRUPTED}; {told[-1]}"
    kept = "finished stages are kept" if verb == "run" else "no result is written"
    return f"{INTERRUPTED}; {kept}"


BUILD = ".edgeprune"
"""The build directory: a file missing in there is no matter of the user's."""


def guarded(session: Session, work: Callable[[], int]) -> int:
    """Do ``work``; say what went wrong in a line (one a fault), and return the exit code."""
    try:
        return work()
    except KeyboardInterrupt:
        session.fault(INTERRUPTED)
        return 130
    except BrokenPipeError:
        # Whoever read our output has left ('| head'): nothing to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except EdgepruneError as error:
        _told(session, error)
        return error.exit_code
    except OSError as error:
        return _system(session, error)
    except Exception as error:
        if _is_usage(error):
            return _usage(session, error)
        return _ours(session, error)


def _told(session: Session, error: EdgepruneError) -> None:
    if session.traceback:
        session.err.print(_trace(error), markup=False, highlight=False, soft_wrap=True)
    for line in error.lines:
        session.fault(line)


def _system(session: Session, error: OSError) -> int:
    """A file that is not there or may not be read is the user's matter, not a fault of ours."""
    name = error.filename
    if error.errno == errno.ENOSPC:
        place = name or "the output"
        _told(session, OutputError(f"cannot write {place}: no space left on the device"))
        return 1
    known = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EROFS)
    inside = name is not None and BUILD in Path(os.fsdecode(name)).parts
    if name is None or inside or error.errno not in known:
        return _ours(session, error)
    if session.traceback:
        session.err.print(_trace(error), markup=False, highlight=False, soft_wrap=True)
    session.fault(f"{name}: {os.strerror(error.errno)}")
    return 2


def _is_usage(error: BaseException) -> bool:
    # Typer carries click inside since 0.26 and used the real one before: known by name alone.
    return any(kind.__name__ in ("ClickException", "Abort") for kind in type(error).__mro__)


def _usage(session: Session, error: Any) -> int:
    if type(error).__name__ == "Abort":
        session.fault(INTERRUPTED)
        return 130
    # What pydantic, inside of newer Typers, puts before a message that needs no such word.
    text = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "edgeprune"
    session.fault(f"{text}{_hint(text, context)}; see '{command} --help'")
    return 2


def _hint(text: str, context: Any) -> str:
    """The nearest verb, which older Typers do not say."""
    from edgeprune.files import nearest

    unknown = re.fullmatch(r"No such command '(.*)'", text)
    if unknown is None or context is None:
        return ""
    near = nearest(unknown[1], context.command.commands)
    return f". Did you mean '{near}'?" if near else ""


def _ours(session: Session, error: BaseException) -> int:
    what = " ".join(f"{type(error).__name__}: {error}".split())
    if len(what) > 300:
        what = what[:299] + "…"
    if session.traceback:
        session.err.print(_report(session, error), markup=False, highlight=False, soft_wrap=True)
        session.fault(f"unexpected {what}; this is a fault of edgeprune")
        return 1
    session.fault(
        f"unexpected {what}; this is a fault of edgeprune, the traceback is in "
        f"{_logged(session, error)}"
    )
    return 1


def _logged(session: Session, error: BaseException) -> Path:
    from edgeprune.files import write_bytes
    from edgeprune.workspace import Workspace

    name = time.strftime("%Y-%m-%dT%H-%M-%S") + f"-{os.getpid()}.txt"
    content = _report(session, error).encode(errors="replace")
    try:
        path = Workspace(session.home / BUILD).log_folder / name
        write_bytes(path, content)
    except (OutputError, OSError):
        # The folder of the recipe may be the very thing that cannot be written.
        path = Path(tempfile.gettempdir()) / f"edgeprune-{name}"
        write_bytes(path, content)
    return path


def _report(session: Session, error: BaseException) -> str:
    from edgeprune.versions import versions

    lines = [
        f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {shlex.join(['edgeprune', *sys.argv[1:]])}",
        *(f"{name} {version}" for name, version in versions().items()),
        "",
        _trace(error),
    ]
    chatter = session.chatter_text()
    if chatter:
        lines += ["What the libraries wrote:", chatter]
    return "\n".join(lines)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
