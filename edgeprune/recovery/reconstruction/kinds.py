"""Which classes of layers can be solved."""

from __future__ import annotations

from typing import Any

import keras

from edgeprune.recovery.reconstruction.convolutions import (
    ConvolutionSums,
    DepthwiseSums,
    SeparableSums,
    TransposedSums,
)
from edgeprune.recovery.reconstruction.sums import DenseSums, EinsumSums, Sums

_L = keras.layers
_KINDS: dict[type, type[Sums]] = {
    _L.Dense: DenseSums,
    _L.EinsumDense: EinsumSums,
    _L.Conv1D: ConvolutionSums,
    _L.Conv2D: ConvolutionSums,
    _L.Conv3D: ConvolutionSums,
    _L.Conv1DTranspose: TransposedSums,
    _L.Conv2DTranspose: TransposedSums,
    _L.Conv3DTranspose: TransposedSums,
    _L.DepthwiseConv1D: DepthwiseSums,
    _L.DepthwiseConv2D: DepthwiseSums,
    _L.SeparableConv1D: SeparableSums,
    _L.SeparableConv2D: SeparableSums,
}


def sums_of(layer: Any) -> Sums | str:
    """How ``layer`` sums up, or why that is not known."""
    kind = _KINDS.get(type(layer))
    if kind is None:
        return f"it is not known how {type(layer).__name__} sums up"
    for name in ("kernel", "bias", "depthwise", "pointwise"):
        if getattr(layer, f"{name}_constraint", None) is not None:
            return f"its {name} has a constraint"
    try:
        return kind(layer)
    except ValueError as error:
        return str(error)
