"""What training cannot be spread over, said before it begins."""

from __future__ import annotations

import json
import os

import keras
import tensorflow as tf

from edgeprune.errors import InputError


def check_distribution() -> None:
    """Refuse what Keras 3 on TensorFlow accepts and then does wrong.

    Raises:
        InputError: several workers (Keras fails there: keras-team/keras #20585), or a
            ``keras.distribution``, which is set and ignored.
    """
    workers = _workers()
    if workers > 1 or isinstance(
        tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy
    ):
        count = f" ({workers} in TF_CONFIG)" if workers > 1 else ""
        raise InputError(
            f"training over several workers{count} fails in Keras 3 (keras-team/keras #20585); "
            "train on one machine: unset TF_CONFIG, leave the strategy's scope"
        )
    distribution = keras.distribution.distribution()
    if distribution is not None:
        raise InputError(
            f"keras.distribution.{type(distribution).__name__} does nothing on TensorFlow; unset "
            "it with keras.distribution.set_distribution(None)"
        )


def _workers() -> int:
    """Of the cluster that TF_CONFIG describes; what is no such text counts as none."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
        return len(cluster.get("worker", ())) + len(cluster.get("chief", ()))
    except (ValueError, AttributeError, TypeError):
        return 0
