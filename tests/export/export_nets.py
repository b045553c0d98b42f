"""Small models of every kind that this version exports; also a program that prints digests."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import keras
import numpy as np

L = keras.layers


def mlp(zeros: float = 0.0, block: int = 1) -> keras.Model:
    """64-128-128-10, the kernels ``zeros`` empty in blocks of ``block`` along their inputs."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((64,), name="pixels"),
            L.Dense(128, activation="relu", name="first"),
            L.Dense(128, activation="relu", name="second"),
            L.Dense(10, activation="softmax", name="digit"),
        ]
    )
    rng = np.random.default_rng(2)
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        dead = rng.random((kernel.shape[0] // block, kernel.shape[1])) < zeros
        kernel[np.repeat(dead, block, axis=0)] = 0
        layer.set_weights([kernel, bias + rng.normal(0, 0.1, bias.shape)])
    return model


def two_ended() -> keras.Model:
    """Two inputs and two outputs, none in alphabetical order."""
    keras.utils.set_random_seed(1)
    late, early = keras.Input((8,), name="zebra"), keras.Input((4,), name="ant")
    both = L.Add(name="both")(
        [L.Dense(16, activation="relu", name="d1")(late), L.Dense(16, name="d2")(early)]
    )
    return keras.Model(
        [late, early], [L.Dense(3, name="young")(both), L.Dense(1, name="old")(both)]
    )


def convolutional() -> keras.Model:
    """Convolution, batch norm with statistics of its own, depthwise, pooling, dense."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            L.Conv2D(8, 3, use_bias=False, name="stem"),
            L.BatchNormalization(name="norm"),
            L.ReLU(name="relu"),
            L.DepthwiseConv2D(3, padding="same", name="depth"),
            L.MaxPooling2D(name="pool"),
            L.Flatten(name="flat"),
            L.Dense(5, name="kind"),
        ]
    )
    rng = np.random.default_rng(3)
    norm = model.get_layer("norm")
    norm.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in norm.get_weights()])
    return model


def recurrent() -> keras.Model:
    """An LSTM, then a GRU."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6, 5), name="steps"),
            L.LSTM(4, return_sequences=True, name="lstm"),
            L.GRU(6, name="gru"),
            L.Dense(3, name="word"),
        ]
    )


def gelu() -> keras.Model:
    """Exact GELU, which tf2onnx writes as Erfc."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((6,), name="x"), L.Dense(8, activation="gelu", name="d"), L.Dense(3, name="y")]
    )


def grouped() -> keras.Model:
    """Grouped convolutions, which Keras compiles by XLA, behind statistics given as constants,
    which tf2onnx loses."""
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((8, 8, 6), name="x")
    x = L.Normalization(mean=[0.1 * n for n in range(6)], variance=[1.0 + n for n in range(6)])(x)
    x = L.Conv2D(12, 3, groups=3, activation="relu", padding="same", name="grouped")(x)
    x = L.Conv2D(12, 3, groups=12, strides=2, name="depthwise")(x)
    return keras.Model(inputs, L.Dense(4, name="y")(L.GlobalAveragePooling2D(name="mean")(x)))


NETS = {
    "mlp": mlp,
    "two_ended": two_ended,
    "convolutional": convolutional,
    "recurrent": recurrent,
    "gelu": gelu,
    "grouped": grouped,
}

if __name__ == "__main__":
    from edgeprune.exporting import Forms, export_model

    folder = Path(sys.argv[1])
    # What a process has done before must not show: neither in counters of names nor in graphs.
    for _ in range(int(sys.argv[2])):
        keras.Sequential([keras.Input((3,)), L.Dense(2), L.LeakyReLU()])(np.zeros((1, 3)))
    for name, net in NETS.items():
        model = net() if name != "mlp" else mlp(0.9)
        for suffix in ("tflite", "onnx"):
            for sparse in (False, True) if name == "mlp" else (False,):
                file = folder / f"{name}-{sparse}.{suffix}"
                print(file.name, export_model(model, file, sparse=sparse).sha256)
    for name, net in (("convolutional", convolutional), ("recurrent", recurrent)):
        model = net()
        forms = Forms(model)
        given = [np.random.default_rng(0).random((8, *model.inputs[0].shape[1:]), np.float32)]
        for variant in ("fp16", "dynamic", "int8", "int8-float-io", "int16x8"):
            print(name, variant, hashlib.sha256(forms.file(variant, given)).hexdigest())
