"""The child process: loads one file into one engine and does what its parent asks.

Requests come on stdin, answers go to what stdout was; whatever an engine prints goes to stderr,
which the parent keeps for its error messages.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune.runtimes.wire import Array, receive, send


def main() -> int:
    """Serve until the parent closes its end."""
    # Ctrl-C reaches the whole group: the parent decides what becomes of its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    worker = _Worker()
    while True:
        try:
            request, arrays = receive(sys.stdin.buffer)
        except EOFError:
            return 0
        try:
            reply, results = worker.do(request, arrays)
        except Exception as error:
            text = " ".join(str(error).split())
            reply, results = {"error": f"{type(error).__name__}: {text}"[:400]}, []
        try:
            send(answers, reply, results)
        except BrokenPipeError:
            return 0


class _Worker:
    def __init__(self) -> None:
        self._session: Any = None
        self._facts: dict[str, int] = {}

    def do(
        self, request: Mapping[str, Any], arrays: list[Array]
    ) -> tuple[dict[str, Any], list[Array]]:
        verb = request["verb"]
        if verb == "load":
            return self._load(request), []
        if verb == "infer":
            return {}, self._infer(arrays)
        if verb == "prepare":
            return {}, self._prepare(arrays)
        if verb == "time":
            return self._time(request["runs"], request["warmup"]), []
        if verb == "profile":
            return {"nodes": self._session.profile(arrays, request["runs"])}, []
        return {**self._facts, "peak_memory_bytes": peak_memory()}, []

    def _load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        driver = importlib.import_module(request["driver"])
        self._facts["baseline_memory_bytes"] = peak_memory()
        begin = time.perf_counter_ns()
        self._session = driver.Session(request["path"], request["threads"])
        self._facts["load_ns"] = time.perf_counter_ns() - begin
        return {"inputs": self._session.inputs(), "outputs": self._session.outputs()}

    def _infer(self, arrays: list[Array]) -> list[Array]:
        if any(about["shape"][:1] == [-1] for about in self._session.inputs()):
            self._session.set(arrays)
            self._session.invoke()
            return self._session.get()
        return self._session.many(arrays)

    def _prepare(self, arrays: list[Array]) -> list[Array]:
        self._session.set(arrays)
        begin = time.perf_counter_ns()
        self._session.invoke()
        self._facts["first_ns"] = time.perf_counter_ns() - begin
        answers: list[Array] = self._session.get()
        return answers

    def _time(self, runs: int, warmup: int) -> dict[str, Any]:
        invoke, clock = self._session.invoke, time.perf_counter_ns
        for _ in range(warmup):
            invoke()
        taken = [0] * runs
        start = clock()
        for run in range(runs):
            begin = clock()
            invoke()
            taken[run] = clock() - begin
        return {"ns": taken, "elapsed_ns": clock() - start}


def peak_memory() -> int:
    """High-water mark of this process' resident memory in bytes.

    From ``/proc``: what ``getrusage`` says is inherited from the parent.
    """
    try:
        with Path("/proc/self/status").open(encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())
