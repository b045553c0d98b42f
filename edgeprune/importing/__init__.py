"""Other people's models in: what Keras 2 wrote becomes a plain Keras 3 model, and is compared."""

from edgeprune.importing.imported import Differences, Imported
from edgeprune.importing.opening import open_model, open_named

__all__ = ["Differences", "Imported", "open_model", "open_named"]
