"""Setting the rest right after pruning, with the zeros held."""

from edgeprune.recovery.batchnorm import batch_norms, reestimate_batchnorm
from edgeprune.recovery.fine_tuning import fine_tune
from edgeprune.recovery.histories import Epoch, History
from edgeprune.recovery.holding import hold

__all__ = ["Epoch", "History", "batch_norms", "fine_tune", "hold", "reestimate_batchnorm"]
