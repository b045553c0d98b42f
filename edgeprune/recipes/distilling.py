"""The table ``[distill]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edgeprune.documents import OneOrMore, Strict


class Distill(Strict):
    """Settings of the step "distill"; epochs, rate and the like are those of ``[finetune]``."""

    temperature: Annotated[float, Field(gt=0)] = Field(
        default=2.0, description="By which the logits of both models are divided."
    )
    alpha: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="Share of the labels in the loss; 0: the dense model alone."
    )
    features: OneOrMore = Field(
        default=(),
        description='Layers whose outputs are to be the dense model\'s too; "auto": all of equal '
        "shape.",
    )
    features_weight: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="How much they count."
    )
