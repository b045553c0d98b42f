"""The demo's roads on Fashion-MNIST, with the demo's own recipes.

    apt-get install dataset-fashion-mnist     # Debian and Ubuntu; MIT licence, Zalando
    make bench-fashion                        # python -m benchmarks.fashion

Nothing is promised here: the recipes were chosen for the digits, and the table shows what they give
on a harder set. Figures go to ``benchmarks/results/fashion.json``.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np

from edgeprune.cli.faults import guarded
from edgeprune.cli.terminal import Session
from edgeprune.errors import DataError
from edgeprune.files import write_json, writing
from edgeprune.pipeline import run
from examples.mnist.demo import ROADS, after, before, main_table, rehearsal_table, speed_up
from examples.mnist.train import EPOCHS, train

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build" / "fashion"
RESULTS = HERE / "results" / "fashion.json"
SOURCE = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "b0564c3eedab"),
    "y_train": ("train-labels-idx1-ubyte.gz", "0ae29f65d866"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "cc1d090a38ac"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "8d3605d196f4"),
}


def packed(path: Path) -> None:
    """Write the set as an ``.npz`` with the demo's names.

    Raises:
        DataError: the Debian package is not installed, or holds other files.
    """
    arrays = {}
    for name, (file, digest) in FILES.items():
        place = SOURCE / file
        if not place.exists():
            raise DataError(f"{place}: not there; apt-get install dataset-fashion-mnist")
        data = place.read_bytes()
        if not hashlib.sha256(data).hexdigest().startswith(digest):
            raise DataError(f"{place}: another file than the one the figures are for")
        raw = gzip.decompress(data)
        rank = raw[3]
        shape = np.frombuffer(raw, ">i4", rank, offset=4)
        arrays[name] = np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
    with writing(path) as temporary, temporary.open("wb") as out:
        np.savez_compressed(out, **arrays)


def compare(session: Session) -> int:
    """Train, run every road, show and keep the figures."""
    session.hush()
    progress = session.progress
    data, model = BUILD / "fashion.npz", BUILD / "mlp.keras"
    if not data.exists():
        packed(data)
    if not model.exists():
        with progress.task("train the dense model", EPOCHS) as task:
            train(model, told=lambda note: task.advance(note=note), data=data)
    results = {}
    for road in ROADS:
        shutil.copy(HERE.parent / "examples" / "mnist" / f"{road}.toml", BUILD)
        sets = [f'data.{role}.path="fashion.npz"' for role in ("train", "evaluate")]
        results[road] = run(BUILD / f"{road}.toml", sets=sets, progress=progress)
    session.print(rehearsal_table(results))
    session.print(main_table(results))
    first = next(iter(results.values()))
    rows = {"dense": {"accuracy": before(first).metric, "bytes": before(first).size_bytes}}
    for road, result in results.items():
        row = after(result)
        rows[road] = {
            "score": result.method,
            "accuracy": row.metric,
            "lost": row.drop,
            "sparsity": result.sparsity,
            "macs": row.macs,
            "bytes": row.size_bytes,
            "times_as_fast": round(speed_up(result), 2),
            "rehearsal": result.facts.get("rehearsal"),
        }
    facts = {"seed": first.facts["seed"], "seeds": 1, "versions": dict(first.versions)}
    write_json(RESULTS, {**facts, "rows": rows})
    return 0


if __name__ == "__main__":
    shown = Session()
    sys.exit(guarded(shown, lambda: compare(shown)))
