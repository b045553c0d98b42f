"""What a model costs at given widths, and what one channel of each group costs there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from edgeprune.costs import Lane
from edgeprune.graphs import Graph

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Counted = Literal["macs", "parameters"]


def prices_of(graph: Graph, groups: Sequence[str]) -> Prices:
    """The prices of a graph, made once for the same groups while it lives."""
    known = _made.setdefault(graph, {})
    if tuple(groups) not in known:
        known[tuple(groups)] = Prices(graph, groups)
    return known[tuple(groups)]


class Prices:
    """Parameters and MACs as a function of how much is left of each group.

    A kernel is a product of lengths, and so is what it multiplies
    (:class:`~edgeprune.costs.Work`). Of an axis on which channels of the groups g, h … lie at n of
    its positions, n · f_g · f_h … stay, f the shares that are left: exact where the channels of a
    group lie on the axis alike, as they do but for odd reshapes. So a cost is a sum of products of
    shares, and its slope is known at any widths without a search:
    :meth:`~edgeprune.graphs.Graph.cost` has the last word.

    Args:
        graph: of the model.
        groups: names of the groups whose shares are asked about; the others keep their size.
    """

    def __init__(self, graph: Graph, groups: Sequence[str]) -> None:
        self._place = {name: place for place, name in enumerate(groups)}
        self._sizes = np.array([graph[name].size for name in groups], np.float64)
        self._classes = _Table()  # positions of an axis with the same groups
        self._axis_of: list[int] = []
        self._terms = {"parameters": _Table(), "macs": _Table()}
        lanes: dict[tuple[str, int], list[Lane]] = {}
        for group in graph:
            for member in group.members:
                lane = (group.name, member.channel)
                lanes.setdefault((member.weight, member.axis), []).append(lane)
        self._axes = 0
        kernels: dict[str, tuple[float, list[int]]] = {}
        for name, weight in graph.weights.items():
            factors = [
                self._length(length, lanes.get((name, axis), ()), weight.runs)
                for axis, length in enumerate(weight.shape)
            ]
            kernels[name] = _product(factors)
            self._terms["parameters"].add(*kernels[name])
        for work in graph.works:
            factors = [self._length(axis.size, axis.lanes) for axis in work.axes]
            if work.weight is not None:
                scale, axes = kernels[work.weight]
                factors += [(scale, None), *((1.0, axis) for axis in axes)]
            scale, axes = _product(factors)
            self._terms["macs"].add(scale * work.times, axes)

    def _length(
        self, length: int, lanes: Iterable[Lane], runs: int = 1
    ) -> tuple[float, int | None]:
        """Of an axis: what does not change of its length, or its number where it does."""
        places = {}
        for name, channel in lanes:
            if name in self._place:
                rows = np.atleast_2d(channel)
                held = (rows >= 0).sum(axis=0) / len(rows)
                places[self._place[name]] = np.resize(held, length)
        if not places:
            return float(length), None
        rows = np.stack(list(places.values()), axis=1)
        kinds, counts = np.unique(rows, axis=0, return_counts=True)
        for kind, count in zip(kinds, counts, strict=True):
            on = [place for place, share in zip(places, kind, strict=True) if share]
            self._classes.add(float(count), on)
            self._axis_of.append(self._axes)
        self._axes += 1
        return 1.0, self._axes - 1

    def cost(self, kind: Counted, kept: Ints) -> float:
        """What is left at these widths, one a group."""
        return float(self._terms[kind].products(self._lengths(kept)[1]).sum())

    def slope(self, kind: Counted, kept: Ints) -> Floats:
        """What one channel of each group costs at these widths, all else kept."""
        classes, lengths = self._lengths(kept)
        terms = self._terms[kind]
        by_axis = terms.spread(terms.products(lengths), self._axes)
        part = classes * (by_axis / lengths)[self._axis_of] if self._axes else classes
        return self._classes.spread(part, self._sizes.size) / kept

    def _lengths(self, kept: Ints) -> tuple[Floats, Floats]:
        """Positions that are left, by class and by axis."""
        classes = self._classes.products(kept / self._sizes)
        return classes, np.asarray(np.bincount(self._axis_of, classes, self._axes), np.float64)


_made: WeakKeyDictionary[Graph, dict[tuple[str, ...], Prices]] = WeakKeyDictionary()


class _Table:
    """Products: each a number times factors, which are given by their places."""

    def __init__(self) -> None:
        self._rows: list[tuple[float, tuple[int, ...]]] = []

    def add(self, scale: float, factors: Iterable[int]) -> None:
        self._rows.append((scale, tuple(factors)))

    @cached_property
    def _scales(self) -> Floats:
        return np.array([scale for scale, _ in self._rows], np.float64)

    @cached_property
    def _owners(self) -> Ints:
        counts = [len(factors) for _, factors in self._rows]
        return np.repeat(np.arange(len(self._rows)), counts).astype(np.int64)

    @cached_property
    def _factors(self) -> Ints:
        return np.array([factor for _, row in self._rows for factor in row], np.int64)

    def products(self, values: Floats) -> Floats:
        """Each product; values are above zero."""
        logs: Floats = np.log(values)[self._factors]
        sums = np.asarray(np.bincount(self._owners, logs, len(self._rows)), np.float64)
        return self._scales * np.exp(sums)

    def spread(self, products: Floats, count: int) -> Floats:
        """By factor, the sum of the products that it is in; as often as it is."""
        return np.asarray(np.bincount(self._factors, products[self._owners], count), np.float64)


def _product(factors: Iterable[tuple[float, int | None]]) -> tuple[float, list[int]]:
    scale, axes = 1.0, []
    for fixed, axis in factors:
        scale *= fixed
        axes += [] if axis is None else [axis]
    return scale, axes
