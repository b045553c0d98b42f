"""A file against the model that it came from."""

from edgeprune.verification.files import MINIMUM, TOLERANCE, verify_file

__all__ = ["MINIMUM", "TOLERANCE", "verify_file"]
