"""A file against the model that it came from."""

from edgeprune.verification.files import MINIMUM, TOLERANCE, verify_file
from edgeprune.verification.trying import export_tried

__all__ = ["MINIMUM", "TOLERANCE", "export_tried", "verify_file"]
