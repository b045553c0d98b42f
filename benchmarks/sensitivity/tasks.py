"""The tables: nets, methods, amounts, seeds, and what each has to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.sensitivity import channels, fronts, thresholds, weights
from benchmarks.sensitivity.cells import Cell
from benchmarks.sensitivity.judging import speedup
from benchmarks.sensitivity.nets import (
    CNN,
    LENET_5,
    LENET_300,
    LENET_300_50K,
    MLP,
    MOBILE,
    RESNET,
    Net,
)
from benchmarks.sensitivity.promises import Promise, at_least, at_most, every_seed, of_peer


def _share(amount: float) -> str:
    return f"{100 * amount:g} %"


@dataclass(frozen=True, eq=False)
class Task:
    """One table.

    Attributes:
        name: as cells and files have it.
        title, told: for the page.
        cells: makes its cells.
        promises: what it has to show.
        figure: which figure of a cell the table has.
        unit, axis: for the plot.
        head: an amount as the head of a column.
    """

    name: str
    title: str
    told: str
    cells: Callable[[], list[Cell]]
    promises: tuple[Promise, ...] = ()
    figure: str = "lost"
    unit: str = "points lost"
    axis: str = "zeros, % of the weights"
    head: Callable[[float], str] = _share


def _kept(amount: float) -> str:
    return f"kept {100 * (1 - amount):g} %"


SEEDS = 3
TFMOT = ("tfmot", "tfmot-tuned")
NETS = (CNN, RESNET, MOBILE)
TAUGHT: dict[str, Any] = {"step": "distill", "alpha": 0.1, "shrink": 1e-4}
"""Of ours on the digits: by the dense model's answers, a tenth by the labels, shrunk while the ramp
lasts. Chosen for LeNet-300-100 on 10,000 training images that were held out."""


def _lenet(
    task: str,
    net: Net,
    epochs: int,
    every: tuple[float, ...],
    most: float,
) -> list[Cell]:
    """Ours at ``every`` sparsity, its peers and parts at the ``most``."""
    methods = (
        (weights.ours("taylor", epochs=epochs, **TAUGHT), every),
        (weights.magnitude(epochs), (most,)),
        (weights.by("magnitude", epochs=epochs, **TAUGHT), (most,)),
        (weights.random(epochs), (most,)),
    )
    return [
        cell for each, amounts in methods for cell in weights.cells(task, net, each, amounts, SEEDS)
    ]


def _lenet_300() -> list[Cell]:
    every = (0.92, 0.96, 0.98, 0.985, 0.99)
    return _lenet("lenet-300-100", LENET_300, 120, every, 0.985)


def _lenet_5() -> list[Cell]:
    return _lenet("lenet-5-caffe", LENET_5, 40, (0.99, 0.995), 0.995)


def _blocks() -> list[Cell]:
    # Ten epochs on the labels improve the dense net of five too: a teacher would hold back.
    methods = {
        **weights.ours("wanda-lamp", "finetune", 10, pattern="1x4"),
        **weights.by("taylor", "finetune", 10, pattern="1x4"),
        **weights.magnitude(10, pattern="1x4"),
        **weights.random(10, pattern="1x4"),
        **weights.tfmot(10, block=(4, 1)),
    }
    return weights.cells("blocks", MLP, methods, (0.93, 0.95, 0.98), SEEDS, more=speedup)


def _scattered() -> list[Cell]:
    found = []
    for net, epochs, score in ((CNN, 10, "wanda-lamp"), (RESNET, 3, "lamp"), (MOBILE, 3, "lamp")):
        methods = {
            **weights.ours(score, "finetune", epochs),
            **weights.magnitude(epochs),
            **weights.random(epochs),
            **weights.tfmot(epochs),
        }
        found += weights.cells("scattered", net, methods, (0.8, 0.9, 0.95), SEEDS)
    return found


def _at_once() -> list[Cell]:
    found = []
    for net in NETS:
        found += channels.cells("channels-at-once", net, channels.at_once(), (0.3, 0.5), SEEDS)
    return found


def _tuned() -> list[Cell]:
    found = []
    for net in NETS:
        found += channels.cells("channels-tuned", net, channels.tuned(3), (0.5, 0.7), SEEDS)
    return found


def _fronts() -> list[Cell]:
    found = []
    for net in NETS:
        # Batch norms take out the size of the weights that molchanov adds up.
        score = "molchanov" if net is CNN else "gate-fisher"
        found += fronts.cells("front", net, fronts.methods(score), SEEDS)
    return found


def _thresholds() -> list[Cell]:
    return thresholds.cells("threshold", LENET_300_50K, 10)


QUICK = {
    "lenet-300-100": {0.985},
    "blocks": {0.95, 0.98},
    "scattered": {0.9},
    "channels-at-once": {0.5},
    "front": {0.0},
    "threshold": {0.0},
}
"""Tables and amounts of the quick form."""


def quick(cell: Cell) -> bool:
    """Whether a cell belongs to the quick form: one seed, one or two amounts, the nets that train
    in seconds."""
    small = cell.net in (MLP.name, CNN.name, LENET_300.name, LENET_300_50K.name)
    return cell.seed == 0 and small and cell.amount in QUICK.get(cell.task, ())


TASKS = (
    Task(
        "lenet-300-100",
        "LeNet-300-100 on the digits",
        "Test error in %. Deep Compression (Han et al., 2016) keeps 8 % at 1.6 % error, SNIP (Lee "
        "et al., 2019) 2 % at 2.4 %, sparse variational dropout (Molchanov et al., 2017) 1.5 % at "
        "1.9 %.",
        _lenet_300,
        (
            at_most("dense_error", 1.7, "%", method="edgeprune", amount=0.985),
            *(at_most("lost", limit, method="edgeprune", amount=0.985) for limit in (0.3, 0.1)),
            of_peer("lost", 1, ("magnitude", "random"), amount=0.985),
        ),
        figure="error",
        unit="test error, %",
        head=_kept,
    ),
    Task(
        "lenet-5-caffe",
        "LeNet-5 (Caffe) on the digits",
        "Test error in %. Deep Compression keeps 8 % at 0.77 % error, SNIP 1 % at 1.0 %, sparse "
        "variational dropout 0.36 %.",
        _lenet_5,
        (
            at_most("lost", 0.1, method="edgeprune", amount=0.995),
            of_peer("lost", 1, ("magnitude", "random"), amount=0.995),
        ),
        figure="error",
        unit="test error, %",
        head=_kept,
    ),
    Task(
        "blocks",
        "MLP 784-512-512-10 on the digits, 1×4 blocks",
        "Ten epochs each. tfmot's blocks are turned the kernel's way, `(4, 1)`; `tfmot` is by its "
        "guide, `tfmot-tuned` has our rate and is done at the same step. `edgeprune`, "
        "`edgeprune-by-taylor` and `magnitude` differ by their score alone. *speedup* is that of "
        "the sparse TFLite file over the dense model's, timed in turns.",
        _blocks,
        (
            at_most("lost", 0.2, method="edgeprune", amount=0.95),
            at_most("lost", 0.8, method="edgeprune", amount=0.98),
            *(
                of_peer("lost", 1, ("magnitude", "random", *TFMOT), amount=amount)
                for amount in (0.93, 0.95, 0.98)
            ),
            at_least("speedup", 3, "times", method="edgeprune", amount=0.95),
        ),
    ),
    Task(
        "scattered",
        "Small convolution nets on Fashion-MNIST, single weights",
        "20,000 training images; ten epochs for the CNN, three for the others, at the same rate "
        "but for `tfmot`, which is by its guide.",
        _scattered,
        (
            *(
                of_peer("lost", 1, ("magnitude", "random", *TFMOT), net=net.name, amount=amount)
                for net in NETS
                for amount in (0.8, 0.9, 0.95)
            ),
            *(of_peer("lost", 0.5, TFMOT, net=CNN.name, amount=amount) for amount in (0.9, 0.95)),
        ),
    ),
    Task(
        "channels-at-once",
        "Channels, no training",
        "Points lost with a share of the MACs cut in one shot, and no label used afterwards. `l1` "
        "takes the same share of every group by the sums of |w| and re-estimates the batch norms "
        "on 2,048 training images (the CNN has none: there it is the bare cut). Fashion-MNIST, "
        "20,000 training images.",
        _at_once,
        tuple(
            of_peer("lost", factor, (peer,), net=net.name, amount=amount)
            for net in NETS
            for amount in (0.3, 0.5)
            for peer, factor in (("l1", 1 / 3), ("random", 1))
        ),
        axis="MACs cut, %",
    ),
    Task(
        "channels-tuned",
        "Channels, equal fine-tuning",
        "The same cuts, and three epochs of fine-tuning on the same 20,000 images for every "
        "method.",
        _tuned,
        tuple(
            every_seed("lost", ("l1", "random"), more=False, net=net.name, amount=amount)
            for net in NETS
            for amount in (0.5, 0.7)
        ),
        axis="MACs cut, %",
    ),
    Task(
        "front",
        "Planning: accuracy against MACs, nothing mended",
        "Area under accuracy over the share of the MACs that is left, Fashion-MNIST, 20,000 "
        "training images. Ours is by `gate-fisher`, of the CNN, which has no batch norms, by "
        "`molchanov`. Plans are judged on the test images; those of one ratio and of NSGA-II "
        "are the best of theirs on 2,000 training images. Evaluations, scoring passes and metrics "
        "of plans together: one ratio 60, NSGA-II 300, edgeprune 30, scored once 1.",
        _fronts,
        (
            *(every_seed("area", fronts.PEERS, more=True, net=net.name) for net in NETS),
            *(fronts.few_evaluations(net) for net in NETS),
        ),
        figure="area",
        unit="accuracy",
        axis="share of the MACs",
        head=lambda amount: "area",
    ),
    Task(
        "front-reconstructed",
        "Planning: accuracy against MACs, reconstructed",
        "Of the plans of the table above fifteen at most, each at the same share of the one before "
        "as nearly as there are any, with their layers solved anew by least squares.",
        _fronts,
        tuple(every_seed("area_mended", fronts.PEERS, more=True, net=net.name) for net in NETS),
        figure="area_mended",
        unit="accuracy",
        axis="share of the MACs",
        head=lambda amount: "area",
    ),
    Task(
        "threshold",
        "A threshold by cross-validation",
        "LeNet-300-100 trained on 50,000 digits; the other 10,000 choose what goes in one shot, "
        "without training afterwards, so that half a point of accuracy is lost at most. The table "
        "has the points lost on the test images.",
        _thresholds,
        (thresholds.within(0.9, 1.3),),
        head=lambda amount: "points lost",
    ),
)
