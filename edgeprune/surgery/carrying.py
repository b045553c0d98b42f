"""A decision carried out: weights sliced, constants folded, configs and calls changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.models.calls import Shape
from edgeprune.models.cloning import rebuilt
from edgeprune.surgery.deciding import Decision, Read, made_axes
from edgeprune.surgery.flows import After, Flow, Ids, Part
from edgeprune.surgery.grouped import spread
from edgeprune.surgery.initial import fitted
from edgeprune.surgery.leftovers import Leftovers
from edgeprune.surgery.slicing import sliced_by_all
from edgeprune.surgery.tracing import Step

Array = npt.NDArray[Any]


Places = Mapping[tuple[str, int], Ids]
"""By weight and axis, which positions are left, in their new order; only where some left. A grouped
convolution's kernel counts as spread out, an input after the other."""


def carried_out(decision: Decision, model: Any) -> tuple[Any, Places]:
    """What ``decision`` leaves of ``model``, which stays as it was, and where that stood."""
    carrier = _Carrier(decision)
    return carrier.carried(model), carrier.places


class _Carrier:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self.places: dict[tuple[str, int], Ids] = {}
        self._origins = decision.trace.origins
        self._orders = [decision.orders.get(origin.name) for origin in self._origins]
        self._values = Leftovers(decision.weights)
        self._configs: dict[str, tuple[Step, After, bool]] = {}
        self._calls: dict[int, Any] = {}
        self._shapes: dict[int, Shape] = {}
        self._reads: dict[int, list[Read]] = {}
        for read in decision.reads:
            self._reads.setdefault(id(read.step), []).append(read)

    def carried(self, model: Any) -> Any:
        flows: dict[int, Flow] = {}
        for step in self._decision.trace.steps:
            flows.update(zip(step.node.outputs, step.flows, strict=True))
            if step.rule is not None:
                self._carry(step, [flows[number] for number in step.node.inputs])
        self._rescale()

        def edit(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
            if name not in self._configs:
                return config
            step, after, biased = self._configs[name]
            return _edited(step, after, biased, self._initial(step, config))

        shapes = {
            tensor: self._shapes[number]
            for tensor, number in self._decision.trace.entries.items()
            if number in self._shapes
        }
        return rebuilt(model, self._values, edit, self._calls, shapes, self._decision.passed)

    def _initial(self, step: Step, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """A config whose initialisers hold no more than is left, where they hold a whole weight."""

        def left(name: str, held: Array) -> Array | None:
            shape, runs = self._decision.shape(name), self._decision.runs.get(name)
            if not self._values.changed(name) or not _broadcasts(held.shape, shape):
                return None
            whole = np.broadcast_to(held, shape)
            return self._values.cut(name, whole if runs is None else spread(whole, runs))

        return fitted(config, step.weights, left)

    def _carry(self, step: Step, inputs: list[Flow]) -> None:
        call = step.node.call
        biases = self._fold(step)
        self._slice(step)
        weights = {**step.weights, **biases}
        after = After(
            tuple(map(self._left, call.in_shapes, inputs)),
            tuple(map(self._left, call.out_shapes, step.flows)),
            {inner: self._values.shape(name) for inner, name in weights.items()},
            tuple(tuple(map(self._kept, flow)) for flow in inputs),
        )
        before = {inner: self._decision.shape(name) for inner, name in step.weights.items()}
        changed = (after.inputs, after.outputs, after.weights) != (
            call.in_shapes,
            call.out_shapes,
            {**before, **{inner: after.weights[inner] for inner in biases}},
        )
        self._shapes.update(zip(step.node.outputs, after.outputs, strict=True))
        if changed or biases:
            self._configs[step.name] = (step, after, bool(biases))
        if changed and step.rule is not None:
            instead = step.rule.instead(call, after)
            if instead is not None:
                self._calls[id(call.outputs[0])] = instead

    def _kept(self, lanes: tuple[Ids, ...]) -> Ids | None:
        return sliced_by_all(lanes, self._origins, self._orders)

    def _left(self, shape: Shape, flow: Flow) -> Shape:
        """A tensor's shape without what leaves."""
        left = []
        for length, lanes in zip(shape, flow, strict=True):
            keep = self._kept(lanes)
            left.append(length if keep is None else keep.size)
        return tuple(left)

    def _slice(self, step: Step) -> None:
        axes: dict[tuple[str, int], list[Ids]] = {}
        for part in step.parts:
            name = step.weights[part.weight]
            axes.setdefault((name, part.axis), []).append(part.ids)
        for (name, axis), lanes in axes.items():
            keep = self._kept(tuple(lanes))
            # A shared layer is sliced at its first call; its bias may be folded into again.
            if keep is not None and self._values.keep(name, axis, keep):
                self.places[name, axis] = keep
        for name, runs in step.runs.items():
            reads = next(part for part in step.parts if part.runs > 1)
            keep = self._kept(tuple(axes[name, reads.axis]))
            if keep is not None:
                runs = np.unique(keep // (reads.ids.size // runs)).size
            self._values.gather(name, runs)

    def _rescale(self) -> None:
        """What keeps the outputs when a length that the layer divides by has changed."""
        for step, after, _ in self._configs.values():
            assert step.rule is not None
            for inner, factor in step.rule.rescaled(step.node.call, after).items():
                self._values.scale(step.weights[inner], factor)

    def _fold(self, step: Step) -> dict[str, str]:
        """Move the constants of channels that leave into biases; the new ones among those, full
        names by the names inside the layer."""
        rule, call = step.rule, step.node.call
        assert rule is not None
        new = {}
        for inner, (delta, read) in self._deltas(step).items():
            kernel = self._decision.weights[step.weights[read.weight]]
            name = step.weights.get(inner)
            if name is None:
                name = new[inner] = f"{step.name}/{inner}"
                value = rule.shifted(call, read, None, self._sliced(step, read, delta))
            else:
                value = rule.shifted(call, read, self._decision.weights[name], delta)
            self._values.put(name, value.astype(kernel.dtype))
        return new

    def _deltas(self, step: Step) -> dict[str, tuple[Array, Part]]:
        """By bias: what leaving channels give to each channel that its layer makes, and a part
        that reads them."""
        found: dict[str, tuple[Array, Part]] = {}
        counted: dict[str, list[tuple[int, Array]]] = {}
        for (_, axis), reads in self._reads_of(step).items():
            first = reads[0]
            leaves = np.logical_or.reduce([self._leaves(read.part.ids) for read in reads])
            value = np.where(leaves & np.isfinite(first.value), first.value, 0.0)
            rows = np.flatnonzero(value)
            if not rows.size:
                continue
            kernel = self._decision.weights[step.weights[first.part.weight]]
            taken = np.take(kernel, rows, axis=axis).astype(np.float64)
            # What leaves along two axes at once is counted along the first.
            for other, gone in counted.get(first.part.weight, ()):
                np.moveaxis(taken, other, 0)[gone] = 0.0
            counted.setdefault(first.part.weight, []).append((axis, rows))
            kept = (axis, *made_axes(step, first.part))
            others = tuple(place for place in range(taken.ndim) if place not in kept)
            delta = np.tensordot(value[rows], taken.sum(axis=others, keepdims=True), (0, axis))
            delta = delta.reshape([taken.shape[place] for place in kept[1:]])
            if self._sliced(step, first.part, delta).any():
                assert step.rule is not None
                inner = step.rule.bias(step.node.call, first.part)
                total = found[inner][0] + delta if inner in found else delta
                found[inner] = (total, first.part)
        return found

    def _sliced(self, step: Step, read: Part, delta: Array) -> Array:
        """``delta``, one axis for each that the weight of ``read`` makes, without what leaves."""
        for place, (_, lanes) in enumerate(made_axes(step, read).items()):
            keep = self._kept(tuple(lanes))
            delta = delta if keep is None else np.take(delta, keep, axis=place)
        return delta

    def _reads_of(self, step: Step) -> dict[tuple[str, int], list[Read]]:
        found: dict[tuple[str, int], list[Read]] = {}
        for read in self._reads.get(id(step), ()):
            found.setdefault((read.part.weight, read.part.axis), []).append(read)
        return found

    def _leaves(self, ids: Ids) -> Array:
        return (ids >= 0) & self._decision.gone[np.maximum(ids, 0)]


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _edited(step: Step, after: After, biased: bool, config: Mapping[str, Any]) -> Mapping[str, Any]:
    assert step.rule is not None
    changed = dict(step.rule.resized(step.node.call, config, after))
    if biased and "use_bias" in changed:
        changed["use_bias"] = True
    return changed
