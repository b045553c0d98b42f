"""Which channels of the dense model are left in the pruned one: equal slices of its weights.

Of a kernel the axes whose channels are known already are laid out as one vector, and each vector of
the pruned kernel is looked up among those of the dense one; what is zero in the pruned kernel may
have been anything. The dense model's graph says which axes of which weights are the same channels,
so that one find serves them all. Only kernels are looked at first: constants are folded into
biases, and statistics may have been taken anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.errors import ModelError, PlanError
from edgeprune.graphs import Graph, Member
from edgeprune.models import kernels, named_weights
from edgeprune.models.values import array_of
from edgeprune.recovery.reconstruction.lookups import each_its_own, looked_up, placed

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matched:
    """Where the pruned model's weights stand in the dense one.

    Attributes:
        places: by weight and axis, the dense positions; only where some have left.
        scales: by kernel, what it was multiplied with to keep the outputs; only where that is not 1
            (the width of attention's keys).
    """

    places: Mapping[tuple[str, int], Ids] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def along(self, weight: str, axis: int, length: int) -> Ids:
        """The dense positions of an axis of ``length`` positions there."""
        found = self.places.get((weight, axis))
        return np.arange(length) if found is None else found


def check_same(pruned: Any, dense: Any) -> None:
    """Refuse a model that was not made of ``dense``.

    Raises:
        ModelError: a layer that ``dense`` has not or has smaller, or other inputs or outputs.
    """
    then = "give the model that the pruned one was made of"
    theirs = {name: tuple(one.variable.shape) for name, one in kernels(dense).items()}
    for name, kernel in kernels(pruned).items():
        mine, other = tuple(kernel.variable.shape), theirs.get(name)
        if other is None or len(other) != len(mine) or any(map(int.__gt__, mine, other)):
            said = f"the dense model has {other}" if other else "the dense model has no such weight"
            raise ModelError(
                f"layer {name.rpartition('/')[0]!r}: {name!r} has shape {mine}, {said}; {then}"
            )
    for word in ("inputs", "outputs"):
        ours, its = (
            [tuple(tensor.shape) for tensor in getattr(one, word, None) or ()]
            for one in (pruned, dense)
        )
        if ours != its:
            raise ModelError(
                f"the {word} of the pruned model are {ours}, of the dense {its}; {then}"
            )


def match_channels(pruned: Any, dense: Any, graph: Graph | None) -> Matched:
    """Find the channels of ``pruned`` in ``dense``.

    Args:
        pruned: zeroed (the same shapes, whatever the values), or stripped.
        dense: what it was made of.
        graph: of ``dense``; needed where shapes differ.

    Raises:
        PlanError: weights that are no slices of the dense model's.
    """
    ours, theirs = _arrays(pruned), _arrays(dense)
    names = list(kernels(pruned))
    if all(ours[name].shape == theirs[name].shape for name in names):
        return Matched()
    if graph is None:
        raise PlanError("channels have left; their graph is needed to find the others")
    return _Matcher(ours, theirs, names, graph).matched()


def known_channels(made: Any, dense: Any, places: Mapping[tuple[str, int], Ids]) -> Matched:
    """The channels of a model whose making is known, whatever its values are.

    Args:
        made: what a plan made of ``dense``.
        dense: the model that it was made of.
        places: by weight and axis of ``dense``, the positions that are left, where some left.
    """
    ours, theirs = _arrays(made), _arrays(dense)
    names = list(kernels(made))
    # The inputs of a grouped convolution are counted in another way, and nobody asks for them.
    other = {
        (name, kernel.variable.ndim - 2)
        for name, kernel in kernels(dense).items()
        if getattr(kernel.layer, "groups", 1) > 1
    }
    left = {
        (name, axis): keep
        for (name, axis), keep in places.items()
        if name in names
        and (name, axis) not in other
        and ours[name].shape[axis] == keep.size < theirs[name].shape[axis]
    }
    return Matched(left, _scales(left, ours, theirs, names))


def slices_of(value: Array, weight: str, left: Mapping[tuple[str, int], Ids]) -> Array:
    """What is left of a dense weight."""
    for axis in range(value.ndim):
        if (weight, axis) in left:
            value = np.take(value, left[weight, axis], axis=axis)
    return value


def _arrays(model: Any) -> dict[str, Array]:
    return {name: array_of(variable) for name, variable in named_weights(model).items()}


def _scales(
    left: Mapping[tuple[str, int], Ids],
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    names: Sequence[str],
) -> dict[str, float]:
    """By kernel, the one number that it was multiplied with."""
    scales = {}
    for name in names:
        mine, slices = ours[name], slices_of(theirs[name], name, left)
        if mine.shape != slices.shape:
            continue
        there = (mine != 0) & (slices != 0)
        ratios = mine[there].astype(np.float64) / slices[there]
        scale = float(np.median(ratios)) if ratios.size else 1.0
        if scale != 1 and np.abs(ratios / scale - 1).max() < 1e-3:
            scales[name] = scale
    return scales


class _Matcher:
    def __init__(
        self,
        ours: Mapping[str, Array],
        theirs: Mapping[str, Array],
        names: list[str],
        graph: Graph,
    ) -> None:
        self._ours, self._theirs, self._names = ours, theirs, names
        self._sizes = {group.name: group.size for group in graph}
        self._on: dict[tuple[str, int], list[tuple[str, Member]]] = {}
        self._orders: dict[str, Ids] = {}
        self._hints: dict[str, list[Ids | None]] = {}
        self._looked: set[str] = set()
        self._failed: list[str] = []
        self._open: dict[str, list[tuple[str, int]]] = {}
        for group in graph:
            for member in group.members:
                if member.weight in ours:
                    place = (member.weight, member.axis)
                    self._on.setdefault(place, []).append((group.name, member))
                    self._open.setdefault(group.name, []).append(place)
        for name, places in self._open.items():
            if graph[name].fixed is not None or any(map(self._whole, places)):
                self._orders[name] = np.arange(self._sizes[name])

    def matched(self) -> Matched:
        vectors = [
            name for name, value in self._ours.items() if value.ndim == 1 and name in self._theirs
        ]
        # Vectors last: folding and new statistics change them, and never a kernel.
        for names in (self._names, vectors):
            while any(self._look(name) for name in names):
                pass  # what one weight tells may open another
        for name, places in self._open.items():
            if name not in self._orders:
                self._settle(name, places)
        left = {
            (name, axis): keep
            for name in self._names
            for axis, keep in self._axes(name).items()
            if keep.size < self._theirs[name].shape[axis]
        }
        return Matched(left, _scales(left, self._ours, self._theirs, self._names))

    def _axes(self, name: str) -> dict[int, Ids]:
        """By axis, what is left of a kernel, but for the inputs of a grouped convolution.

        Raises:
            PlanError: its length is another.
        """
        shape = self._ours[name].shape
        known = {axis: self._known(name, axis) for axis in range(len(shape))}
        found = {axis: keep for axis, keep in known.items() if keep is not None}
        # A part of a channel may have left, where its group has fallen apart.
        other = [axis for axis, keep in found.items() if keep.size != shape[axis]]
        if not other:
            return found
        theirs = self._theirs[name]
        for axis, keep in found.items():
            theirs = theirs if axis in other else np.take(theirs, keep, axis=axis)
        looked = looked_up(self._ours[name], theirs, other) if len(found) == len(shape) else None
        for axis, mates in zip(other, looked or [[] for _ in other], strict=True):
            every = np.arange(theirs.shape[axis])
            kept = each_its_own([every if one is None else one for one in mates], every.size)
            if kept is None or not mates:
                raise PlanError(
                    f"layer {name.rpartition('/')[0]!r}: {name!r} keeps {shape[axis]} positions "
                    f"along axis {axis}, its channels are left at {found[axis].size}; give the "
                    "model that the pruned one was made of"
                )
            found[axis] = np.sort(kept)
        return found

    def _settle(self, name: str, places: list[tuple[str, int]]) -> None:
        """Channels of which some have nothing but zeros: they make nothing, so that any of those
        that are left will do.

        Raises:
            PlanError: nothing is known of any.
        """
        hints = self._hints.get(name)
        failed = [weight for weight, _ in places if weight in self._failed]
        if hints is None or failed:
            weight = (failed or [places[0][0]])[0]
            raise PlanError(
                f"layer {weight.rpartition('/')[0]!r}: no channels of the dense model have the "
                f"weights that {weight!r} has (trained since they were cut?); give plan=, "
                "the plan that cut them, or reconstruct before training"
            )
        every = np.arange(self._sizes[name])
        self._decide(name, [every if one is None else one for one in hints])

    def _decide(self, name: str, candidates: Sequence[Ids]) -> bool:
        order = each_its_own(candidates, self._sizes[name])
        if order is not None:
            self._orders[name] = order
        return order is not None

    def _whole(self, place: tuple[str, int]) -> bool:
        """Whether an axis, of these channels alone, is as long as it was."""
        weight, axis = place
        if weight not in self._theirs or len(self._on[place]) > 1 or self._grouped(weight, axis):
            return False
        return self._ours[weight].shape[axis] == self._theirs[weight].shape[axis]

    def _grouped(self, weight: str, axis: int) -> bool:
        return any(member.channel.ndim > 1 for _, member in self._on[weight, axis])

    def _known(self, weight: str, axis: int) -> Ids | None:
        """The positions of an axis that are left, once all its channels are known."""
        lanes = self._on.get((weight, axis), [])
        keep = np.arange(self._theirs[weight].shape[axis])
        for name, member in lanes:
            if name not in self._orders:
                return None
            order, size = self._orders[name], self._sizes[name]
            if member.channel.ndim > 1:
                # Of a grouped convolution, each run may have lost other inputs.
                if order.size < size:
                    return None
                continue
            one = placed(member.channel, order, size)
            keep = one if len(lanes) == 1 else keep[np.isin(keep, one)]
        return keep

    def _look(self, weight: str) -> bool:
        """Look for the open channels of a weight; whether any group is known now."""
        if weight in self._looked:
            return False
        theirs, shape = self._theirs[weight], self._ours[weight].shape
        known = {axis: self._known(weight, axis) for axis in range(theirs.ndim)}
        unknown = [axis for axis, found in known.items() if found is None]
        lanes = [lane for axis in unknown for lane in self._on[weight, axis]]
        if not unknown or any(member.channel.ndim > 1 for _, member in lanes):
            return False
        for axis, keep in known.items():
            if keep is not None:
                if keep.size != shape[axis]:
                    return False
                theirs = np.take(theirs, keep, axis=axis)
        self._looked.add(weight)
        found = looked_up(self._ours[weight], theirs, unknown)
        if found is None:
            # A vector that fits nowhere took constants in, or new statistics: it tells nothing.
            self._failed += [weight] * (theirs.ndim > 1)
            return False
        if theirs.ndim == 1:
            # Many a number of a vector is like another: nought, or one, as it was made.
            single = [one if one is not None and one.size == 1 else None for one in found[0]]
            found = [single]
        told = [self._take(weight, axis, one) for axis, one in zip(unknown, found, strict=True)]
        return any(told)

    def _take(self, weight: str, axis: int, candidates: list[Ids | None]) -> bool:
        """Keep what a weight tells of an axis; whether any group is known now."""
        lanes = self._on[weight, axis]
        whole = [one for one in candidates if one is not None]
        if len(whole) == len(candidates):
            keep = each_its_own(whole, self._theirs[weight].shape[axis])
            for name, member in lanes if keep is not None else ():
                channels = member.channel[keep]
                _, first = np.unique(channels, return_index=True)
                order = channels[np.sort(first)]
                self._orders.setdefault(name, order[order >= 0].astype(np.int64))
            return keep is not None
        ((name, member), *others) = lanes
        if others or not np.array_equal(member.channel, np.arange(self._sizes[name])):
            return False
        hints = self._hints.setdefault(name, [None] * len(candidates))
        for place, (one, other) in enumerate(zip(hints, candidates, strict=True)):
            if one is None or other is None:
                hints[place] = other if one is None else one
            else:
                hints[place] = np.intersect1d(one, other)
        full = [one for one in hints if one is not None]
        return len(full) == len(hints) and self._decide(name, full)
