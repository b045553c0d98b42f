"""What a Keras model is to the rest: its weights by name, its digests, its file."""

from edgeprune.models.digests import architecture_digest, values_digest
from edgeprune.models.names import Kernel, kernels, named_layers, named_weights

__all__ = [
    "Kernel",
    "architecture_digest",
    "kernels",
    "named_layers",
    "named_weights",
    "values_digest",
]
