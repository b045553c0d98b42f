"""A plain Keras model becomes a file; the facts of a file are read back from it."""

from edgeprune.exporting.reading import read_artifact
from edgeprune.exporting.writing import (
    SUFFIXES,
    VARIANTS,
    check_variant,
    export_model,
    export_variant,
)

__all__ = [
    "SUFFIXES",
    "VARIANTS",
    "check_variant",
    "export_model",
    "export_variant",
    "read_artifact",
]
