"""``python -m benchmarks.sensitivity.choices``: settings side by side on images that no net saw.

What the suite takes for ``edgeprune`` is chosen by this, never by the test images. Of the digits
the last 10,000 training images are held out, and the dense net is trained on the other 50,000; of
Fashion-MNIST the 10,000 behind the 20,000 that the nets are trained on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sensitivity import channels, weights
from benchmarks.sensitivity.judging import accuracy
from benchmarks.sensitivity.nets import NETS, Net
from benchmarks.sensitivity.sets import Examples, training
from edgeprune.models.engine import set_up

HELD = 10_000


def parted(name: str) -> tuple[Net, Examples, Examples]:
    """The net as it is trained here, its training images, and those held out."""
    net = NETS[name]
    if net.recipe.data == "digits":
        net = replace(net, recipe=replace(net.recipe, examples=50_000))
    every = training(net.recipe.data)
    count = net.recipe.examples
    assert count is not None
    end = count + HELD
    return net, every.first(count), Examples(every.x[count:end], every.y[count:end])


def on_a_ramp(net: Net, dense: Any, data: Examples, asked: argparse.Namespace, score: str) -> Any:
    """Single weights or blocks, as the suite lets them go."""
    how: dict[str, Any] = {"pattern": asked.pattern, "shrink": asked.shrink}
    step = "finetune"
    if asked.alpha is not None:
        step, how["alpha"] = "distill", asked.alpha
    method = weights.on_ramp(score, step, asked.epochs, **how)
    return method.prune(net, dense, data, asked.sparsity, asked.seed)


def at_once(net: Net, dense: Any, data: Examples, asked: argparse.Namespace, score: str) -> Any:
    """Channels, reconstructed without a label, as the suite lets them go."""
    method = channels.at_once(score)["l1-reconstructed" if score == "l1" else "edgeprune"]
    return method.done(dense, data, asked.macs, asked.seed)[1]


def asked_for(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net", choices=NETS)
    parser.add_argument("scores", nargs="+", metavar="SCORE", help="l1 too, with --macs")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--sparsity", type=float, help="share of the weights that go on a ramp")
    goal.add_argument("--macs", type=float, help="share of the MACs that go at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pattern", default="none")
    parser.add_argument("--shrink", type=float, default=0.0)
    parser.add_argument("--alpha", type=float, help="of the labels, beside a teacher")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """A line for each score: points lost on the images that are held out."""
    asked = asked_for(words)
    set_up(threads=1)
    net, data, held = parted(asked.net)
    dense = net.dense(asked.seed)
    whole = accuracy(dense, held)
    print(f"{net.name}, seed {asked.seed}: {100 * whole:.2f} % of {HELD:,} images right")
    for score in asked.scores:
        start = time.perf_counter()
        way = on_a_ramp if asked.macs is None else at_once
        lost = 100 * (whole - accuracy(way(net, dense, data, asked, score), held))
        print(f"{score}: {lost:.2f} points lost ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
