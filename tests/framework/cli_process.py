"""The program in one process of its own: TensorFlow is loaded once for many commands, and what a
command prints is what a terminal would get."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVER = """
import json, os, sys
from edgeprune.cli import main
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    folder, arguments = json.loads(line)
    os.chdir(folder)
    saved = os.dup(1), os.dup(2)
    places = [os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
              for name in (".out", ".err")]
    os.dup2(places[0], 1)
    os.dup2(places[1], 2)
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(saved[0], 1)
    os.dup2(saved[1], 2)
    print(code, file=answers, flush=True)
"""


TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?")
"""Names that ``tempfile`` makes for files and folders of ours before they are renamed."""


def temporaries(folder: Path) -> list[str]:
    """What a write that was broken off would leave."""
    return [str(path) for path in folder.rglob(".*") if TEMPORARY.fullmatch(path.name)]


class Program:
    """Answers :meth:`__call__` with exit code, stdout, stderr."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, folder: Path, *arguments: object) -> tuple[int, str, str]:
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(json.dumps([str(folder), list(map(str, arguments))]) + "\n")
        self._child.stdin.flush()
        code = int(self._child.stdout.readline())
        out, err = ((folder / name).read_text() for name in (".out", ".err"))
        return code, out, err

    def facts(self, folder: Path, *arguments: object) -> Any:
        """What a command that succeeds prints with ``--json``; nothing else is on stdout."""
        code, out, err = self(folder, *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def close(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()
