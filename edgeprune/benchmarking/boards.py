"""A board that files are timed on: found, held, and asked through the agent that runs on it."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeprune.benchmarking.conditions import State, state
from edgeprune.benchmarking.devices import cpu_of
from edgeprune.errors import DeviceError, LostError
from edgeprune.runtimes import Agent, AgentLink, Runner, agent_bytes, engine_of
from edgeprune.targets import Target
from edgeprune.transports import Transport

FOLDER = ".cache/edgeprune"
VENV = f"{FOLDER}/venv"
PREPARED = "edgeprune-prepared.json"
"""In the environment that ``targets prepare`` made, once it is whole."""
PAUSES = (0.5, 2.0)
"""Seconds before a board is tried again whose connection broke before anything was timed."""
BOOT = "/proc/sys/kernel/random/boot_id"
MODEL = "/proc/device-tree/model"
FILES = (
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/pressure/cpu",
    "/proc/stat",
    "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
    "/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count",
    "/sys/class/thermal/thermal_zone*/temp",
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
)
"""What a board tells of itself; read there, understood here."""
_SAME = {"arm64": "aarch64", "amd64": "x86_64", "armv8l": "armv7l", "armv6l": "armv6l"}


class Board:
    """A board that is held; :func:`connected` makes it.

    Attributes:
        target: its profile.
        where: for messages.
        via: the connection.
        python: that runs there.
        facts: what the agent says of the machine.
    """

    own = False

    def __init__(self, target: Target, transport: Transport, agent: Agent, python: str) -> None:
        self.target = target
        self.where = transport.where
        self.via = transport.via
        self.python = python
        self.facts: Mapping[str, Any] = agent.facts
        self._transport = transport
        self._agent = agent
        self.boot = agent.looked([BOOT]).get(BOOT, "")

    def check(self) -> None:
        """Whether it is what its profile says, and has what every file needs.

        Raises:
            DeviceError: another architecture, or no numpy.
        """
        checked_architecture(self.target, self.where, self.facts)
        if self.facts["versions"]["numpy"] is None:
            raise self._lacks("numpy")

    def runner(self, path: Path, *, threads: int) -> Runner:
        """A file, pushed and loaded.

        Raises:
            DeviceError: the board has no such engine, or no room for the file.
            ArtifactError: the engine there refuses it, or dies of it.
        """
        engine = engine_of(path)
        version = self.facts["versions"][engine.name]
        if version is None:
            raise self._lacks(engine.title)
        place = self._transport.push(path)
        return Runner(path, threads=threads, link=AgentLink(self._agent, place, version))

    def state(self) -> State:
        """As the board's own files tell; they are read there and understood here."""
        with tempfile.TemporaryDirectory(prefix="edgeprune-board-") as folder:
            for name, text in self._agent.looked(FILES).items():
                path = Path(folder) / name.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return state(Path(folder), self.facts["cpus"])

    def drop(self, path: Path) -> str:
        """By the agent, of the file that lies there."""
        return self._agent.dropped(self._transport.push(path))

    def cpus(self) -> tuple[list[int], int]:
        """Of the agent."""
        return list(self.facts["cpus"]), int(self.facts["cpu_count"])

    def device(self) -> dict[str, str]:
        """The board."""
        files = self._agent.looked(["/proc/cpuinfo", MODEL])
        model = files.get(MODEL, "").strip("\0 \n")
        return {
            "cpu": model or cpu_of(files.get("/proc/cpuinfo", "")) or self.facts["machine"],
            "cores": str(len(self.facts["cpus"])),
            "arch": architecture(self.facts),
            "system": self.facts["system"],
            "python": self.facts["python"],
        }

    def _lacks(self, what: str) -> DeviceError:
        return DeviceError(
            f"{self.where}: its Python {self.facts['python']} ({self.python}) has no {what}; "
            f"{advice(self.target, self._transport)}"
        )


def advice(target: Target, transport: Transport) -> str:
    """The command that installs what a board lacks."""
    if transport.via != "ssh":
        return "install it there"
    return f"run: edgeprune targets prepare {target.name} --ssh {shlex.quote(transport.where)}"


def architecture(facts: Mapping[str, Any]) -> str:
    """Of the programs that run there: a 32-bit Python on a 64-bit kernel loads 32-bit engines."""
    machine = _SAME.get(facts["machine"], facts["machine"])
    return "armv7l" if machine == "aarch64" and facts["bits"] == 32 else str(machine)


def checked_architecture(target: Target, where: str, facts: Mapping[str, Any]) -> str:
    """The board's :func:`architecture`.

    Raises:
        DeviceError: it is not its profile's.
    """
    machine = architecture(facts)
    if target.arch not in ("any", machine):
        raise DeviceError(
            f"{where}: is {machine}, and target {target.name!r} is {target.arch}; name the target "
            "that it is"
        )
    return machine


@contextlib.contextmanager
def connected(
    target: Target, transport: Transport, *, python: str | None = None, lock: str | None = None
) -> Iterator[Board]:
    """Hold a board as long as the context lasts; afterwards nothing is left running or lying there.

    A connection that breaks before anything was asked of the board is made again; later it is an
    error that says what has become of the board.

    Args:
        target: its profile.
        transport: to it; cleaned at the end.
        python: to use there; else the prepared one, else ``python3``.
        lock: file there that is held; one for the whole board where ``None``.

    Raises:
        DeviceError: it cannot be reached, is in use, is no such board, or lacks Python or numpy.
        LostError: the connection broke.
    """
    try:
        with held(transport, python, lock) as (agent, found):
            board = Board(target, transport, agent, found)
            board.check()
            try:
                yield board
            except LostError as error:
                raise LostError(f"{error}; {aftermath(transport, board.boot)}") from error
    finally:
        transport.clean()


@contextlib.contextmanager
def held(
    transport: Transport, python: str | None = None, lock: str | None = None
) -> Iterator[tuple[Agent, str]]:
    """The agent on a board, and the Python that runs it; raises as :func:`connected`."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-agent-") as folder:
        file = Path(folder) / "agent.pyz"
        file.write_bytes(agent_bytes())
        agent, found = _held(transport, file, python, lock)
        with agent:
            yield agent, found


def _held(
    transport: Transport, file: Path, python: str | None, lock: str | None
) -> tuple[Agent, str]:
    for pause in PAUSES:
        try:
            return _started(transport, file, python, lock)
        except LostError:
            time.sleep(pause)
    return _started(transport, file, python, lock)


def _started(
    transport: Transport, file: Path, python: str | None, lock: str | None
) -> tuple[Agent, str]:
    found = python_of(transport, python)
    talk = transport.talk([found, transport.push(file)])
    return Agent(talk, transport.where, lock=lock), found


_LOOK = f"""\
for python in "$1" "$HOME/{VENV}/bin/python" python3; do
  [ -n "$python" ] || continue
  [ "$python" != "$HOME/{VENV}/bin/python" ] || [ -f "$HOME/{VENV}/{PREPARED}" ] || continue
  found=$(command -v "$python" 2>/dev/null) && "$found" -c \
    'import json, sys; print(json.dumps([sys.argv[1], *sys.version_info[:2]]))' "$found" && exit 0
  [ "$python" != "$1" ] || exit 3
done
exit 4
"""


def python_of(transport: Transport, python: str | None) -> str:
    """The Python that the agent runs in.

    Raises:
        DeviceError: there is none, or one that is too old.
    """
    if python is None and transport.via == "local":
        return sys.executable
    done = transport.run(["sh", "-c", _LOOK, "sh", python or ""])
    if done.code == 3:
        raise DeviceError(f"{transport.where}: has no Python {python}; correct its path")
    if done.code:
        if transport.via == "adb":
            raise DeviceError(
                f"{transport.where}: no python3 there, as on every Android; only Linux boards are "
                "timed over adb today ('--via qemu' verifies and counts for the others)"
            )
        raise DeviceError(
            f"{transport.where}: no python3 there; install Python 3.9 or newer on the board "
            "(Debian/Ubuntu: sudo apt-get install python3 python3-venv)"
        )
    found, *version = json.loads(done.stdout)
    if tuple(version) < (3, 9):
        raise DeviceError(
            f"{transport.where}: its Python ({found}) is {version[0]}.{version[1]}, and 3.9 is the "
            "oldest that serves; install a newer one, and name it in devices.toml (python = ...)"
        )
    return str(found)


def aftermath(transport: Transport, boot: str) -> str:
    """What has become of a board whose connection broke: one look, no patience."""
    try:
        now = transport.run(["cat", BOOT], limit=20).stdout.decode("utf-8", "replace")
    except DeviceError:
        return "it does not answer now; nothing goes on there once it notices"
    if boot and now.strip() and now.strip() != boot.strip():
        return "it has started anew meanwhile; measure again"
    return "it answers again; measure again"
