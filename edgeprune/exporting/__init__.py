"""A plain Keras model becomes a file; the facts of a file are read back from it."""

from edgeprune.exporting.reading import read_artifact
from edgeprune.exporting.tracing import Forms
from edgeprune.exporting.writing import (
    SUFFIXES,
    check_variant,
    export_model,
    export_variant,
    variant_for,
)
from edgeprune.variants import VARIANTS

__all__ = [
    "SUFFIXES",
    "VARIANTS",
    "Forms",
    "check_variant",
    "export_model",
    "export_variant",
    "read_artifact",
    "variant_for",
]
