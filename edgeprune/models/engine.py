"""TensorFlow as this package uses it: threads, device, determinism, set before first use."""

from __future__ import annotations

import os
from typing import Any, Literal

from edgeprune.errors import InputError
from edgeprune.versions import check_versions

Device = Literal["cpu", "gpu"]


def set_up(threads: int = 2, device: Device = "cpu") -> None:
    """Fix the number of threads and the device, and ask for deterministic operations.

    The number of threads changes the bytes of a trained model, so it is the recipe's, never the
    machine's. A second call with the same values is nothing.

    Raises:
        InputError: TensorFlow already runs with other threads, or no GPU is there.
        VersionError: a library is missing, or of a version outside the declared bounds.
    """
    check_versions()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    wanted = (threads, threads)
    threading = tf.config.threading
    if _threads(tf) != wanted:
        try:
            threading.set_intra_op_parallelism_threads(threads)
            threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            raise InputError(
                f"threads = {threads}: TensorFlow already runs in this process with "
                f"{_threads(tf)[0] or 'all'}; start a new process"
            ) from None
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise InputError('device = "gpu": TensorFlow sees no GPU here; write device = "cpu"')
    if device == "cpu" and gpus and tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    tf.config.experimental.enable_op_determinism()


def _threads(tf: Any) -> tuple[int, int]:
    threading = tf.config.threading
    return (
        threading.get_intra_op_parallelism_threads(),
        threading.get_inter_op_parallelism_threads(),
    )


def running_threads() -> int | None:
    """What :func:`set_up` was called with; ``None`` where it was not."""
    import tensorflow as tf

    intra, inter = _threads(tf)
    return intra if intra == inter and intra else None
