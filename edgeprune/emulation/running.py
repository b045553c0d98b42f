"""Programs in the emulated ARM."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeprune.emulation.lands import Land
from edgeprune.errors import EmulationError

KEPT = ("HOME", "TMPDIR")
"""Of this process' environment; the rest (``PYTHONPATH`` above all) is of another machine."""


def command(
    land: Land, prefix: Path, cpu: str, arguments: Sequence[str], options: Sequence[str] = ()
) -> list[str]:
    """The line that runs the user land's Python with ``arguments``.

    Args:
        land: that is set up.
        prefix: where the emulated program's files are looked for first.
        cpu: qemu's model of a core.
        arguments: of Python.
        options: more of qemu's, such as a plugin.
    """
    inside = {
        "PYTHONHOME": str(land.root / "usr"),
        "PYTHONPATH": str(land.wheels),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    said = [part for key, value in inside.items() for part in ("-E", f"{key}={value}")]
    return [
        *(str(land.qemu), "-cpu", cpu, "-L", str(prefix), "-U", "LD_LIBRARY_PATH"),
        *(*said, *options, str(land.root / land.python), *arguments),
    ]


def environment(land: Land) -> dict[str, str]:
    """What qemu itself is given."""
    kept = {key: os.environ[key] for key in KEPT if key in os.environ}
    libraries = os.pathsep.join(str(folder) for folder in land.libraries)
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        **kept,
        **({"LD_LIBRARY_PATH": libraries} if libraries else {}),
    }


def run_python(
    land: Land,
    prefix: Path,
    cpu: str,
    arguments: Sequence[str],
    *,
    doing: str,
    options: Sequence[str] = (),
    timeout: float = 300.0,
    more: Mapping[str, str] | None = None,
) -> str:
    """What the user land's Python writes on its standard output.

    Args:
        land, prefix, cpu, arguments: as :func:`command`.
        doing: what it is for, for messages.
        options: more of qemu's.
        timeout: seconds that it may take.
        more: environment on top.

    Raises:
        EmulationError: it failed, died or did not end in time.
    """
    try:
        done = subprocess.run(
            command(land, prefix, cpu, arguments, options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**environment(land), **(more or {})},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EmulationError(
            f"the emulated ARM gave no answer in {timeout:g} s while {doing}; it was ended"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        how = f"exit code {done.returncode}"
        if done.returncode < 0:
            how = signal.Signals(-done.returncode).name
        raise EmulationError(f"the emulated ARM fails while {doing} ({how}: {last[:200]})")
    return done.stdout
