"""What a machine must have, and has."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgeprune.progress import SILENT, Progress
from edgeprune.versions import requirements

ENGINES = {
    "tensorflow": "import tensorflow as m; print(m.__version__)",
    "keras": "import keras as m; print(m.__version__, m.backend.backend())",
    "LiteRT": "import ai_edge_litert.interpreter as m; print('')",
    "ONNX Runtime": "import onnxruntime as m; print(m.__version__)",
}
"""Loaded in a child each: what is installed may still not load (missing AVX, a wrong libc)."""

FREE_GB = 1.0
"""Below this a run on a middling model may fill the disk with its checkpoints."""


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        what: it is.
        found: as it is here.
        ok: False where edgeprune cannot work like this; ``None`` where it can, with a remark.
        remedy: how to get it; empty where nothing is wrong.
    """

    what: str
    found: str
    ok: bool | None = True
    remedy: str = ""


def examined(progress: Progress = SILENT) -> list[Check]:
    """Look at everything."""
    checks = [_python(), _machine(), _libraries_known(), *_libraries()]
    with progress.task("loading the engines", len(ENGINES)) as task:
        for name, code in ENGINES.items():
            checks.append(_engine(name, code))
            task.advance(note=name)
    return [*checks, _disk("free here", Path()), _disk("free for temporary files", _temporary())]


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("Python", found)
    return Check("Python", found, False, "install Python 3.11, 3.12 or 3.13")


def _machine() -> Check:
    mine = getattr(os, "sched_getaffinity", None)
    cores = len(mine(0)) if mine else os.cpu_count()
    found = f"{platform.system()} {platform.machine()}, {cores} cores"
    if platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64"):
        return Check("machine", found)
    return Check("machine", found, None, "only Linux on x86-64 and arm64 is tested")


def _libraries_known() -> Check:
    count = len(requirements())
    if count:
        return Check("edgeprune", f"asks for {count} libraries")
    return Check("edgeprune", "no metadata: run from a folder", None, "install it: pip install .")


def _libraries() -> list[Check]:
    return [
        Check(
            each.name,
            f"{each.found or 'missing'} ({each.bound})" if each.bound else str(each.found),
            each.fits,
            each.line,
        )
        for each in requirements()
    ]


def _engine(name: str, code: str) -> Check:
    what = f"{name} loads"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check(what, "no answer in 120 s", False, "see why: is the machine overloaded?")
    if done.returncode == 0:
        return Check(what, " ".join(["yes", *done.stdout.split()]))
    if done.returncode < 0:
        died = signal.Signals(-done.returncode).name
        hint = "this CPU may lack AVX" if died == "SIGILL" else "reinstall it"
        return Check(what, f"dies with {died}", False, hint)
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Check(what, "no", False, f"{last[:160]}; reinstall it")


def _disk(what: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 1e9
    if not os.access(folder, os.W_OK):
        return Check(what, f"{free:.1f} GB, not writable", None, "work in a folder of your own")
    if free < FREE_GB:
        return Check(what, f"{free:.1f} GB", None, f"have {FREE_GB:.0f} GB or more free")
    return Check(what, f"{free:.1f} GB")


def _temporary() -> Path:
    return Path(tempfile.gettempdir())
