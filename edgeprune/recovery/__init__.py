"""Setting the rest right after pruning, with the zeros held."""

from edgeprune.recovery.aims import Pace
from edgeprune.recovery.batchnorm import batch_norms, reestimate_batchnorm
from edgeprune.recovery.distilling import distill, has_labels
from edgeprune.recovery.features import check_features, kept_features
from edgeprune.recovery.fine_tuning import fine_tune
from edgeprune.recovery.growth import Growth
from edgeprune.recovery.histories import Epoch, History
from edgeprune.recovery.holding import hold
from edgeprune.recovery.ramping import Gauge, Growing, Ramp
from edgeprune.recovery.reconstruction import (
    LayerFit,
    Matched,
    Reconstruction,
    check_same,
    known_channels,
    match_channels,
    reconstruct_with_report,
    slices_of,
)
from edgeprune.recovery.teaching import Teaching, check_teacher

__all__ = [
    "Epoch",
    "Gauge",
    "Growing",
    "Growth",
    "History",
    "LayerFit",
    "Matched",
    "Pace",
    "Ramp",
    "Reconstruction",
    "Teaching",
    "batch_norms",
    "check_features",
    "check_same",
    "check_teacher",
    "distill",
    "fine_tune",
    "has_labels",
    "hold",
    "kept_features",
    "known_channels",
    "match_channels",
    "reconstruct_with_report",
    "reestimate_batchnorm",
    "slices_of",
]
