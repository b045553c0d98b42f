"""The program that runs on a board: it holds the board, starts a child for each file, and ends all
of them when its standard input ends or falls silent.

Requests with ``"to"`` go to that child, whose answers come back with ``"from"``; the others are for
this program itself, which loads neither numpy nor an engine.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import importlib.metadata
import importlib.util
import os
import platform
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

from edgeprune.runtimes.caches import drop_cached
from edgeprune.runtimes.frames import exactly, read_head, write_frame

GREETING = b"\0edgeprune agent\n"
"""Comes before the first message, and behind whatever a login shell prints."""
LOCK = "/tmp/edgeprune.lock"
"""One for all users of a board; held as long as this program lives, and no longer."""
SILENCE = 60.0
"""Seconds without a word after which the other side has gone."""
PIECE = 1 << 20
MODULES = {"litert": "ai_edge_litert", "onnxruntime": "onnxruntime", "numpy": "numpy"}
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Serve until the other side closes its end; with ``worker``, be one of the children."""
    if arguments[:1] == ["worker"]:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        from edgeprune.runtimes import worker

        return worker.main()
    with contextlib.suppress(OSError):
        os.setsid()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    supervisor = _Supervisor(answers)
    with contextlib.suppress(EOFError, OSError):
        answers.write(GREETING)
        answers.flush()
        supervisor.serve(_Input(0))
    supervisor.end()
    return 0


class _Input:
    """A stream that ends where it is silent for too long."""

    def __init__(self, number: int) -> None:
        self._number = number

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            if not select.select([self._number], [], [], SILENCE)[0]:
                break
            part = os.read(self._number, min(size, PIECE))
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class _Supervisor:
    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._writing = threading.Lock()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._held: int | None = None

    def serve(self, stream: Any) -> None:
        while True:
            message, length = read_head(stream)
            to = message.pop("to", None)
            if to is None:
                exactly(stream, length)
                if message["verb"] == "kill":
                    self._children[message["child"]].kill()
                elif message["verb"] != "alive":
                    self._tell(self._do(message))
                continue
            pieces = (exactly(stream, size) for size in _sizes(length))
            child = self._children[to].stdin
            with contextlib.suppress(OSError):  # it died: its pump says so
                write_frame(child, message, pieces, length)  # type: ignore[arg-type]
            for _ in pieces:
                pass

    def end(self) -> None:
        """Whatever was started here goes, whatever it is doing."""
        for child in self._children.values():
            child.kill()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)

    def _do(self, message: Mapping[str, Any]) -> dict[str, Any]:
        verb = message["verb"]
        if verb == "hello":
            return self._hello(message["lock"], message["who"])
        if verb == "look":
            return {"files": dict(_looked(message["globs"]))}
        if verb == "drop":
            return {"kept": drop_cached(Path(message["place"]))}
        return {"child": self._start()}

    def _hello(self, lock: str, who: str) -> dict[str, Any]:
        try:
            self._held = _opened(lock)
        except OSError as error:
            return {"error": f"cannot open {lock}: {error.strerror}"}
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = os.pread(self._held, 200, 0).decode("utf-8", "replace").strip()
            return {"busy": said or "somebody"}
        with contextlib.suppress(OSError):  # of another user: held all the same
            own = os.open(lock, os.O_WRONLY | os.O_TRUNC)
            os.write(own, who.encode())
            os.close(own)
        return facts()

    def _start(self) -> int:
        number = len(self._children)
        said = tempfile.TemporaryFile()  # noqa: SIM115 - the pump closes it
        child = subprocess.Popen(
            [sys.executable, sys.argv[0], "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # ONNX Runtime keeps an identifier of the device in the cache; nothing stays there.
            env={**os.environ, "XDG_CACHE_HOME": os.devnull},
        )
        self._children[number] = child
        threading.Thread(target=self._pump, args=(number, child, said), daemon=True).start()
        return number

    def _pump(self, number: int, child: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        stream: Any = child.stdout
        with contextlib.suppress(EOFError, OSError):
            while True:
                message, length = read_head(stream)
                pieces = (exactly(stream, size) for size in _sizes(length))
                self._tell({**message, "from": number}, pieces, length)
        said.seek(0)
        text = said.read().decode("utf-8", "replace").strip()
        said.close()
        last = text.splitlines()[-1] if text else ""
        with contextlib.suppress(OSError):
            self._tell({"from": number, "died": child.wait(), "last": last[:200]})

    def _tell(self, message: Mapping[str, Any], pieces: Any = (), length: int = 0) -> None:
        with self._writing:
            write_frame(self._answers, message, pieces, length)


def facts() -> dict[str, Any]:
    """What this machine is, and what of engines it has."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "bits": 8 * struct.calcsize("P"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.processor(),
        "cpus": sorted(os.sched_getaffinity(0)),
        "cpu_count": os.cpu_count() or 1,
        "pid": os.getpid(),
        "versions": {name: _version(module) for name, module in MODULES.items()},
    }


def _version(module: str) -> str | None:
    """Of an installed package; ``None`` where there is none, empty where it does not tell."""
    if importlib.util.find_spec(module) is None:
        return None
    for name in (module.replace("_", "-"), module, f"{module}-gpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return ""


def _looked(globs: list[str]) -> Iterator[tuple[str, str]]:
    for pattern in globs:
        for path in sorted(glob.glob(pattern)):  # noqa: PTH207
            with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
                yield path, file.read(1 << 16).decode("utf-8", "replace")


def _opened(lock: str) -> int:
    # Systems refuse to *create* a file of another user's in /tmp; opening it is allowed.
    with contextlib.suppress(FileNotFoundError):
        return os.open(lock, os.O_RDONLY)
    before = os.umask(0)
    try:
        return os.open(lock, os.O_RDONLY | os.O_CREAT, 0o666)
    finally:
        os.umask(before)


def _sizes(length: int) -> Iterator[int]:
    while length > 0:
        yield min(length, PIECE)
        length -= PIECE
