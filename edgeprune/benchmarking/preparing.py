"""Runtimes on a board, in an environment of their own: made, brought up to date, removed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.benchmarking.boards import FOLDER, PREPARED, VENV, checked_architecture, held
from edgeprune.errors import DeviceError
from edgeprune.measurements import unavailable
from edgeprune.progress import SILENT, Progress
from edgeprune.runtimes import ENGINES
from edgeprune.targets import Target
from edgeprune.transports import Done, Transport

LIMIT = 1800.0
"""Seconds for an installation: a board's card is slow, and so may be its network."""
_PIP = "-m pip --disable-pip-version-check --no-input"
_INSTALL = "install --quiet --upgrade --no-cache-dir --only-binary :all: --retries 2 --timeout 30"
_VERSION = "from importlib.metadata import version; print(version('{}'))"
TMP = f"{FOLDER}/tmp"
"""Archives are unpacked here: /tmp lies in memory on many boards."""


def prepare(
    target: Target,
    transport: Transport,
    *,
    python: str | None = None,
    lock: str | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Install the target's runtimes on its board: the newest that its Python and architecture can
    have, by the board's own pip, in an environment of ours. Nothing else there is touched.

    Args:
        target: its profile.
        transport: to the board.
        python: to make the environment with; else ``python3``.
        lock: file there that is held meanwhile.
        progress: shows the steps.

    Returns:
        ``target``, ``prepared``, ``folder``, ``python``, ``arch``, and ``runtimes``: versions by
        name, or why one cannot be had.

    Raises:
        DeviceError: the board cannot be reached, is in use, has no room or no network, or its
            Python makes no environments; none of the runtimes can be had.
    """
    names = [name for name in target.runtime if name in ENGINES]
    if not names:
        raise DeviceError(f"target {target.name!r} has no runtime that is installed on a board")
    with (
        progress.task(f"prepare {target.name}", 2 + len(names)) as task,
        held(transport, python or "python3", lock) as (agent, own),
    ):
        facts = agent.facts
        machine = checked_architecture(target, transport.where, facts)
        _environment(transport, own, facts["python"])
        task.advance()
        _install(transport, "numpy", "numpy")
        task.advance()
        runtimes: dict[str, Any] = {}
        for name in names:
            try:
                _install(transport, ENGINES[name].distribution, ENGINES[name].title)
                runtimes[name] = _version(transport, ENGINES[name].distribution)
            except DeviceError as error:
                runtimes[name] = unavailable(str(error))
            task.advance()
        reasons = [each["reason"] for each in runtimes.values() if isinstance(each, Mapping)]
        if len(reasons) == len(runtimes):
            raise DeviceError(reasons[0])
        record = json.dumps({"schema": 1, "runtimes": runtimes})
        _sh(transport, f'rm -rf "$HOME/{TMP}"; printf %s "$1" > "$HOME/{VENV}/{PREPARED}"', record)
    return {
        "target": target.name,
        "prepared": True,
        "folder": f"~/{VENV}",
        "python": facts["python"],
        "arch": machine,
        "runtimes": runtimes,
    }


def unprepare(
    target: Target, transport: Transport, *, python: str | None = None, lock: str | None = None
) -> dict[str, Any]:
    """Remove what :func:`prepare` made.

    Args:
        target, transport, python, lock: as there; nothing may be measured meanwhile.

    Returns:
        ``target``, ``prepared`` (false), ``folder``, ``removed``: whether there was one.

    Raises:
        DeviceError: the board cannot be reached, or is in use.
    """
    with held(transport, python or "python3", lock):
        done = _sh(
            transport,
            f'cd "$HOME" && [ -d {VENV} ] && echo yes; rm -rf {VENV} {TMP}; '
            f"rmdir {FOLDER} 2>/dev/null; true",
        )
    return {
        "target": target.name,
        "prepared": False,
        "folder": f"~/{VENV}",
        "removed": done.stdout.strip() == b"yes",
    }


def _environment(transport: Transport, python: str, version: str) -> None:
    """Make it where it is not there whole; what broke off is made anew."""
    done = _sh(
        transport,
        f'cd "$HOME" && mkdir -p {TMP} || exit 71; '
        f"[ -f {VENV}/{PREPARED} ] && exit 0; rm -rf {VENV}; "
        f'"$1" -m venv {VENV} >&2',
        python,
        check=False,
    )
    if not done.code:
        return
    said = done.stderr + done.stdout.decode("utf-8", "replace")
    if "ensurepip" in said or "No module named venv" in said:
        _sh(transport, f'rm -rf "$HOME/{VENV}"', check=False)
        raise DeviceError(
            f"{transport.where}: its Python {version} makes no environments; install what it lacks "
            "there (Debian/Ubuntu: sudo apt-get install python3-venv)"
        )
    raise _failed(transport, "make an environment", done)


def _install(transport: Transport, distribution: str, title: str) -> None:
    done = _sh(
        transport,
        f'TMPDIR="$HOME/{TMP}" "$HOME/{VENV}/bin/python" {_PIP} {_INSTALL} "$1"',
        distribution,
        limit=LIMIT,
        check=False,
    )
    if done.code:
        raise _failed(transport, f"install {title}", done)


def _version(transport: Transport, distribution: str) -> str:
    done = _sh(transport, f'"$HOME/{VENV}/bin/python" -c "$1"', _VERSION.format(distribution))
    return done.stdout.decode().strip()


def _sh(
    transport: Transport, script: str, *arguments: str, limit: float = 120.0, check: bool = True
) -> Done:
    done = transport.run(["sh", "-c", script, "sh", *arguments], limit=limit)
    if check and done.code:
        raise _failed(transport, "write there", done)
    return done


def _failed(transport: Transport, doing: str, done: Done) -> DeviceError:
    if "No space left" in done.stderr:
        return DeviceError(
            f"{transport.where}: no space left to {doing} in ~/{FOLDER}; free some there"
        )
    lines: Sequence[str] = done.stderr.splitlines()
    if any("No matching distribution" in line for line in lines):
        return DeviceError(
            f"{transport.where}: cannot {doing}: nothing fits its Python and architecture, or its "
            f"package index does not answer ({_first_error(lines)})"
        )
    return DeviceError(f"{transport.where}: cannot {doing} ({done.last})")


def _first_error(lines: Sequence[str]) -> str:
    found = [line for line in lines if line.startswith(("ERROR", "WARNING"))]
    return (found or [*lines, "it said nothing"])[0][:200]
