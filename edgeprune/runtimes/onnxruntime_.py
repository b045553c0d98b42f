"""ONNX Runtime, inside the child: one loaded ``.onnx``, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
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


def _about(port: Any) -> dict[str, Any]:
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    shape = [size if isinstance(size, int) else -1 for size in port.shape]
    return {"name": port.name, "shape": shape, "dtype": _TYPES.get(kind, kind)}
