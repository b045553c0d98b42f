"""What surgery costs, as ratios in one run: ``make bench-surgery``.

CPU time of ``trace`` + ``zero`` + ``strip``, with a third of every free group cut, against
``keras.models.clone_model`` of the same model, how it grows with the number of layers, and the
largest amount of memory that one call takes beside the model it is given. Every stripped model is
compared with the silenced one, so that what was timed was right. Kept in
``benchmarks/results/surgery.json``; 1 where a promise is broken.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.files import write_json
from edgeprune.models import macs
from edgeprune.plans import Plan
from edgeprune.surgery import cut, strip, trace, zero

RESULTS = Path(__file__).resolve().parent / "results" / "surgery.json"
MODELS = ("MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")
LENGTHS = (50, 100, 200, 400, 800)
TIMES = 3
MOST = 4.0
"""Times the CPU time of a clone, at most."""
GROWTH = 2.0
"""Times the cost of a layer in the shortest chain, at most, in the longest."""
SPARE_MB = 16
"""What Python and TensorFlow take beside arrays of weights."""
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
    return {step: round(value, 4) for step, value in {**best, "ratio": ratio}.items()}


def chain(length: int) -> Any:
    """A residual chain of ``length`` convolutions."""
    x = i = keras.Input((4, 4, 3))
    x = L.Conv2D(8, 1, name="stem")(x)
    for number in range(length // 2):
        y = L.Conv2D(8, 1, activation="relu", name=f"in_{number}")(x)
        x = L.Add(name=f"add_{number}")([x, L.Conv2D(8, 1, name=f"out_{number}")(y)])
    return keras.Model(i, L.GlobalAveragePooling2D()(x))


def resident() -> float:
    """Memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak(work: Callable[[], Any]) -> float:
    """The most memory in MB that ``work`` took beside what was there."""
    gc.collect()
    start = most = resident()
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.is_set():
            most = max(most, resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        stop.set()
        watcher.join()
    return most - start


def memory() -> dict[str, float]:
    """Peaks of one call each on a net of 300 MB, in MB, the second time round: the first fills
    what the allocators keep."""
    keras.backend.clear_session()
    x = i = keras.Input((64,))
    for number in range(6):
        x = L.Dense(4000, activation="relu", name=f"dense_{number}")(x)
    model = keras.Model(i, L.Dense(10, name="head")(x))
    plan = plan_for(model)
    sizes = [float(np.prod(value.shape)) * 4 / 2**20 for value in model.weights]
    found = {"weights": sum(sizes), "largest": max(sizes)}
    for _ in range(2):
        zeroed = zero(model, plan)
        found |= {
            "trace": peak(partial(trace, model)),
            "zero": peak(partial(zero, model, plan)),
            "strip": peak(partial(strip, model)),
            "strip a zeroed": peak(partial(strip, zeroed)),
            "cut": peak(partial(cut, model, plan)),
        }
        del zeroed
    return {name: round(value, 1) for name, value in found.items()}


def broken(found: dict[str, Any]) -> list[str]:
    """The promises that do not hold."""
    faults = [
        f"{name}: {cost['ratio']:.2f} times a clone, at most {MOST}"
        for name, cost in found["models"].items()
        if cost["ratio"] > MOST
    ]
    costs = [cost["ms_a_layer"] for cost in found["chains"].values()]
    if costs[-1] > GROWTH * costs[0]:
        faults.append(f"a layer costs {costs[-1]} ms in the longest chain, {costs[0]} in the first")
    sizes = found["memory"]
    room = sizes["weights"] + sizes["largest"] + SPARE_MB
    faults += [
        f"{name} takes {sizes[name]} MB, at most {room:.0f}"
        for name in ("trace", "zero", "strip", "strip a zeroed", "cut")
        if sizes[name] > room
    ]
    return faults


def main() -> int:
    """Measure, print a line each, and keep the numbers."""
    found: dict[str, Any] = {"memory": memory(), "models": {}, "chains": {}}
    print("peak memory, MB:", json.dumps(found["memory"]), flush=True)
    for name in MODELS:
        keras.backend.clear_session()
        model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3))
        found["models"][name] = measured(model)
        print(name, json.dumps(found["models"][name]), flush=True)
    for length in LENGTHS:
        keras.backend.clear_session()
        cost = measured(chain(length))
        total = cost["trace"] + cost["zero"] + cost["strip"]
        found["chains"][str(length)] = {**cost, "ms_a_layer": round(1000 * total / length, 2)}
        print(length, json.dumps(found["chains"][str(length)]), flush=True)
    write_json(RESULTS, found)
    faults = broken(found)
    for fault in faults:
        print("BROKEN", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
