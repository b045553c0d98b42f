"""How far each group goes down its ladder, so that budgets hold and the least score is lost."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from edgeprune.graphs import Graph
from edgeprune.planning.budgets import BYTES, Costing, within
from edgeprune.planning.descending import Ladder
from edgeprune.planning.knapsack import Options, least_lost
from edgeprune.planning.pricing import prices_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
STRIDE = 0.02
"""Of what is still to be saved: so much goes before the slopes are taken anew."""
TRADED = 2000
"""Steps: of more, one for another is a trifle."""


class Narrowing:
    """The knapsack over the groups of one model.

    Args:
        graph: of the model.
        groups: names of those that may be cut.
        ladders: of each.
        costing: of the model; its limits are to hold.
    """

    def __init__(
        self, graph: Graph, groups: Sequence[str], ladders: Sequence[Ladder], costing: Costing
    ) -> None:
        self._names, self._ladders, self._costing = groups, ladders, costing
        self._prices = prices_of(graph, groups)
        self._sizes = np.array([each.size for each in ladders], np.int64)
        self._each = np.array([costing.per_channel.get(name, 0.0) for name in groups], np.float64)
        self._start = np.array([each.stops[0] for each in ladders], np.int64)

    def steps(self) -> list[int] | None:
        """How many steps each group goes down; ``None`` where the budgets are out of reach.

        Where costs add up (a latency table alone) no other choice loses less. MACs and parameters
        are products of widths: there the step goes that loses the least score for what it saves at
        the widths of the moment, until the budgets hold; then steps are given back, the dearest
        first, as far as they still do, and single steps are traded for others while less is lost.
        So no group could take back a step.
        """
        limits = self._costing.limits
        if set(limits) == {"latency_ms"}:
            return self._additive(limits["latency_ms"])
        taken = self._walked(limits)
        if taken is None:
            return None
        steps = self._counted(taken)
        back = self._given_back(steps, limits)
        # What is estimated nearly always is what the graph says, which has the last word.
        steps = back if within(self.costs(back), limits) else steps
        return self._traded(steps, limits) if sum(steps) <= TRADED else steps

    def holds(self, steps: Sequence[int]) -> bool:
        """Whether the budgets hold after so many steps."""
        return within(self.costs(steps), self._costing.limits)

    def costs(self, steps: Sequence[int]) -> dict[str, float]:
        """By kind, what is left after so many steps."""
        drops = zip(self._names, self._ladders, steps, strict=True)
        return self._costing.costs({name: each.gone(count) for name, each, count in drops})

    def _additive(self, limit: float) -> list[int] | None:
        options = [
            Options(
                cost * (each.stops - each.stops[0]).astype(np.float64),
                np.append(0.0, np.cumsum(each.price * np.diff(each.stops))),
            )
            for each, cost in zip(self._ladders, self._each, strict=True)
        ]
        now = self.costs([0] * len(options))["latency_ms"]
        try:
            return least_lost(options, max(now - limit, 0.0))
        except ValueError:
            return None

    def _walked(self, limits: Mapping[str, float]) -> list[int] | None:
        """The steps by the number of their group, in the order in which they are taken: the fewest
        after which the budgets hold."""
        taken: list[int] = []
        aims = dict(limits)
        while True:
            more = self._walk(self._counted(taken), aims)
            taken += more
            costs = self._after(taken)
            if within(costs, limits):
                break
            if not more:
                return None
            # The estimate was too low by so much.
            aims = {k: aims[k] * min(1.0, limits[k] / costs[k]) * 0.999 for k in aims}
        low, high = -1, len(taken)
        # Where the estimate is exact, which it nearly always is, the last step decides.
        middle = high - 1
        while low < middle < high:
            if within(self._after(taken[:middle]), limits):
                high = middle
            else:
                low = middle
            middle = (low + high) // 2
        return taken[:high]

    def _after(self, taken: Sequence[int]) -> dict[str, float]:
        return self.costs(self._counted(taken))

    def _counted(self, taken: Sequence[int]) -> list[int]:
        counts: list[int] = np.bincount(
            np.asarray(taken, np.int64), minlength=len(self._ladders)
        ).tolist()
        return counts

    def _walk(
        self, start: Sequence[int], limits: Mapping[str, float], *, barred: int | None = None
    ) -> list[int]:
        """The steps from ``start`` until the estimate is within, or no step is left but of the
        group ``barred``."""
        steps = np.array(start, np.int64)
        taken: list[int] = []
        while True:
            kept = self._kept(steps)
            over = {
                kind: excess
                for kind, limit in limits.items()
                if (excess := self._estimated(kind, kept) - limit) > 1e-12 * limit
            }
            slopes = np.zeros(steps.size)
            for kind, excess in over.items():
                slopes += self._slope(kind, kept) / excess
            heap = [
                (each.price[count] / slope, place)
                for place, (each, count, slope) in enumerate(
                    zip(self._ladders, steps.tolist(), slopes.tolist(), strict=True)
                )
                if count < each.price.size and slope > 0 and place != barred
            ]
            if not heap:
                return taken
            heapq.heapify(heap)
            self._stride(heap, steps, slopes, taken)

    def _stride(
        self, heap: list[tuple[float, int]], steps: Ints, slopes: Floats, taken: list[int]
    ) -> None:
        """Some steps, the cheapest first."""
        saved = 0.0
        while heap and saved < STRIDE:
            _, place = heap[0]
            each, count = self._ladders[place], int(steps[place])
            saved += slopes[place] * float(each.stops[count + 1] - each.stops[count])
            steps[place] += 1
            taken.append(place)
            if count + 1 < each.price.size:
                heapq.heapreplace(heap, (each.price[count + 1] / slopes[place], place))
            else:
                heapq.heappop(heap)

    def _given_back(self, steps: list[int], limits: Mapping[str, float]) -> list[int]:
        """Steps taken back, the dearest first, while by the estimate the budgets hold."""
        tried = list(steps)
        stuck: set[int] = set()
        while True:
            last = [
                (float(self._ladders[place].price[count - 1] * self._width(place, count)), place)
                for place, count in enumerate(tried)
                if count and place not in stuck
            ]
            if not last:
                break
            _, place = max(last)
            tried[place] -= 1
            kept = self._kept(np.array(tried, np.int64))
            if not within({kind: self._estimated(kind, kept) for kind in limits}, limits):
                tried[place] += 1
                stuck.add(place)
        return tried

    def _traded(self, steps: list[int], limits: Mapping[str, float]) -> list[int]:
        """For each group in turn one step less, and others in its place, where that loses less."""
        best, least = steps, self._lost(steps)
        for place in range(len(steps)):
            if not best[place]:
                continue
            tried = list(best)
            tried[place] -= 1
            for other in self._walk(tried, limits, barred=place):
                tried[other] += 1
            tried = self._given_back(tried, limits)
            if (lost := self._lost(tried)) < least and within(self.costs(tried), limits):
                best, least = tried, lost
        return best

    def _lost(self, steps: Sequence[int]) -> float:
        pairs = zip(self._ladders, steps, strict=True)
        return sum(float(e.price[:n] @ np.diff(e.stops[: n + 1])) for e, n in pairs)

    def _width(self, place: int, count: int) -> int:
        stops = self._ladders[place].stops
        return int(stops[count] - stops[count - 1])

    def _kept(self, steps: Ints) -> Ints:
        stops = [each.stops[count] for each, count in zip(self._ladders, steps, strict=True)]
        return self._sizes - np.array(stops, np.int64)

    def _estimated(self, kind: str, kept: Ints) -> float:
        if kind == "latency_ms":
            # What lies outside the groups that may be cut does not change.
            spared = float(self._each @ (self._sizes - kept))
            return self._costing.whole[kind] - spared
        if kind == "bytes":
            return BYTES * self._prices.cost("parameters", kept)
        return self._prices.cost("macs" if kind == "macs" else "parameters", kept)

    def _slope(self, kind: str, kept: Ints) -> Floats:
        if kind == "latency_ms":
            return self._each
        if kind == "bytes":
            return BYTES * self._prices.slope("parameters", kept)
        return self._prices.slope("macs" if kind == "macs" else "parameters", kept)
