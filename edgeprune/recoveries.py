"""The steps of recovery by name, and what each asks for. What a step does is in
:mod:`edgeprune.pipeline.recovering`, under the same name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Recovery = Literal["finetune", "batchnorm", "distill", "reconstruct"]
RUNNING = frozenset({"magnitude", "taylor", "gradient"})
"""Scores that a training gives on its way, for zeros that grow while it goes; the others are taken
of calibration data."""


@dataclass(frozen=True)
class Needs:
    """What a step asks for.

    Attributes:
        labels: data with labels, a loss and a metric (what can do without may use them).
        dense: the model as it was before pruning.
        trains: epochs, and a split of the data to judge by; so it can also set right what an
            inexact cut changes.
    """

    labels: bool = False
    dense: bool = False
    trains: bool = False


NEEDS: Mapping[str, Needs] = {
    "finetune": Needs(labels=True, trains=True),
    "batchnorm": Needs(),
    "distill": Needs(dense=True, trains=True),
    "reconstruct": Needs(dense=True),
}
"""By the names of :data:`Recovery`."""


def without_training(steps: Iterable[str]) -> tuple[str, ...]:
    """Those of ``steps`` that do not train, in order."""
    return tuple(step for step in steps if not NEEDS[step].trains)


def which_train(steps: Iterable[str]) -> tuple[str, ...]:
    """Those of ``steps`` that train, in order."""
    return tuple(step for step in steps if NEEDS[step].trains)
