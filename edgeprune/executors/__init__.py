"""Where work runs: ``map(fn, items)`` gives (index, result) as the results come.

``fn`` is a function at the top of a module, and an item holds paths, digests and numbers: what
travels to another process must not be a model. What becomes of the results (their order, their sum)
is the caller's, so that it does not depend on who worked.
"""

from edgeprune.executors.executor import Executor
from edgeprune.executors.here import Here
from edgeprune.executors.pool import Pool, of_workers, shared

__all__ = ["Executor", "Here", "Pool", "of_workers", "shared"]
