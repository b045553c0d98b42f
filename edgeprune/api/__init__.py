"""The Python API: the verbs of the command line as functions. No call changes its input model.

``model`` is a Keras model; a path, or anything else, is a ``ModelError``. ``data`` is a pair of
arrays, a ``tf.data.Dataset``, or any re-iterable of ``(x, y)`` batches; each batch as given is one
micro-batch of a score. ``loss=None`` takes the compiled one.
"""

from edgeprune.api.files import bench, export, run, verify
from edgeprune.api.loop import prune
from edgeprune.api.models import cut, hold, load, strip, trace, zero
from edgeprune.api.recoveries import distill, fine_tune, reconstruct, reestimate_batchnorm
from edgeprune.api.scores_and_plans import front, plan, score, score_all
from edgeprune.api.trials import scan, search

__all__ = [
    "bench",
    "cut",
    "distill",
    "export",
    "fine_tune",
    "front",
    "hold",
    "load",
    "plan",
    "prune",
    "reconstruct",
    "reestimate_batchnorm",
    "run",
    "scan",
    "score",
    "score_all",
    "search",
    "strip",
    "trace",
    "verify",
    "zero",
]
