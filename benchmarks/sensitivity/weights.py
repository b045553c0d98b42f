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

    def prune(net: Net, dense: Any, data: Examples, sparsity: float, seed: int) -> Any:
        asked = {} if sparsity is None else {"sparsity": sparsity}
        model, _ = edgeprune.prune(
            dense, (data.x, data.y), loss=LOSS, metric="accuracy", seed=seed, **asked, **how
        )
        return model

    return Method(prune, {"edgeprune.prune": how})


def by_tfmot(how: tfmot_peer.Decay) -> Method:
    """tfmot's polynomial decay."""

    def prune(net: Net, dense: Any, data: Examples, sparsity: float, seed: int) -> Any:
        return tfmot_peer.pruned(net, dense, data, sparsity, seed, how)

    return Method(prune, {"tfmot": how.facts()})


def cells(
    task: str, net: Net, methods: Mapping[str, Method], amounts: tuple[float, ...], seeds: int
) -> list[Cell]:
    """Every method at every sparsity, seed by seed."""

    def measure(cell: Cell) -> Facts:
        dense = net.dense(cell.seed)
        data = training(net.recipe.data, net.recipe.examples)
        pruned = methods[cell.method].prune(net, dense, data, cell.amount, cell.seed)
        return judged(dense, pruned, net.recipe.data)

    return [
        Cell(task, net.name, name, amount, seed, {**net.facts(), **method.settings}, measure)
        for seed in range(seeds)
        for amount in amounts
        for name, method in methods.items()
    ]


def in_rounds(method: str, epochs: int, **how: Any) -> Method:
    """Five rounds of a fifth of the epochs each, down the cubic ramp; cosine rate in each."""
    return by_edgeprune(
        method=method, rounds=5, epochs=epochs // 5, learning_rate=1e-3, decay="cosine", **how
    )


def on_ramp(method: str, step: str, epochs: int, **how: Any) -> Method:
    """One training in which the zeros grow over the first 60 % of the steps."""
    return by_edgeprune(
        method=method, ramp=0.6, recover=(step,), epochs=epochs, learning_rate=0.003,
        decay="cosine", **how,
    )  # fmt: skip


def ours(step: str, epochs: int, **how: Any) -> dict[str, Method]:
    """What the documentation recommends, and the same by magnitude. ``step`` is "distill" where
    the dense model is at its best, and "finetune" where more epochs would improve it too."""
    return {
        "edgeprune": on_ramp("taylor", step, epochs, **how),
        "edgeprune-by-magnitude": on_ramp("magnitude", step, epochs, **how),
    }


def peers(epochs: int, block: tuple[int, int] = (1, 1), **how: Any) -> dict[str, Method]:
    """What is to be beaten, with as many epochs."""
    return {
        "magnitude": in_rounds("magnitude", epochs, **how),
        "random": in_rounds("random", epochs, **how),
        "tfmot": by_tfmot(tfmot_peer.Decay(epochs, block=block)),
        "tfmot-half": by_tfmot(tfmot_peer.Decay(epochs, end=0.5, block=block)),
    }
