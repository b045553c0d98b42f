"""What a model or a file is: layers, groups, density, where the bytes are. Changes nothing."""

from edgeprune.inspection.artifacts_read import inspect_file
from edgeprune.inspection.models_read import inspect_model

__all__ = ["inspect_file", "inspect_model"]
