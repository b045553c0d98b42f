"""What surgery costs, as ratios in one run: ``python -m benchmarks.surgery``.

CPU time of ``trace`` + ``zero`` + ``strip``, with a third of every free group cut, against
``keras.models.clone_model`` of the same model; and how it grows with the number of layers. Every
stripped model is compared with the silenced one, so that what was timed was right.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.models import macs
from edgeprune.plans import Plan
from edgeprune.surgery import strip, trace, zero

RESULTS = Path(__file__).resolve().parent / "results" / "surgery.json"
MODELS = ("MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")
LENGTHS = (50, 100, 200, 400, 800)
TIMES = 3
L = keras.layers


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of ``work``, and what it returned."""
    start = time.process_time()
    done = work()
    return time.process_time() - start, done


def plan_for(model: Any) -> Plan:
    """Every third channel of each free group."""
    graph = trace(model)
    cuts = {g.name: range(0, g.size, 3) for g in graph.free if g.size > 3}
    return Plan.cut(graph, cuts)


def once(model: Any, plan: Plan) -> dict[str, float]:
    """The steps and the clone, one after the other."""
    clone, _ = seconds(lambda: keras.models.clone_model(model))
    traced, _ = seconds(lambda: trace(model))
    zeroing, zeroed = seconds(lambda: zero(model, plan))
    stripping, small = seconds(lambda: strip(zeroed))
    x = np.random.default_rng(0).normal(size=(1, *model.inputs[0].shape[1:])).astype("f") * 60
    wanted, got = np.asarray(zeroed(x)), np.asarray(small(x))
    assert np.abs(wanted - got).max() <= 1e-4 * max(np.abs(wanted).max(), 1e-6), model.name
    assert macs(small) < macs(model), model.name
    return {"clone": clone, "trace": traced, "zero": zeroing, "strip": stripping}


def measured(model: Any) -> dict[str, float]:
    """The fastest of several, each step by itself, and their ratio to the clone."""
    plan = plan_for(model)
    runs = [once(model, plan) for _ in range(TIMES)]
    best = {step: min(run[step] for run in runs) for step in runs[0]}
    ratio = (best["trace"] + best["zero"] + best["strip"]) / best["clone"]
    return {**best, "ratio": ratio}


def chain(length: int) -> Any:
    """A residual chain of ``length`` convolutions."""
    x = i = keras.Input((4, 4, 3))
    x = L.Conv2D(8, 1, name="stem")(x)
    for number in range(length // 2):
        y = L.Conv2D(8, 1, activation="relu", name=f"in_{number}")(x)
        x = L.Add(name=f"add_{number}")([x, L.Conv2D(8, 1, name=f"out_{number}")(y)])
    return keras.Model(i, L.GlobalAveragePooling2D()(x))


def main() -> int:
    """Measure, print a line each, and keep the numbers."""
    found: dict[str, Any] = {"models": {}, "chains": {}}
    for name in MODELS:
        keras.backend.clear_session()
        model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
        found["models"][name] = measured(model)
        print(name, json.dumps(found["models"][name]), flush=True)
    for length in LENGTHS:
        keras.backend.clear_session()
        cost = measured(chain(length))
        found["chains"][length] = cost
        print(
            length, f"{1000 * (cost['trace'] + cost['strip']) / length:.2f} ms a layer", flush=True
        )
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
