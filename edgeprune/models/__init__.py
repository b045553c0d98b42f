"""What a Keras model is to the rest: its weights by name, its digests, its file, its costs."""

from edgeprune.models.cloning import clone, rebuilt
from edgeprune.models.compiled import dropped
from edgeprune.models.costs import (
    kernel_elements,
    kernel_nonzero,
    layer_macs,
    macs,
    nonzero,
    parameters,
    sparsity,
)
from edgeprune.models.digests import architecture_digest, settings_digest, values_digest
from edgeprune.models.loading import build_model, check_values, load_model
from edgeprune.models.names import Kernel, kernels, named_layers, named_weights
from edgeprune.models.objectives import Objective, make_objective
from edgeprune.models.references import is_reference, referred
from edgeprune.models.saving import save_model
from edgeprune.models.tasks import Task, make_task
from edgeprune.models.unfitting import difference

__all__ = [
    "Kernel",
    "Objective",
    "Task",
    "architecture_digest",
    "build_model",
    "check_values",
    "clone",
    "difference",
    "dropped",
    "is_reference",
    "kernel_elements",
    "kernel_nonzero",
    "kernels",
    "layer_macs",
    "load_model",
    "macs",
    "make_objective",
    "make_task",
    "named_layers",
    "named_weights",
    "nonzero",
    "parameters",
    "rebuilt",
    "referred",
    "save_model",
    "settings_digest",
    "sparsity",
    "values_digest",
]
