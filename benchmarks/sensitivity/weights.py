"""Methods that let single weights (or blocks of them) go and train afterwards.

All start from the same dense weights and see the training images as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import edgeprune
from benchmarks.sensitivity import tfmot_peer
from benchmarks.sensitivity.cells import Cell, Facts
from benchmarks.sensitivity.judging import judged
from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.sets import Examples, training
from benchmarks.sensitivity.tfmot_peer import Decay

VALIDATION = 0.02
"""Of the training images, which choose the epoch whose weights are kept; tfmot trains on all."""

Prune = Callable[[Net, Any, Examples, float, int], Any]
"""(net, dense, training images, sparsity, seed) → model of any shape."""


@dataclass(frozen=True, eq=False)
class Method:
    """One way.

    Attributes:
        prune: does it.
        settings: all that decides it.
    """

    prune: Prune
    settings: Mapping[str, Any]


def by_edgeprune(**how: Any) -> Method:
    """``edgeprune.prune`` with these keywords."""
    every = {"validation": VALIDATION, **how}

    def prune(net: Net, dense: Any, data: Examples, sparsity: float, seed: int) -> Any:
        asked = {} if sparsity is None else {"sparsity": sparsity}
        model, _ = edgeprune.prune(
            dense, (data.x, data.y), loss=LOSS, metric="accuracy", seed=seed, **asked, **every
        )
        return model

    return Method(prune, {"edgeprune.prune": every})


def by_tfmot(how: Decay) -> Method:
    """tfmot's polynomial decay."""

    def prune(net: Net, dense: Any, data: Examples, sparsity: float, seed: int) -> Any:
        return tfmot_peer.pruned(net, dense, data, sparsity, seed, how)

    return Method(prune, {"tfmot": how.facts()})


def cells(
    task: str,
    net: Net,
    methods: Mapping[str, Method],
    amounts: tuple[float, ...],
    seeds: int,
    *,
    more: Callable[[Any, Any], Facts] | None = None,
) -> list[Cell]:
    """Every method at every sparsity, seed by seed; ``more`` figures of ours, from the dense and
    the pruned model."""

    def measure(cell: Cell) -> Facts:
        dense = net.dense(cell.seed)
        data = training(net.recipe.data, net.recipe.examples)
        pruned = methods[cell.method].prune(net, dense, data, cell.amount, cell.seed)
        figures = judged(dense, pruned, net.recipe.data)
        return figures | more(dense, pruned) if more and cell.method == "edgeprune" else figures

    return [
        Cell(task, net.name, name, amount, seed, {**net.facts(), **method.settings}, measure)
        for seed in range(seeds)
        for amount in amounts
        for name, method in methods.items()
    ]


RATE = 0.003
RAMP = 0.6
"""Of the steps, after which all zeros are there."""


def on_ramp(method: str, step: str, epochs: int, **how: Any) -> Method:
    """One training in which the zeros grow, its rate falling on a cosine."""
    return by_edgeprune(
        method=method, ramp=RAMP, recover=(step,), epochs=epochs, learning_rate=RATE,
        decay="cosine", **how,
    )  # fmt: skip


def ours(score: str, step: str, epochs: int, **how: Any) -> dict[str, Method]:
    """What the documentation recommends. ``step`` is "distill" where the dense model is at its
    best, and "finetune" where more epochs would improve it too."""
    return {"edgeprune": on_ramp(score, step, epochs, **how)}


def by(score: str, step: str, epochs: int, **how: Any) -> dict[str, Method]:
    """The same by another score."""
    return {f"edgeprune-by-{score}": on_ramp(score, step, epochs, **how)}


def magnitude(epochs: int, **how: Any) -> dict[str, Method]:
    """The same rate and ramp, on the labels alone, by |w|."""
    return {"magnitude": on_ramp("magnitude", "finetune", epochs, **how)}


def random(epochs: int, **how: Any) -> dict[str, Method]:
    """What goes is drawn, at once; the same rate."""
    return {
        "random": by_edgeprune(
            method="random", epochs=epochs, learning_rate=RATE, decay="cosine", **how
        )
    }


def tfmot(epochs: int, **how: Any) -> dict[str, Method]:
    """By its guide, and with our rate and ramp: where its zeros are all there earlier, what is
    left has longer to recover."""
    kind = Decay(epochs, rate=RATE, cosine=True, start=0.0, end=RAMP, **how)
    return {"tfmot": by_tfmot(Decay(epochs, **how)), "tfmot-tuned": by_tfmot(kind)}
