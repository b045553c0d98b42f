"""What a call multiplies: which kernels, how often, and which activations with each other.

Each :class:`Work` is a product of lengths, so that surgery can say what is left of it when some of
these axes lose channels. The same list is what :func:`edgeprune.models.macs` counts.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras.src.ops import nn
from keras.src.ops import numpy as numeric

from edgeprune.models.calls import Call, Shape, attended
from edgeprune.models.names import kernels


@dataclass(frozen=True)
class Length:
    """The length of one axis.

    Attributes:
        of: what the axis is of.
        place: number of the input or output, or the weight's name inside the layer.
        axis: counted from 0, the batch left out.
    """

    of: Literal["input", "output", "weight"]
    place: int | str
    axis: int


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one call: (elements of ``weight``) × (each length) × ``times``.

    Attributes:
        weight: a kernel by its name inside the layer; ``None`` for activations with activations.
        lengths: the axes over which the product runs; one that is free counts as one.
        times: what does not change.
    """

    weight: str | None
    lengths: tuple[Length, ...] = ()
    times: int = 1


def works(call: Call) -> tuple[Work, ...]:
    """All that one call of a layer or operation multiplies; nested models are not opened.

    A class of the user's says it in its attribute ``edgeprune_works``, a function of the call. Of
    one that does not, every kernel of a layer inside it counts at every position that comes out.
    """
    own = vars(type(call.layer)).get("edgeprune_works")
    if own is not None:
        return tuple(getattr(own, "__func__", own)(call))
    for kind in type(call.layer).__mro__:
        rule = _WORKS.get(kind)
        if rule is not None:
            return tuple(rule(call))
    if not isinstance(call.layer, keras.Layer) or not call.layer.weights or not call.outputs:
        return ()
    return tuple(
        Work(name, positions(call))
        for name, kernel in kernels(call.layer).items()
        if kernel.kind != "embedding"
    )


def counted(call: Call, work: Work, shapes: Mapping[str, Sequence[int]]) -> int:
    """Multiply-accumulates of ``work`` for one example.

    Args:
        call: the call.
        work: one of its works.
        shapes: of the layer's weights by their names inside it.
    """
    total = work.times if work.weight is None else work.times * math.prod(shapes[work.weight])
    for length in work.lengths:
        total *= length_of(call, length, shapes) or 1
    return total


def positions(call: Call) -> tuple[Length, ...]:
    """The axes of the first output but the last, the channels'."""
    return _axes("output", 0, _before_last(call.out_shapes[0]))


def estimated(layer: Any) -> bool:
    """Whether the works of a layer are an estimate: a class of the user's that has weights and does
    not say what it multiplies."""
    kind = type(layer)
    if kind.__module__.startswith("keras.") or isinstance(layer, keras.Model) or not layer.weights:
        return False
    return "edgeprune_works" not in vars(kind) and not any(one in _WORKS for one in kind.__mro__)


def length_of(call: Call, length: Length, shapes: Mapping[str, Sequence[int]]) -> int | None:
    """How long an axis is; ``None`` where it is free."""
    if isinstance(length.place, str):
        return shapes[length.place][length.axis]
    tensors = call.in_shapes if length.of == "input" else call.out_shapes
    return tensors[length.place][length.axis]


def _axes(of: Literal["input", "output"], place: int, axes: Sequence[int]) -> tuple[Length, ...]:
    return tuple(Length(of, place, axis) for axis in axes)


def _before_last(shape: Shape) -> range:
    return range(len(shape) - 1)


def _every_kernel(call: Call, lengths: tuple[Length, ...], times: int = 1) -> list[Work]:
    return [Work(name, lengths, times) for name in kernels(call.layer)]


def _dense(call: Call) -> list[Work]:
    return _every_kernel(call, _axes("input", 0, _before_last(call.in_shapes[0])))


def _spatial(call: Call, of: Literal["input", "output"], shape: Shape) -> list[Work]:
    first = getattr(call.layer, "data_format", "channels_last") == "channels_first"
    return _every_kernel(call, _axes(of, 0, range(first, len(shape) - 1 + first)))


def _convolution(call: Call) -> list[Work]:
    return _spatial(call, "output", call.out_shapes[0])


def _transposed(call: Call) -> list[Work]:
    return _spatial(call, "input", call.in_shapes[0])


def _einsum_dense(call: Call) -> list[Work]:
    # Every letter of the equation is a loop; those of the kernel are its own elements, and the
    # first letter is the batch.
    terms, given = call.layer.equation.split("->")
    term, kernel = terms.split(",")
    taken, given = (
        _spelled(text, len(shape) + 1)
        for text, shape in ((term, call.in_shapes[0]), (given, call.out_shapes[0]))
    )
    lengths = [
        Length("input", 0, axis)
        for axis, letter in enumerate(taken[1:])
        if letter not in kernel and letter not in taken[1 + axis + 1 :]
    ]
    lengths += [
        Length("output", 0, axis)
        for axis, letter in enumerate(given[1:])
        if letter not in kernel and letter not in taken
    ]
    return _every_kernel(call, tuple(lengths))


def _spelled(term: str, rank: int) -> str:
    """A term of an equation with letters for its ellipsis, the last one always the same."""
    gap = rank - len(term.replace("...", ""))
    # Capitals from the end of the alphabet: equations are written in small letters.
    return term.replace("...", string.ascii_uppercase[26 - gap :]) if gap else term


def _recurrent(call: Call) -> list[Work]:
    return _every_kernel(call, _axes("input", 0, range(1)))


def _recurrent_convolution(call: Call) -> list[Work]:
    shape = call.layer.compute_output_shape((None, *call.in_shapes[0]))
    shape = shape[0] if isinstance(shape, list) else shape
    rank = call.layer.rank if hasattr(call.layer, "rank") else len(call.in_shapes[0]) - 2
    spatial = math.prod(length or 1 for length in shape[-1 - rank : -1])
    return _every_kernel(call, _axes("input", 0, range(1)), spatial)


def _projections_and_scores(call: Call) -> list[Work]:
    """Vaswani et al., https://arxiv.org/abs/1706.03762, section 3.2: four projections, the scores
    QKᵀ, and the weighted sum of the values."""
    query, key, value = attended(call)
    asked, found, read = (
        _axes("input", place, _before_last(call.in_shapes[place])) for place in (query, key, value)
    )
    sources = {"key": found, "value": read}
    projected = [
        Work(name, sources.get(name.split("_", 1)[0], asked)) for name in kernels(call.layer)
    ]
    axes = getattr(call.layer, "_attention_axes", None)
    seen = found if axes is None else _axes("input", key, [axis - 1 for axis in axes])
    heads = Length("weight", "query_dense/kernel", 1)
    widths = [Length("weight", f"{name}_dense/kernel", 2) for name in ("query", "value")]
    return [*projected, *(Work(None, (*asked, *seen, heads, width)) for width in widths)]


def _weighted_sum(call: Call) -> list[Work]:
    """Attention without kernels: scores, where they are products, and the sum of the values."""
    query, key, value = attended(call)
    every = [range(len(shape)) for shape in call.in_shapes]
    asked = _axes("input", query, every[query][:-1])
    found = _axes("input", key, every[key][-2:-1])
    sums = Work(None, (*asked, *found, *_axes("input", value, every[value][-1:])))
    if not _scores_are_products(call.layer):
        return [sums]
    return [Work(None, (*asked, *found, *_axes("input", query, every[query][-1:]))), sums]


def _scores_are_products(layer: Any) -> bool:
    if isinstance(layer, keras.layers.AdditiveAttention):
        return bool(layer.use_scale)
    return bool(layer.score_mode == "dot")


def _dot(call: Call) -> list[Work]:
    given = call.layer.axes
    last = (given, given) if isinstance(given, int) else given
    # Keras counts the batch in.
    meets = last[1] % (len(call.in_shapes[1]) + 1) - 1
    rest = [axis for axis in range(len(call.in_shapes[1])) if axis != meets]
    first = _axes("input", 0, range(len(call.in_shapes[0])))
    return [Work(None, (*first, *_axes("input", 1, rest)))]


def _matmul(call: Call) -> list[Work]:
    if len(call.inputs) != 2 or min(map(len, call.in_shapes)) < 2:
        return []
    made = _axes("output", 0, range(len(call.out_shapes[0])))
    return [Work(None, (*made, Length("input", 0, len(call.in_shapes[0]) - 1)))]


def _einsum(call: Call) -> list[Work]:
    terms = call.layer.subscripts.split("->")[0].split(",")
    if len(terms) != 2 or len(call.inputs) != 2:
        return []
    places: dict[str, Length] = {}
    for place, (term, shape) in enumerate(zip(terms, call.in_shapes, strict=True)):
        for axis, letter in enumerate(_spelled(term, len(shape) + 1)[1:]):
            places.setdefault(letter, Length("input", place, axis))
    return [Work(None, tuple(places.values()))]


def _dot_product_attention(call: Call) -> list[Work]:
    # (positions, heads, width) each, queries first.
    asked = _axes("input", 0, range(2))
    return [
        Work(None, (*asked, Length("input", place, 0), Length("input", width, 2)))
        for place, width in ((1, 0), (2, 2))
    ]


def _nothing(call: Call) -> list[Work]:
    return []


_layers = keras.layers
_WORKS: Mapping[type, Callable[[Call], list[Work]]] = {
    _layers.Dense: _dense,
    _layers.EinsumDense: _einsum_dense,
    _layers.Embedding: _nothing,
    _layers.Conv1D: _convolution,
    _layers.Conv2D: _convolution,
    _layers.Conv3D: _convolution,
    _layers.DepthwiseConv1D: _convolution,
    _layers.DepthwiseConv2D: _convolution,
    _layers.SeparableConv1D: _convolution,
    _layers.SeparableConv2D: _convolution,
    _layers.Conv1DTranspose: _transposed,
    _layers.Conv2DTranspose: _transposed,
    _layers.Conv3DTranspose: _transposed,
    _layers.ConvLSTM1D: _recurrent_convolution,
    _layers.ConvLSTM2D: _recurrent_convolution,
    _layers.ConvLSTM3D: _recurrent_convolution,
    _layers.RNN: _recurrent,
    _layers.Bidirectional: _recurrent,
    _layers.MultiHeadAttention: _projections_and_scores,
    _layers.GroupQueryAttention: _projections_and_scores,
    _layers.Attention: _weighted_sum,
    _layers.AdditiveAttention: _weighted_sum,
    _layers.Dot: _dot,
    numeric.Matmul: _matmul,
    numeric.Einsum: _einsum,
    nn.DotProductAttention: _dot_product_attention,
}
