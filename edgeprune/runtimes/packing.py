"""The agent: what runs on a board, as one file that any Python from 3.9 on runs, with no edgeprune
there. It is the children's side of this room, so a board times files as this machine does."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = ("caches", "frames", "litert", "onnxruntime_", "supervisor", "wire", "worker")
MAIN = """\
import sys

if sys.version_info < (3, 9):
    sys.exit("edgeprune's agent needs Python 3.9 or newer, this is %d.%d" % sys.version_info[:2])
from edgeprune.runtimes.supervisor import main

sys.exit(main(sys.argv[1:]))
"""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def agent_bytes() -> bytes:
    """The agent's file; the same bytes for the same edgeprune."""
    files = {
        "__main__.py": MAIN,
        "edgeprune/__init__.py": "",
        "edgeprune/runtimes/__init__.py": "",
        **{f"edgeprune/runtimes/{name}.py": _source(name) for name in MODULES},
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            # Stored: another zlib would make other bytes.
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), text)
    return content.getvalue()


def _source(name: str) -> str:
    return (HERE / f"{name}.py").read_text(encoding="utf-8")
