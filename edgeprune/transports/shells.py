"""Commands for a device's shell, and what came of them.

A connection may break and its client still end with 0, or with a number that the command could
have ended with; a login shell may print a greeting. So a command's output begins behind a marker,
and its exit code comes behind another: without that one it did not end, whatever the client says.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from edgeprune.transports.seam import Done

FOLDER = ".cache/edgeprune"
"""Below the home on the device: all that is ever written there."""


def script(commands: str, marker: str) -> str:
    """One line for a login shell of any kind: POSIX ``sh`` runs ``commands`` between markers."""
    marked = f"echo {marker}; ({commands}); echo {marker} $? >&2"
    return f"exec sh -c {shlex.quote(marked)}"


def watched(commands: str) -> str:
    """``commands`` that end with their connection: at the end of standard input the whole process
    group is killed, which a server of ssh or adb gives every session (and where it does not,
    nothing is). What watches is one process of the shell's own: a child of it would outlive it,
    and adb's server waits for all that hold a session's input."""
    return (
        f"exec 3<&0; ({commands}) < /dev/null 3<&- & c=$!; "
        "(while read -r _; do :; done; kill -s KILL -- -$$) <&3 > /dev/null 2>&1 & w=$!; "
        "exec 3<&-; wait $c; s=$?; kill $w; exit $s"
    )


def program(argv: Sequence[str]) -> str:
    """One line for a login shell: it becomes the program."""
    return f"exec sh -c {shlex.quote('exec ' + shlex.join(argv))}"


def read(stdout: bytes, stderr: str, marker: str) -> Done | None:
    """What came of a :func:`script`; ``None`` where it did not come to its end."""
    ends = list(re.finditer(rf"^{marker} (\d+)\r?$", stderr, re.MULTILINE))
    begin = stdout.find(marker.encode() + b"\n")
    if not ends or begin < 0:
        return None
    code = int(ends[-1].group(1))
    said = stderr[: ends[-1].start()]
    return Done(code, stdout[begin + len(marker) + 1 :], said)
