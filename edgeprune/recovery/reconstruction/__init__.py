"""Least squares: the weights that are left, solved so that each layer answers as the dense one."""

from edgeprune.recovery.reconstruction.matching import (
    Matched,
    check_same,
    known_channels,
    match_channels,
    slices_of,
)
from edgeprune.recovery.reconstruction.reconstructing import reconstruct_with_report
from edgeprune.recovery.reconstruction.reports import LayerFit, Reconstruction

__all__ = [
    "LayerFit",
    "Matched",
    "Reconstruction",
    "check_same",
    "known_channels",
    "match_channels",
    "reconstruct_with_report",
    "slices_of",
]
