"""The parent's side: one child process for each file, and what becomes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError, MeasurementError
from edgeprune.runtimes.engines import engine_of
from edgeprune.runtimes.feeds import fitted, ordered, quantized, real
from edgeprune.runtimes.wire import Array, receive, send

_CHUNK_BYTES = 64 * 2**20
"""Of inputs sent at once: what a child holds beside its model."""


class Link(Protocol):
    """The child that holds a file: of this process, or of an agent on a board.

    Attributes:
        place: of the file, where the child is.
        version: of the engine there.
        on: behind the engine's name in messages; empty on this machine.
    """

    place: str
    version: str
    on: str

    def send(self, message: Mapping[str, Any], arrays: Sequence[Array]) -> None:
        """A request; ``OSError`` where the child has gone."""
        ...

    def receive(self) -> tuple[dict[str, Any], list[Array]]:
        """The next answer; ``EOFError`` where the child has gone."""
        ...

    def kill(self) -> None:
        """End the child at once."""
        ...

    def death(self) -> tuple[int, str]:
        """Of a child that has gone: its exit code (negative: a signal), and its last line."""
        ...

    def close(self) -> None:
        """End the child, and wait until it is gone."""
        ...


class Runner:
    """A file in its engine, in a child of its own; use it in a ``with`` block.

    Attributes:
        path: of the file.
        engine: that runs it.
        inputs, outputs: as the engine sees them, in the file's order.
        elapsed_ns: by the clock around what :meth:`time` counted, all calls together.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        threads: int = 1,
        timeout: float = 300.0,
        link: Link | None = None,
    ) -> None:
        """Start the child and load the file.

        Args:
            path: a ``.tflite`` or ``.onnx``.
            threads: that the engine gets.
            timeout: seconds that one request may take.
            link: to the child, started already; one of this process where ``None``.

        Raises:
            ArtifactError: no such file, the engine refuses it, or dies of it.
            VersionError: the engine is not installed.
            MeasurementError: no answer in time, or the connection to a board broke.
        """
        self.path = Path(path)
        self.engine = engine_of(self.path)
        self.version = link.version if link is not None else self.engine.version
        if not self.path.is_file():
            raise ArtifactError(f"{self.path}: no such file")
        self._timeout = timeout
        self._late = False
        self.elapsed_ns = 0
        self._named = self.engine.title + (link.on if link is not None else "")
        self._link: Link = link or _Child(str(self.path.resolve()), self.version)
        try:
            ports, _ = self._ask(
                {
                    "verb": "load",
                    "driver": self.engine.driver,
                    "path": self._link.place,
                    "threads": threads,
                },
                doing="loading it",
            )
        except BaseException:
            self.close()
            raise
        self.inputs = tuple(_port(about) for about in ports["inputs"])
        self.outputs = tuple(_port(about) for about in ports["outputs"])

    def infer(self, inputs: Sequence[Array] | Mapping[str, Array]) -> list[Array]:
        """What the file answers for every sample.

        Args:
            inputs: one array per input, in the file's order or by name; all samples along axis 0.

        Returns:
            One array per output, in the file's order, all samples along axis 0.

        Raises:
            DataError: inputs that do not fit the file (names shape and dtype).
            ArtifactError, MeasurementError: as :meth:`__init__`.
        """
        arrays = fitted(inputs, self.inputs, str(self.path))
        samples = len(arrays[0])
        batch = max(self.inputs[0].shape[0], 1) if self.inputs[0].shape else 1
        size = max(1, sum(array[:1].nbytes for array in arrays))
        step = max(1, min(_CHUNK_BYTES // size, 1024 if self.inputs[0].shape[0] < 0 else samples))
        step = -(-step // batch) * batch
        parts = []
        for start in range(0, samples, step):
            part = [array[start : start + step] for array in arrays]
            short = -len(part[0]) % batch
            if short:
                # A fixed batch takes no fewer: the last sample stands in, and is cut off again.
                part = [np.concatenate([a, np.repeat(a[-1:], short, axis=0)]) for a in part]
            _, answers = self._ask({"verb": "infer"}, part, doing="running it")
            parts.append(answers)
        return [np.concatenate(part)[:samples] for part in zip(*parts, strict=True)]

    def answer(self, inputs: Sequence[Array] | Mapping[str, Array]) -> list[Array]:
        """:meth:`infer` in real numbers: where the file takes or gives whole numbers that stand
        for real ones, they are made from them, and back."""
        arrays = ordered(inputs, self.inputs, str(self.path))
        given = self.infer(
            [quantized(a, port) for a, port in zip(arrays, self.inputs, strict=True)]
        )
        return [real(a, port) for a, port in zip(given, self.outputs, strict=True)]

    def predict(self, x: Any) -> Any:
        """:meth:`answer` as a Keras model is called: ``x`` is an array, or a tuple, list or mapping
        of arrays; so is what comes back (one array, or a tuple for several outputs)."""
        several = isinstance(x, tuple | list | Mapping)
        answers = self.answer(x if several else [x])
        return answers[0] if len(answers) == 1 else tuple(answers)

    def prepare(self, inputs: Sequence[Array]) -> list[Array]:
        """Set one batch, in the file's order and dtypes, and run it once, apart from what
        :meth:`time` counts; what it answers."""
        return self._ask({"verb": "prepare"}, inputs, doing="its first inference")[1]

    def time(self, runs: int, warmup: int = 0) -> list[int]:
        """Nanoseconds of each of ``runs`` inferences of the batch given to :meth:`prepare`,
        after ``warmup`` uncounted ones; taken inside the child."""
        reply, _ = self._ask({"verb": "time", "runs": runs, "warmup": warmup}, doing="timing it")
        self.elapsed_ns += int(reply["elapsed_ns"])
        return [int(taken) for taken in reply["ns"]]

    def profile(self, inputs: Sequence[Array], runs: int) -> list[dict[str, Any]]:
        """By node, where the time of an inference goes: ``name``, ``op``, ``us`` (microseconds), by
        the engine's own profiler.

        Raises:
            MeasurementError: the engine has none that Python reaches.
        """
        if self.engine.name != "onnxruntime":
            raise MeasurementError(
                f"{self.path}: not measured: {self.engine.title} has no profiler in Python; "
                "profile the .onnx of the same model"
            )
        reply, _ = self._ask({"verb": "profile", "runs": runs}, inputs, doing="profiling it")
        return list(reply["nodes"])

    @property
    def facts(self) -> dict[str, int]:
        """``baseline_memory_bytes``, ``peak_memory_bytes``, ``load_ns``, ``first_ns`` so far."""
        reply, _ = self._ask({"verb": "facts"}, doing="saying its memory")
        return {key: int(value) for key, value in reply.items()}

    def close(self) -> None:
        """End the child, and wait until it is gone."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, request: Mapping[str, Any], arrays: Sequence[Array] = (), *, doing: str
    ) -> tuple[dict[str, Any], list[Array]]:
        guard = threading.Timer(self._timeout, self._give_up)
        guard.daemon = True
        guard.start()
        try:
            self._link.send(request, arrays)
            reply, results = self._link.receive()
        except (OSError, EOFError):
            raise self._died(doing) from None
        finally:
            guard.cancel()
        if "error" in reply:
            raise ArtifactError(
                f"{self.path}: {self._named} fails {doing} ({reply['error']}); "
                "export it again, or use another format"
            )
        return reply, results

    def _give_up(self) -> None:
        self._late = True
        self._link.kill()

    def _died(self, doing: str) -> ArtifactError | MeasurementError:
        code, last = self._link.death()
        if self._late:
            return MeasurementError(
                f"{self.path}: {self._named} gave no answer in {self._timeout:g} s while "
                f"{doing}; its child process was ended"
            )
        last = f": {last}" if last else ""
        how = f"signal {-code} ({_signal(-code)})" if code < 0 else f"exit code {code}"
        return ArtifactError(
            f"{self.path}: {self._named} died while {doing} ({how}{last}); "
            "the file is damaged, or this version of the engine cannot run it"
        )


def run_file(
    path: Path | str, inputs: Sequence[Array] | Mapping[str, Array], *, threads: int = 1
) -> list[Array]:
    """What a file answers for every sample, in real numbers; arguments and errors as
    :class:`Runner`."""
    with Runner(path, threads=threads) as runner:
        return runner.answer(inputs)


class _Child:
    """A :class:`Link` to a child of this process."""

    on = ""

    def __init__(self, place: str, version: str) -> None:
        self.place = place
        self.version = version
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = _started(self._said)

    def send(self, message: Mapping[str, Any], arrays: Sequence[Array]) -> None:
        assert self._process.stdin is not None
        send(self._process.stdin, message, arrays)  # type: ignore[arg-type]

    def receive(self) -> tuple[dict[str, Any], list[Array]]:
        assert self._process.stdout is not None
        return receive(self._process.stdout)  # type: ignore[arg-type]

    def kill(self) -> None:
        self._process.kill()

    def death(self) -> tuple[int, str]:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", errors="replace").strip().splitlines()
        return code, lines[-1][:200] if lines else ""

    def close(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()
        self._said.close()


def _started(said: Any) -> subprocess.Popen[bytes]:
    # -P: a module of the user's folder must not stand in for one of ours.
    command = [sys.executable, "-P", "-m", "edgeprune.runtimes.worker"]
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _port(about: Mapping[str, Any]) -> Port:
    return Port(
        str(about["name"]),
        tuple(about["shape"]),
        str(about["dtype"]),
        scale=about.get("scale"),
        zero_point=about.get("zero_point", 0),
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
