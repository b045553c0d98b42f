"""Which rule a layer class follows: one explicit mapping, no registration at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras.src.applications.convnext import LayerScale

from edgeprune.errors import ModelError
from edgeprune.surgery.rules.arithmetic import OPERATIONS
from edgeprune.surgery.rules.attention import GroupQueryAttentionRule, MultiHeadAttentionRule
from edgeprune.surgery.rules.base import Rule
from edgeprune.surgery.rules.bidirectional import RECURRENT
from edgeprune.surgery.rules.channels_first import ChannelsFirst
from edgeprune.surgery.rules.convolution import (
    ConvolutionRule,
    DepthwiseRule,
    GroupedRule,
    SeparableRule,
    TransposedRule,
)
from edgeprune.surgery.rules.dense import DenseRule, EmbeddingRule
from edgeprune.surgery.rules.distributed import DISTRIBUTED
from edgeprune.surgery.rules.dots import AdditiveAttentionRule, AttentionRule, DotRule
from edgeprune.surgery.rules.einsum import EinsumDenseRule
from edgeprune.surgery.rules.gathers import GATHERS
from edgeprune.surgery.rules.guarding import guarded
from edgeprune.surgery.rules.joins import MERGES
from edgeprune.surgery.rules.layer_norms import (
    GroupNormRule,
    LayerNormRule,
    RMSNormRule,
    UnitNormRule,
)
from edgeprune.surgery.rules.moves import MOVES
from edgeprune.surgery.rules.normalization import (
    BatchNormRule,
    NormalizationRule,
    RescalingRule,
)
from edgeprune.surgery.rules.pointwise import (
    ActivationRule,
    ElementwiseRule,
    LayerScaleRule,
    MaskingRule,
    MixingRule,
    PassRule,
    PReLURule,
)
from edgeprune.surgery.rules.products import PRODUCTS
from edgeprune.surgery.rules.pushed import PUSHED
from edgeprune.surgery.rules.reductions import REDUCTIONS
from edgeprune.surgery.rules.shapes import (
    CroppingRule,
    PaddingRule,
    PermuteRule,
    PoolingRule,
    RepeatVectorRule,
    ReshapeRule,
    ResizingRule,
    UpSamplingRule,
)

_layers = keras.layers


def _named(rule: Rule, *names: str) -> dict[type, Rule]:
    # Older Keras 3 lacks some.
    return {getattr(_layers, name): rule for name in names if hasattr(_layers, name)}


RULES: Mapping[type, Rule] = {
    **_named(DenseRule(), "Dense"),
    **_named(EmbeddingRule(), "Embedding"),
    **_named(ConvolutionRule(), "Conv1D", "Conv2D", "Conv3D"),
    **_named(TransposedRule(), "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    **_named(DepthwiseRule(), "DepthwiseConv1D", "DepthwiseConv2D"),
    **_named(SeparableRule(), "SeparableConv1D", "SeparableConv2D"),
    **_named(BatchNormRule(), "BatchNormalization"),
    **_named(NormalizationRule(), "Normalization"),
    **_named(RescalingRule(), "Rescaling"),
    **_named(LayerNormRule(), "LayerNormalization"),
    **_named(GroupNormRule(), "GroupNormalization"),
    **_named(RMSNormRule(), "RMSNormalization"),
    **_named(UnitNormRule(), "UnitNormalization"),
    **_named(EinsumDenseRule(), "EinsumDense"),
    **_named(MultiHeadAttentionRule(), "MultiHeadAttention"),
    **_named(GroupQueryAttentionRule(), "GroupQueryAttention"),
    **_named(AttentionRule(), "Attention"),
    **_named(AdditiveAttentionRule(), "AdditiveAttention"),
    **_named(DotRule(), "Dot"),
    **_named(ActivationRule(), "Activation"),
    **_named(ElementwiseRule(), "ReLU", "LeakyReLU", "ELU"),
    **_named(PReLURule(), "PReLU"),
    **_named(MixingRule(), "Softmax"),
    **_named(
        PassRule(),
        "Identity", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise",
        "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "ActivityRegularization",
    ),
    **_named(
        PoolingRule(),
        "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
        "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
        "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
        "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
        "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
        "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
    ),
    **_named(ResizingRule(), "Resizing", "CenterCrop"),
    **_named(MaskingRule(), "Masking"),
    **_named(PaddingRule(), "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"),
    **_named(CroppingRule(), "Cropping1D", "Cropping2D", "Cropping3D"),
    **_named(UpSamplingRule(), "UpSampling1D", "UpSampling2D", "UpSampling3D"),
    **_named(ReshapeRule(), "Flatten", "Reshape"),
    **_named(PermuteRule(), "Permute"),
    **_named(RepeatVectorRule(), "RepeatVector"),
    LayerScale: LayerScaleRule(),
    **MERGES,
    **RECURRENT,
    **DISTRIBUTED,
    **OPERATIONS,
    **PRODUCTS,
    **REDUCTIONS,
    **PUSHED,
    **MOVES,
    **GATHERS,
}  # fmt: skip
"""By exact class: a subclass may do anything, so it is a wall."""

_BY_DEPTH = _named(GroupedRule(), "Conv1D", "Conv2D", "Conv3D")
"""Where each group has one input channel."""


def rule_of(layer: Any) -> Rule | None:
    """The rule that a layer or operation follows; ``None`` for a wall.

    A class outside this package brings its own as its attribute ``edgeprune_rule``; its subclasses
    do not inherit it, since a subclass may do anything.
    """
    own = vars(type(layer)).get("edgeprune_rule")
    if isinstance(own, type) and issubclass(own, Rule):
        own = own()
    if isinstance(own, Rule):
        return guarded(own)
    if own is not None:
        raise ModelError(
            f"layer {layer.name!r}: edgeprune_rule of {type(layer).__name__} is "
            f"{own!r}; give an object of a class that extends edgeprune.surgery.rules.base.Rule"
        )
    rule = RULES.get(type(layer))
    if type(layer) in _BY_DEPTH and layer.groups > 1 and layer.kernel.shape[-2] == 1:
        rule = _BY_DEPTH[type(layer)]
    if rule is None or getattr(layer, "data_format", "channels_last") != "channels_first":
        return rule
    return ChannelsFirst(rule)


__all__ = ["RULES", "Rule", "rule_of"]
