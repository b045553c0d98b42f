"""What timing through edgeprune adds to a bare loop around the interpreter, held to 2 %.

    make bench-overhead        # python -m benchmarks.overhead

In one process and on one loaded interpreter, so that neither two processes' memory nor two loads
differ: rounds of the loop that takes the samples of ``edgeprune bench`` and rounds of a bare loop,
which reads the clock every ten inferences, take turns. Compared is the time of an inference, the
median over tens of them, round by round. Both must answer the same. The figures go to
``benchmarks/results/overhead.json``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from benchmarks.speed import mlp
from edgeprune.benchmarking.devices import this_device
from edgeprune.benchmarking.statistics import ratio_interval
from edgeprune.exporting import export_model
from edgeprune.files import write_json
from edgeprune.models.engine import set_up
from edgeprune.runtimes.engines import engine_of
from edgeprune.runtimes.worker import _Worker as Worker

MOST = 0.02
ROUNDS = 60
RUNS = 500
SPAN = 10
"""Inferences between two looks at the bare loop's clock; medians are of these, which others who
want the CPU seldom hit."""
RESULTS = Path(__file__).resolve().parent / "results" / "overhead.json"


def bare(worker: Any, path: Path, inputs: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The interpreter's own call on these inputs, and what it answers."""
    if path.suffix == ".tflite":
        interpreter = worker._session._interpreter
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.set_tensor(taken["index"], inputs)
        return interpreter.invoke, lambda: interpreter.get_tensor(given["index"])
    session = worker._session._session
    feed = {session.get_inputs()[0].name: inputs}
    return lambda: session.run(None, feed), lambda: session.run(None, feed)[0]


def added(path: Path) -> dict[str, Any]:
    """The ratio of the two, with its interval."""
    inputs = np.random.default_rng(1).random((1, 784), np.float32)
    worker = Worker()
    asked = {"verb": "load", "driver": engine_of(path).driver, "path": str(path), "threads": 1}
    worker.do(asked, [])
    _, (answer,) = worker.do({"verb": "prepare"}, [inputs])
    invoke, read = bare(worker, path, inputs)
    invoke()
    assert np.array_equal(answer, read()), "the two loops do not run the same"
    plain, timed = [], []
    worker.do({"verb": "time", "runs": 1, "warmup": 4 * RUNS}, [])
    for _ in range(ROUNDS):
        for _ in range(RUNS // 10):
            invoke()
        spans = [perf_counter_ns()]
        for _ in range(RUNS // SPAN):
            for _ in range(SPAN):
                invoke()
            spans.append(perf_counter_ns())
        plain.append(float(np.median(np.diff(spans))) / SPAN)
        reply, _ = worker.do({"verb": "time", "runs": RUNS, "warmup": RUNS // 10}, [])
        timed.append(float(np.median(np.reshape(reply["ns"], (-1, SPAN)).mean(axis=1))))
    assert np.array_equal(answer, read()), "the answers changed"
    ratio = ratio_interval(plain, timed, paired=True)
    return {
        "file": path.suffix,
        "runtime": [engine_of(path).name, engine_of(path).version],
        "bare_us": round(float(np.median(plain)) / 1000, 2),
        "ratio": {key: round(value, 4) for key, value in ratio.facts().items()},
    }


def main() -> int:
    """Measure, print, and judge."""
    set_up(threads=2)
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for suffix in (".tflite", ".onnx"):
            path = Path(folder) / f"net{suffix}"
            export_model(mlp(), path)
            rows.append(added(path))
    write_json(RESULTS, {"device": this_device(), "rows": rows})
    broken = False
    for row in rows:
        ratio = row["ratio"]
        over = not 1 - MOST <= ratio["value"] <= 1 + MOST
        broken |= over
        print(
            f"{row['file']:<8} {row['bare_us']:>8.2f} µs bare, through edgeprune "
            f"{ratio['value']:.4f} times ({ratio['low']:.4f} to {ratio['high']:.4f})"
            f"{': beyond 2 %' if over else ''}"
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
