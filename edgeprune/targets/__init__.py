"""Device profiles, ``targets/*.toml``: what a board is and takes. A new board is one file."""

from edgeprune.targets.finding import NAME, common_multiple, folders, found, unknown
from edgeprune.targets.profile import Target
from edgeprune.targets.sections import (
    Cluster,
    EthosU,
    Figure,
    Format,
    LatencyTable,
    Limits,
    Runtime,
)
from edgeprune.targets.starting import started

__all__ = [
    "NAME",
    "Cluster",
    "EthosU",
    "Figure",
    "Format",
    "LatencyTable",
    "Limits",
    "Runtime",
    "Target",
    "common_multiple",
    "folders",
    "found",
    "started",
    "unknown",
]
