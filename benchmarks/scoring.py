"""What scoring costs, as ratios in one run: ``make bench-scoring``.

Wall time of scoring against one epoch of training over the same samples, in the same batches,
with the same loss, each with the building of its graph: all scores that one backward pass gives,
those of single examples (``fisher``, ``obd``) apart. What was timed is compared with scores that
were gathered in other chunks. Kept in ``benchmarks/results/scoring.json``; 1 where the promise is
broken.
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

from edgeprune.files import write_json
from edgeprune.models.engine import set_up
from edgeprune.scoring import score_all
from edgeprune.surgery import trace

RESULTS = Path(__file__).resolve().parent / "results" / "scoring.json"
TOGETHER = (
    "gradient",
    "taylor",
    "snip",
    "wanda",
    "gate",
    "gate-fisher",
    "molchanov",
    "apoz",
    "activation",
)
APART = ("fisher", "obd")
MOST = 1.5
"""Times an epoch, at most, for all of the first together."""
EXAMPLES, BATCH, TIMES = 2048, 32, 3
LOSS = "sparse_categorical_crossentropy"
L = keras.layers


def perceptron() -> Any:
    return keras.Sequential(
        [keras.Input((784,)), L.Dense(512, "relu"), L.Dense(512, "relu"), L.Dense(10, "softmax")],
        name="784-512-512-10",
    )


def convolutions() -> Any:
    x = i = keras.Input((28, 28, 1))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        x = L.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(i, L.Dense(10, "softmax")(x), name="three-convolutions")


def residual() -> Any:
    i = keras.Input((28, 28, 1))
    x = L.Conv2D(16, 3, padding="same", use_bias=False)(i)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = L.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", use_bias=False)(y))
        if x.shape[-1] != filters:
            x = L.Conv2D(filters, 1, strides=stride, use_bias=False)(x)
        x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(i, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)), name="ResNet-8")


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of several."""
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def measured(make: Callable[[], Any]) -> dict[str, Any]:
    """One model."""
    keras.utils.set_random_seed(0)
    model = make()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(EXAMPLES, *model.inputs[0].shape[1:])).astype("float32")
    y = rng.integers(0, 10, EXAMPLES)
    batches = [(x[k : k + BATCH], y[k : k + BATCH]) for k in range(0, EXAMPLES, BATCH)]
    graph = trace(model)

    def scored(*methods: str, **how: Any) -> Any:
        return score_all(model, batches, list(methods), loss=LOSS, graph=graph, **how)

    together = fastest(lambda: scored(*TOGETHER))
    apart = {method: fastest(lambda method=method: scored(method)) for method in APART}
    one, other = scored(*TOGETHER), scored(*TOGETHER, chunk=20)
    for method in TOGETHER:
        for part in ("weights", "channels"):
            for name, value in getattr(one[method], part).items():
                again = getattr(other[method], part)[name]
                assert np.allclose(again, value, rtol=1e-4, atol=1e-5 * value.max()), (method, name)

    def epoch() -> None:
        model.compile("adam", LOSS)
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)

    training = fastest(epoch)
    return {
        "model": model.name,
        "epoch_s": round(training, 3),
        "together_s": round(together, 3),
        "ratio": round(together / training, 2),
        **{f"{method}_ratio": round(taken / training, 2) for method, taken in apart.items()},
    }


def main() -> int:
    set_up(threads=2)
    rows = [measured(make) for make in (perceptron, convolutions, residual)]
    for row in rows:
        print(json.dumps(row), flush=True)
    write_json(
        RESULTS,
        {"together": list(TOGETHER), "examples": EXAMPLES, "batch": BATCH, "models": rows},
    )
    return int(any(row["ratio"] > MOST for row in rows))


if __name__ == "__main__":
    sys.exit(main())
