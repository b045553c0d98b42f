"""ONNX Runtime, inside the child: one loaded ``.onnx``, on the CPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgeprune.runtimes.wire import Array

_TYPES = {"float": "float32", "double": "float64"}


class Session:
    """A file, loaded."""

    def __init__(self, path: str, threads: int) -> None:
        # Older ones have no such switch, and nothing to switch off.
        getattr(onnxruntime, "disable_telemetry_events", lambda: None)()
        self._path, self._threads = path, threads
        self._session = _opened(path, _options(threads))
        self._feed: dict[str, Array] = {}
        self._answers: list[Array] = []

    def inputs(self) -> list[dict[str, Any]]:
        """Name, shape (-1: free) and dtype of every input, in the file's order."""
        return [_about(port) for port in self._session.get_inputs()]

    def outputs(self) -> list[dict[str, Any]]:
        """Likewise of every output."""
        return [_about(port) for port in self._session.get_outputs()]

    def set(self, values: Sequence[Array]) -> None:
        """Put one batch where the next :meth:`invoke` reads it."""
        names = [port.name for port in self._session.get_inputs()]
        self._feed = dict(zip(names, values))

    def invoke(self) -> None:
        """One inference: this is what is timed."""
        self._answers = self._session.run(None, self._feed)

    def profile(self, values: Sequence[Array], runs: int) -> list[dict[str, Any]]:
        """By node, in the order in which they run: ``name``, ``op``, and ``us``, microseconds of
        an inference, by the engine's own profiler."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(self._threads)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = _opened(self._path, options)
            feed = dict(zip((port.name for port in session.get_inputs()), values))
            for _ in range(runs + max(runs // 10, 1)):
                session.run(None, feed)
            return _nodes(json.loads(Path(session.end_profiling()).read_bytes()), runs)

    def get(self) -> list[Array]:
        """The outputs of the last :meth:`invoke`."""
        return [np.asarray(answer) for answer in self._answers]

    def many(self, values: Sequence[Array]) -> list[Array]:
        """A batch of the file's fixed size after another."""
        step = self._session.get_inputs()[0].shape[0]
        parts = []
        for start in range(0, len(values[0]), step):
            self.set([value[start : start + step] for value in values])
            self.invoke()
            parts.append(self.get())
        return [np.concatenate(part) for part in zip(*parts)]


_TIMED = "_kernel_time"


def _nodes(events: Sequence[dict[str, Any]], runs: int) -> list[dict[str, Any]]:
    """By node, microseconds of an inference over the last ``runs`` of them."""
    taken: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_TIMED):
            key = (event["name"][: -len(_TIMED)], event["args"]["op_name"])
            taken.setdefault(key, []).append(event["dur"])
    return [
        {"name": name, "op": op, "us": sum(each[-runs:]) / runs}
        for (name, op), each in taken.items()
    ]


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _opened(path: str, options: Any) -> Any:
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _about(port: Any) -> dict[str, Any]:
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    shape = [size if isinstance(size, int) else -1 for size in port.shape]
    return {"name": port.name, "shape": shape, "dtype": _TYPES.get(kind, kind)}
