"""The speed that the demo promises: 1×4 blocks against dense, interleaved, asserted on x86-64.

    make bench        # python -m benchmarks.speed

Also what they are compared with: scattered zeros at the same share, by the runtime's own choice and
by ours. Every file that is timed is first verified against its model. The nets have random weights:
the time of a kernel does not depend on their values, only on where the zeros are. The figures go to
``benchmarks/results/speed.json``.
"""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.benchmarking import bench_files, ratio
from edgeprune.exporting import export_model
from edgeprune.files import write_json
from edgeprune.models import kernels
from edgeprune.models.engine import set_up
from edgeprune.verification import verify_file

LEAST = 2.3
"""Times as fast as dense, 93 % of the connections gone in 1×4 blocks, one thread, x86-64."""
RESULTS = Path(__file__).resolve().parent / "results" / "speed.json"
WIDTHS = ((512, 512), (480, 480), (472, 472), (471, 467))
FORMS = [("1x4 blocks", 0.90), ("1x4 blocks", 0.93), ("1x4 blocks", 0.95), ("scattered", 0.93),
         ("scattered", 0.95), ("scattered", 0.98)]  # fmt: skip


def mlp(first: int = 512, second: int = 512) -> Any:
    """784-512-512-10 or with other hidden widths, random weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((784,), name="image"),
            layers.Dense(first, activation="relu", name="hidden_1"),
            layers.Dense(second, activation="relu", name="hidden_2"),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )


def zeroed(form: str, share: float) -> Any:
    """The net with this share of its connections zero, scattered or in 1×4 blocks."""
    random = np.random.default_rng(0)
    model = mlp()
    for kernel in kernels(model).values():
        value = np.asarray(kernel.variable)
        if form == "scattered":
            keep = random.random(value.shape) >= share
        else:
            blocks = random.random((len(value) // 4, value.shape[1])) >= share
            keep = np.repeat(blocks, 4, axis=0)
        kernel.variable.assign(value * keep)
    return model


def measured(folder: Path) -> list[dict[str, Any]]:
    """Every form against dense, in one interleaved run."""
    inputs = np.random.default_rng(1).random((64, 784), np.float32)
    artifacts = [export_model(mlp(), folder / "dense.tflite")]
    for form, share in FORMS:
        model = zeroed(form, share)
        path = folder / f"{form}-{share}.tflite".replace(" ", "-")
        artifact = export_model(model, path, sparse=True)
        verify_file(artifact, model, inputs)
        artifacts.append(artifact)
    dense, *sparse = bench_files([artifact.path for artifact in artifacts], runs=500)
    rows = [_row("dense", 0.0, artifacts[0].size_bytes, dense.median_ms, 1.0)]
    for (form, share), artifact, measurement in zip(FORMS, artifacts[1:], sparse, strict=True):
        faster = ratio(dense, measurement)
        rows.append(_row(form, share, artifact.size_bytes, measurement.median_ms, faster))
    facts = {"runtime": [dense.runtime, dense.runtime_version], "device": dense.device}
    write_json(RESULTS, {**facts, "rows": rows, "by_width": by_width(folder)})
    return rows


def by_width(folder: Path) -> list[dict[str, Any]]:
    """Dense nets of other hidden widths, in one interleaved run: fewer units can be slower."""
    paths = [
        export_model(mlp(*widths), folder / f"{widths[0]}-{widths[1]}.tflite").path
        for widths in WIDTHS
    ]
    return [
        {"widths": list(widths), "median_us": round(measurement.median_ms * 1000, 2)}
        for widths, measurement in zip(WIDTHS, bench_files(paths, runs=500), strict=True)
    ]


def _row(form: str, share: float, size: int, median_ms: float, faster: float) -> dict[str, Any]:
    return {
        "form": form,
        "zeros": share,
        "bytes": size,
        "median_us": round(median_ms * 1000, 2),
        "times_as_fast": round(faster, 3),
    }


def main() -> int:
    """Measure, print, and judge where a target is set."""
    set_up(threads=2)
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(Path(folder))
    for row in rows:
        print(
            f"{row['form']:<12} {row['zeros']:>5.0%} {row['bytes']:>10,} B "
            f"{row['median_us']:>8.1f} µs {row['times_as_fast']:>6.2f} ×"
        )
    found = next(r for r in rows if (r["form"], r["zeros"]) == ("1x4 blocks", 0.93))
    if platform.machine() not in ("x86_64", "AMD64"):
        print(f"no target is set for this CPU ({platform.machine()})")
        return 0
    if found["times_as_fast"] < LEAST:
        print(f"93 % in 1x4 blocks: {found['times_as_fast']} times as fast, below {LEAST}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
