"""Data: opened, checked against the model, split by seed, cut into batches."""

from edgeprune.feeding.batching import as_batches, as_dataset, as_inputs
from edgeprune.feeding.checking import check_fits
from edgeprune.feeding.dividing import Roles, check_enough, parted, roles
from edgeprune.feeding.indexed import from_arrays
from edgeprune.feeding.opening import open_data
from edgeprune.feeding.ordering import split, split_count
from edgeprune.feeding.weighting import weighted

__all__ = [
    "Roles",
    "as_batches",
    "as_dataset",
    "as_inputs",
    "check_enough",
    "check_fits",
    "from_arrays",
    "open_data",
    "parted",
    "roles",
    "split",
    "split_count",
    "weighted",
]
