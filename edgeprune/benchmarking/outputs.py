"""What a file answers elsewhere, against what this machine's engine answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Port
from edgeprune.benchmarking.places import Place
from edgeprune.goldens import Golden
from edgeprune.measurements import answer_facts
from edgeprune.runtimes import Runner
from edgeprune.runtimes.feeds import ordered, quantized, real

TOLERANCE = 1e-4
"""Of the largest output, between two machines; whole numbers may differ by one step."""
_SEED = 20


def seeded(port: Port) -> npt.NDArray[Any]:
    """Inputs that are the same everywhere: floats in [0, 1), small integers over their range, and
    zeros for the wide ones, which may be indices."""
    shape = tuple(1 if size < 0 else size for size in port.shape)
    kind, random = np.dtype(port.dtype), np.random.default_rng(_SEED)
    if kind.kind == "f":
        return random.random(shape).astype(kind)
    if kind.kind in "iu" and kind.itemsize <= 2:
        about = np.iinfo(kind)
        return random.integers(about.min, about.max, shape, kind, endpoint=True)
    return np.zeros(shape, kind)


def compared(
    wanted: Sequence[npt.NDArray[Any]],
    found: Sequence[npt.NDArray[Any]],
    tolerance: float = TOLERANCE,
    measure: str = "relative",
) -> tuple[bool, float | None]:
    """Whether outputs are the same, and how far they are apart, of the largest; ``None`` where one
    is no number, or of another shape. ``tolerance`` is of the largest output, for what differs
    most, or with ``"rms"`` for the root mean square; whole numbers may differ by a step."""
    if [each.shape for each in wanted] != [each.shape for each in found]:
        return False, None
    match, worst = True, 0.0
    for one, other in zip(wanted, found, strict=True):
        a, b = one.astype(np.float64), other.astype(np.float64)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False, None
        scale = float(np.abs(a).max(initial=0.0))
        gap = np.abs(a - b)
        rms = measure == "rms" and gap.size > 0
        apart = float(np.sqrt(np.mean(gap**2)) if rms else gap.max(initial=0.0))
        allowed = 1.0 if one.dtype.kind in "iub" else tolerance * scale
        match &= apart <= allowed
        worst = max(worst, apart / scale if scale else apart)
    return match, worst


@dataclass(frozen=True)
class Answers:
    """What became of a file's outputs somewhere.

    Attributes:
        match: this machine's engine answers the same; ``None``: it is that engine.
        difference: the largest, of the largest output; ``None`` where an output is no number.
        model_match, model_difference: likewise of its Keras model; ``None``: it was not asked.
    """

    match: bool | None = None
    difference: float | None = None
    model_match: bool | None = None
    model_difference: float | None = None

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return answer_facts(self.match, self.difference, self.model_match, self.model_difference)


UNASKED = Answers()
"""Of the engine that others are compared with."""


def answers_by(runner: Runner, golden: Golden | None = None, *, own: bool = False) -> Answers:
    """A loaded file asked, and what it says compared with this machine's engine, and with its model
    where there are ``golden`` inputs; with its model alone where it runs in that engine (``own``).

    Raises:
        DataError: golden inputs that do not fit the file.
    """
    if own and golden is None:
        return UNASKED
    inputs = [seeded(port) for port in runner.inputs]
    if golden is not None:
        inputs = given_inputs(runner, golden)
    given = runner.infer(inputs)
    found: tuple[bool | None, float | None] = (None, None)
    if not own:
        with Runner(runner.path) as here:
            found = compared(here.infer(inputs), given)
    if golden is None:
        return Answers(*found)
    # A board may round otherwise, on top of what the file itself may differ by.
    allowed = golden.tolerance + (0.0 if own else TOLERANCE)
    told = [real(each, port) for each, port in zip(given, runner.outputs, strict=True)]
    return Answers(*found, *compared(golden.expected, told, allowed, golden.measure))


def given_inputs(runner: Runner, golden: Golden) -> list[npt.NDArray[Any]]:
    """Golden inputs as the file takes them: real numbers as the whole ones that stand for them."""
    return [
        array if array.dtype == np.dtype(port.dtype) else quantized(array, port)
        for array, port in zip(
            ordered(golden.inputs, runner.inputs, str(runner.path)), runner.inputs, strict=True
        )
    ]


def answers_at(place: Place, runner: Runner) -> Answers:
    """:func:`answers_by` of a file that is loaded at a place, with the golden inputs beside it."""
    return answers_by(runner, Golden.beside(runner.path), own=place.own)


def answers_of(place: Place, path: Path, threads: int) -> Answers:
    """A file asked at a place, in a process of its own."""
    if place.own and Golden.beside(path) is None:
        return UNASKED
    with place.runner(path, threads=threads) as runner:
        return answers_at(place, runner)
