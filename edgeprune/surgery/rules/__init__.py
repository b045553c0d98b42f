"""Which rule a layer class follows: one explicit mapping, no registration at import."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from edgeprune.surgery.rules.base import Rule
from edgeprune.surgery.rules.convolution import ConvolutionRule, DepthwiseRule
from edgeprune.surgery.rules.dense import DenseRule
from edgeprune.surgery.rules.elementwise import (
    ActivationRule,
    ElementwiseRule,
    MixingRule,
    PassRule,
)
from edgeprune.surgery.rules.normalization import (
    BatchNormRule,
    NormalizationRule,
    RescalingRule,
)
from edgeprune.surgery.rules.shapes import (
    GlobalPoolingRule,
    PaddingRule,
    PoolingRule,
    ReshapeRule,
)

_layers = keras.layers

RULES: Mapping[type, Rule] = {
    _layers.Dense: DenseRule(),
    _layers.Conv1D: ConvolutionRule(),
    _layers.Conv2D: ConvolutionRule(),
    _layers.DepthwiseConv2D: DepthwiseRule(),
    _layers.BatchNormalization: BatchNormRule(),
    _layers.Normalization: NormalizationRule(),
    _layers.Rescaling: RescalingRule(),
    _layers.Activation: ActivationRule(),
    _layers.ReLU: ElementwiseRule(),
    _layers.LeakyReLU: ElementwiseRule(),
    _layers.ELU: ElementwiseRule(),
    _layers.Softmax: MixingRule(),
    _layers.Identity: PassRule(),
    _layers.Dropout: PassRule(),
    _layers.AlphaDropout: PassRule(),
    _layers.GaussianDropout: PassRule(),
    _layers.GaussianNoise: PassRule(),
    _layers.SpatialDropout1D: PassRule(),
    _layers.SpatialDropout2D: PassRule(),
    _layers.AveragePooling1D: PoolingRule(),
    _layers.AveragePooling2D: PoolingRule(),
    _layers.MaxPooling1D: PoolingRule(),
    _layers.MaxPooling2D: PoolingRule(),
    _layers.GlobalAveragePooling1D: GlobalPoolingRule(),
    _layers.GlobalAveragePooling2D: GlobalPoolingRule(),
    _layers.GlobalMaxPooling1D: GlobalPoolingRule(),
    _layers.GlobalMaxPooling2D: GlobalPoolingRule(),
    _layers.ZeroPadding1D: PaddingRule(),
    _layers.ZeroPadding2D: PaddingRule(),
    _layers.Flatten: ReshapeRule(),
    _layers.Reshape: ReshapeRule(),
}
"""By exact class: a subclass may do anything, so it is a wall."""

__all__ = ["RULES", "Rule"]
