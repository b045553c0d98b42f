"""What the suite has to show, as comparisons of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.sensitivity.cells import Cell, Facts

ROUNDING = 1e-9


@dataclass(frozen=True)
class Verdict:
    """What became of a promise.

    Attributes:
        text: the promise.
        held: ``None`` where a cell that it needs is not measured yet.
        told: the figures that decide.
    """

    text: str
    held: bool | None
    told: str


class Table:
    """The results of one task's cells.

    Args:
        cells: measured or not.

    Raises:
        ValueError: cells of one net and seed that began with different dense weights.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells = list(cells)
        self._kept = {cell.name: cell.result() for cell in self.cells}
        self._check_dense()

    def _check_dense(self) -> None:
        begun: dict[tuple[str, int], dict[str, str]] = {}
        for cell in self.cells:
            kept = self._kept[cell.name]
            if kept is not None and "dense_weights" in kept["figures"]:
                known = begun.setdefault((cell.net, cell.seed), {})
                known.setdefault(kept["figures"]["dense_weights"], cell.name)
                if len(known) > 1:
                    raise ValueError(
                        f"{' and '.join(known.values())} began with different dense weights; "
                        "measure one of them again"
                    )

    def figures(self, **wanted: Any) -> list[Facts] | None:
        """Of the cells with these attributes, seed by seed; ``None`` where one is missing."""
        found = [self._kept[cell.name] for cell in self.matching(**wanted)]
        if not found or any(each is None for each in found):
            return None
        return [each["figures"] for each in found if each is not None]

    def matching(self, **wanted: Any) -> list[Cell]:
        """The cells with these attributes."""
        return [
            cell
            for cell in self.cells
            if all(getattr(cell, name) == value for name, value in wanted.items())
        ]

    def values(self, figure: str, **wanted: Any) -> list[float] | None:
        """One figure of each of them."""
        found = self.figures(**wanted)
        return None if found is None else [each[figure] for each in found]

    def so_far(self, figure: str, **wanted: Any) -> tuple[list[float], int]:
        """One figure of those of them that are measured, and how many there are to be."""
        cells = self.matching(**wanted)
        kept = [self._kept[cell.name] for cell in cells]
        return [each["figures"][figure] for each in kept if each is not None], len(cells)

    def done(self) -> int:
        """How many are measured."""
        return sum(kept is not None for kept in self._kept.values())


Promise = Callable[[Table], Verdict]


def at_most(figure: str, limit: float, unit: str = "points", **wanted: Any) -> Promise:
    """The mean over the seeds is at most ``limit``."""
    return _bound("at most", lambda mean: mean <= limit + ROUNDING, figure, limit, unit, wanted)


def at_least(figure: str, limit: float, unit: str, **wanted: Any) -> Promise:
    """The mean over the seeds is at least ``limit``."""
    return _bound("at least", lambda mean: mean >= limit, figure, limit, unit, wanted)


def _bound(
    word: str,
    holds: Callable[[float], bool],
    figure: str,
    limit: float,
    unit: str,
    wanted: dict[str, Any],
) -> Promise:
    def judge(table: Table) -> Verdict:
        text = f"{_named(wanted)}: {figure} {word} {limit:g} {unit}"
        values = table.values(figure, **wanted)
        if values is None:
            return Verdict(text, None, "")
        return Verdict(text, holds(float(np.mean(values))), spread(values))

    return judge


def of_peer(
    figure: str, factor: float, peers: Sequence[str], *, mine: str = "edgeprune", **wanted: Any
) -> Promise:
    """The mean loss is at most ``factor`` times each peer's, and less than it."""

    def judge(table: Table) -> Verdict:
        times = "less than" if factor == 1 else f"at most {factor:.2g} times"
        text = f"{_named(wanted)}: {figure} {times} that of {' and '.join(peers)}"
        own = table.values(figure, method=mine, **wanted)
        others = {peer: table.values(figure, method=peer, **wanted) for peer in peers}
        if own is None or any(value is None for value in others.values()):
            return Verdict(text, None, "")
        means = {peer: float(np.mean(value or [])) for peer, value in others.items()}
        mean = float(np.mean(own))
        # A peer that loses nothing has to be beaten, not met by a share of its gain.
        held = all(
            mean < other and (other <= 0 or mean <= factor * other + ROUNDING)
            for other in means.values()
        )
        return Verdict(text, held, _beside(mine, own, others))

    return judge


def every_seed(
    figure: str, peers: Sequence[str], *, more: bool, mine: str = "edgeprune", **wanted: Any
) -> Promise:
    """Better than each peer on each seed."""

    def judge(table: Table) -> Verdict:
        better = "more" if more else "less"
        text = f"{_named(wanted)}: {better} {figure} than {' and '.join(peers)} on every seed"
        own = table.values(figure, method=mine, **wanted)
        others = {peer: table.values(figure, method=peer, **wanted) for peer in peers}
        if own is None or any(value is None for value in others.values()):
            return Verdict(text, None, "")
        sign = 1 if more else -1
        held = all(
            sign * (a - b) > 0
            for value in others.values()
            for a, b in zip(own, value or [], strict=True)
        )
        return Verdict(text, held, _beside(mine, own, others))

    return judge


def _beside(mine: str, own: Sequence[float], others: Mapping[str, Sequence[float] | None]) -> str:
    every = {mine: own, **others}
    return ", ".join(f"{name} {spread(values or [])}" for name, values in every.items())


def spread(values: Sequence[float]) -> str:
    """Mean, and lowest to highest of several."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return f"{mean:.3g}"
    return f"{mean:.3g} ({min(values):.3g} to {max(values):.3g})"


def _named(wanted: dict[str, Any]) -> str:
    words = [
        f"{100 * value:g} %" if name == "amount" else str(value) for name, value in wanted.items()
    ]
    return ", ".join(words)
