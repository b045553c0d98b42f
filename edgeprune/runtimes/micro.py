"""What the extra ``micro`` brings: tools for microcontrollers, each run in a child process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import ArtifactError, MeasurementError, VersionError

EXTRA = "edgeprune[micro]"
_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Tool:
    """A tool of the extra.

    Attributes:
        title: as people call it.
        does: what it is needed for.
        module: what is imported.
        distribution: what pip installs.
    """

    title: str
    does: str
    module: str
    distribution: str

    @property
    def version(self) -> str:
        """The installed version.

        Raises:
            VersionError: it is not installed.
        """
        if importlib.util.find_spec(self.module) is None:
            raise VersionError(
                f"{self.title} is not installed, which {self.does}; run: pip install '{EXTRA}'"
            )
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"


TFLITE_MICRO = Tool(
    "TensorFlow Lite Micro", "tells the arena of a file", "tflite_micro", "tflite-micro"
)
VELA = Tool(
    "ethos-u-vela", "compiles and estimates for an Ethos-U accelerator", "ethosu", "ethos-u-vela"
)


def told(tool: Tool, module: str, arguments: Sequence[str], path: Path, doing: str) -> str:
    """What a module of Python, run in a child, wrote on both its streams.

    Args:
        tool: for messages.
        module: to run, as ``python -m``.
        arguments: of it.
        path: of the file it works on, for messages.
        doing: what it does with the file, for messages.

    Raises:
        ArtifactError: it failed or died; the message has its last line.
        MeasurementError: it did not end in five minutes.
    """
    # -P: a module of the user's folder must not stand in for one of ours.
    command = [sys.executable, "-P", "-m", module, *arguments]
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(
            f"{path}: {tool.title} gave no answer in {_TIMEOUT_S:g} s while {doing}; it was ended"
        ) from None
    text = done.stdout.decode("utf-8", errors="replace")
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        raise ArtifactError(
            f"{path}: {tool.title} {tool.version} fails {doing} ({how}: {_reason(text)}); "
            "the file holds what it cannot run, or is damaged"
        )
    return text


def _reason(text: str) -> str:
    """What of a failure's output says why: what was written before the traceback, and its end."""
    before, _, trace = text.partition("Traceback (most recent call last):")
    said = [line.strip() for line in before.splitlines() if line.strip()]
    end = [line.strip() for line in trace.splitlines() if line.strip()]
    parts = [*said[:2], *end[-1:]]
    return "; ".join(part[:200] for part in parts) or "it said nothing"
