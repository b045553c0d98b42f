"""Trains on as many logical CPUs as the first argument says; writes the weights to the second."""

from __future__ import annotations

import sys

import keras
import numpy as np
import tensorflow as tf

import edgeprune

L = keras.layers


def main(devices: int, out: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    several = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(cpu, several)
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 1)), L.Conv2D(4, 3, kernel_regularizer="l2", name="conv"),
            L.ReLU(), L.Flatten(), L.Dense(3, "softmax", name="out"),
        ]
    )  # fmt: skip
    kernel = keras.ops.convert_to_numpy(net.get_layer("conv").kernel).copy()
    kernel[0] = 0
    net.get_layer("conv").kernel.assign(kernel)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(203, 8, 8, 1)).astype("float32")
    y = (x.mean((1, 2, 3)) * 20).clip(-1, 1).round().astype("int32") + 1
    how = {"loss": "sparse_categorical_crossentropy", "metric": "accuracy", "batch": 26}
    tuned = edgeprune.fine_tune(net, (x, y), epochs=2, **how)
    ramped, plan = edgeprune.prune(
        net, (x, y), sparsity=0.5, ramp=0.5, epochs=2, calibration_examples=32, **how
    )
    # The training split has 183 examples: the last batch has one for two devices.
    np.savez(
        out,
        devices=len(tf.config.list_logical_devices("CPU")),
        mirrored="Mirrored" in type(tuned.get_layer("conv").kernel.value).__name__,
        zeros=1 - sum(int(mask.keep.sum()) for mask in plan.masks)
        / sum(mask.keep.size for mask in plan.masks),
        ramped=len(ramped.weights),
        **{f"start-{place}": value for place, value in enumerate(net.get_weights())},
        **{f"weight-{place}": value for place, value in enumerate(tuned.get_weights())},
    )  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
