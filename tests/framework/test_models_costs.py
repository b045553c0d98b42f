"""What models cost, counted by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from edgeprune import models

L = keras.layers


def _image(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((8, 8, 4)), *layers])


def _steps(*layers: Any) -> Any:
    return keras.Sequential([keras.Input((10, 4)), *layers])


def _attention() -> Any:
    q, s = keras.Input((7, 16)), keras.Input((5, 16))
    return keras.Model([q, s], L.MultiHeadAttention(2, 4)(q, s))


def _over_time() -> Any:
    q = keras.Input((7, 3, 8))
    return keras.Model(q, L.MultiHeadAttention(2, 4, attention_axes=(1,))(q, q))


def _weightless(kind: Any, *shapes: Any, **settings: Any) -> Any:
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, L.Identity()(kind(**settings)(inputs)))


def _operation(operation: Any, *shapes: Any) -> Any:
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, L.Identity()(operation(*inputs)))


def _shared() -> Any:
    i = keras.Input((6,))
    layer = L.Dense(6)
    return keras.Model(i, layer(layer(i)))


CASES = {
    "dense": (_steps(L.Dense(3)), 10 * 4 * 3),
    "einsum": (_steps(L.EinsumDense("abc,cd->abd", output_shape=(None, 3))), 10 * 4 * 3),
    "einsum heads": (_steps(L.EinsumDense("abc,cde->abde", output_shape=(None, 3, 2))), 10 * 24),
    "conv same stride 2": (_image(L.Conv2D(5, 3, strides=2, padding="same")), 16 * 9 * 4 * 5),
    "grouped": (_image(L.Conv2D(6, 3, groups=2)), 36 * 9 * 2 * 6),
    "transposed": (_image(L.Conv2DTranspose(5, 3, strides=2)), 64 * 9 * 4 * 5),
    "depthwise": (_image(L.DepthwiseConv2D(3, depth_multiplier=2)), 36 * 9 * 8),
    "separable": (_image(L.SeparableConv2D(5, 3)), 36 * (9 * 4 + 4 * 5)),
    "lstm": (_steps(L.LSTM(5)), 10 * (4 * 20 + 5 * 20)),
    "bidirectional": (_steps(L.Bidirectional(L.GRU(3))), 2 * 10 * (4 * 9 + 3 * 9)),
    "time distributed": (_steps(L.TimeDistributed(L.Dense(3))), 10 * 12),
    "embedding": (keras.Sequential([keras.Input((9,)), L.Embedding(20, 6)]), 0),
    "attention": (_attention(), 7 * 128 + 2 * 5 * 128 + 7 * 128 + 2 * (4 + 4) * 7 * 5),
    # Projections at 21 positions; scores and sums for 7 × 7 pairs in each of three columns.
    "attention over one axis": (_over_time(), 21 * 4 * 64 + 3 * 2 * 8 * 49),
    "attention without weights": (_weightless(L.Attention, (7, 4), (5, 4)), 2 * 7 * 5 * 4),
    "concat scores": (_weightless(L.Attention, (7, 4), (5, 4), score_mode="concat"), 7 * 5 * 4),
    "additive attention": (_weightless(L.AdditiveAttention, (7, 4), (5, 4)), 2 * 7 * 5 * 4),
    "dot": (_weightless(L.Dot, (7, 4), (7, 5), axes=1), 7 * 4 * 5),
    "matmul": (_operation(keras.ops.matmul, (3, 7, 4), (3, 4, 5)), 3 * 7 * 4 * 5),
    "einsum of two": (
        _operation(lambda a, b: keras.ops.einsum("bhtc,bhsc->bhts", a, b), (2, 7, 4), (2, 5, 4)),
        2 * 7 * 5 * 4,
    ),
    "matmul with a constant": (_operation(lambda a: a @ np.ones((4, 5)), (7, 4)), 0),
    "shared": (_shared(), 72),
    "nested": (_steps(keras.Sequential([keras.Input((10, 4)), L.Dense(3)])), 120),
    "norms": (_image(L.BatchNormalization(), L.ReLU(), L.MaxPooling2D()), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_macs(name: str) -> None:
    model, expected = CASES[name]
    assert models.macs(model) == expected


def test_counts() -> None:
    model = _image(L.Conv2D(5, 3), L.BatchNormalization(), L.Flatten(), L.Dense(2))
    assert models.parameters(model) == model.count_params()
    assert models.kernel_elements(model) == 9 * 4 * 5 + 36 * 5 * 2
    kernel = np.ones((3, 3, 4, 5), np.float32)
    kernel[..., :2] = 0
    model.layers[0].kernel.assign(kernel)
    assert models.kernel_nonzero(model) == 9 * 4 * 3 + 360
    assert models.sparsity(model, model) == pytest.approx(72 / 540)
    assert models.nonzero(model) == models.kernel_nonzero(model) + 5 + 5


def test_sparsity_is_of_the_original_whatever_was_stripped() -> None:
    from edgeprune.plans import Plan
    from edgeprune.surgery import strip, trace, zero

    model = _image(L.Conv2D(8, 3, name="c"), L.Flatten(), L.Dense(2))
    zeroed = zero(model, Plan.cut(trace(model), {"c": [0, 3, 4]}))
    small = strip(zeroed)
    assert models.kernel_elements(small) < models.kernel_elements(model)
    assert models.sparsity(small, model) == models.sparsity(zeroed, model) > 0.3
